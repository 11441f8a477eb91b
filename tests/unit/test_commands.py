"""How files of settings are written."""

from pathlib import Path

import pytest

from scripts.commands import replace_file


def test_a_file_keeps_its_mode_and_a_link_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "env", tmp_path / "link"
    file.write_text("A=1\n")
    file.chmod(0o640)
    link.symlink_to("env")
    replace_file(link, b"A=2\n")
    assert (file.read_text(), file.stat().st_mode & 0o7777) == ("A=2\n", 0o640)
    assert link.readlink() == Path("env")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["env", "link"]


def test_a_full_disk_leaves_it_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "env"
    file.write_text("A=1\n")

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as cut:
            cut.write(content[:1])
        raise OSError(28, "No space left")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(file, b"A=2\n")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("env", "A=1\n")]


def test_one_that_is_not_there_is_made(tmp_path: Path) -> None:
    replace_file(tmp_path / "env", b"A=1\n")
    assert (tmp_path / "env").read_text() == "A=1\n"
