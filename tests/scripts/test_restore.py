"""A restore leaves nothing under a name that the backup's own settings then replace."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import restore
from scripts.commands import checked


def test_a_link_leads_where_it_did(tmp_path: Path) -> None:
    here, site = tmp_path / "sightglass", tmp_path / "ops"
    here.mkdir()
    site.mkdir()
    (site / ".env").write_text("A=1\n")
    (here / ".env").write_text("A=template\n")
    for _ in range(2):
        restore.link(here / ".env", site / ".env")
        assert (here / ".env").readlink() == Path("../ops/.env")
    assert (here / ".env.before-restore").read_text() == "A=template\n"


@pytest.fixture
def project() -> Iterator[str]:
    """A project's name, and nothing of it afterwards."""
    name = f"restore-{uuid.uuid4().hex[:8]}"
    yield name
    for kind in ("network", "volume"):
        for one in restore.belongings(kind, name):
            checked("docker", kind, "rm", one)


def make(kind: str, project: str, name: str) -> None:
    """As Compose does."""
    checked("docker", kind, "create", "--label", f"com.docker.compose.project={project}", f"{project}_{name}")


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_made_meanwhile_goes_and_what_was_there_stays(project: str, fails: bool) -> None:
    make("volume", project, "kept")
    try:
        with restore.lent(project):
            make("network", project, "outside")
            make("volume", project, "runs")
            make("volume", f"{project}-beside", "runs")
            if fails:
                raise restore.RestoreError("no password")
    except restore.RestoreError:
        assert fails
    finally:
        checked("docker", "volume", "rm", f"{project}-beside_runs")  # of another project: not the restore's to take
    assert restore.belongings("volume", project) == {f"{project}_kept"}
    assert restore.belongings("network", project) == set()
