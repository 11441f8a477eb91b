"""What is kept of a release, what is shown of it, how long it is kept, and what a rollback writes back."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import deploy, environment, images, releases
from scripts.deploy import DeployError
from scripts.releases import Release, ReleaseError

SECRET = "s3cret-value"


class Engine:
    """What releases.py asks of Docker and Compose."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}

    def checked(self, *command: str) -> str:
        if command[:3] == ("docker", "image", "inspect"):
            return json.dumps([{"Config": {"Env": [f"SIGHTGLASS_APP_VERSION=v-{command[3]}", "PATH=/bin"]}}])
        if command[:2] == ("docker", "tag"):
            self.tags[command[3]] = command[2]
        return json.dumps({"name": "shop"})

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        if command[:3] == ("docker", "image", "rm"):
            del self.tags[command[3]]
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    made = Engine()
    monkeypatch.setattr(releases, "ROOT", tmp_path)
    monkeypatch.setattr(deploy, "ROOT", tmp_path)
    monkeypatch.setattr(releases, "checked", made.checked)
    monkeypatch.setattr(releases, "run", made.run)
    monkeypatch.setattr("scripts.running.project", lambda: "shop")
    monkeypatch.setattr(images, "present", lambda name: name in made.tags)
    monkeypatch.setattr(environment, "read", lambda *names: {})
    (tmp_path / ".env").write_text("RATE_LIMIT=10\n")
    return made


def record(tmp_path: Path, image_id: str, **settings: str) -> Release:
    if settings:
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return releases.record(f"registry/app@{image_id}", image_id, tmp_path / ".env")


def test_a_release_is_kept_with_its_image_and_its_settings(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "app.env").write_text(f"DATABASE_PASSWORD={SECRET}\n")
    first = record(tmp_path, "sha256:1")
    assert (first.number, first.before, first.version, first.revision) == (1, None, "v-sha256:1", "unknown")
    assert engine.tags == {"sightglass-local/shop-release:1": "sha256:1"}
    assert first.env.read_bytes() == (tmp_path / ".env").read_bytes()
    assert first.app_env.read_text() == f"DATABASE_PASSWORD={SECRET}\n"
    assert releases.load() == [first]
    for path in (tmp_path / ".releases", first.directory):
        assert path.stat().st_mode & 0o777 == 0o700
    for path in (first.env, first.app_env):
        assert path.stat().st_mode & 0o777 == 0o600


def test_the_names_of_changed_settings_are_told_and_no_value(engine: Engine, tmp_path: Path) -> None:
    record(tmp_path, "sha256:1", RATE_LIMIT="10", OLD=SECRET, SAME="x", SERVED_IMAGE="a")
    (tmp_path / "app.env").write_text(f"export TOKEN={SECRET}\n# COMMENTED={SECRET}\n")
    second = record(tmp_path, "sha256:2", RATE_LIMIT=SECRET, NEW=SECRET, SAME="x", SERVED_IMAGE="b")
    assert second.changed == ["NEW", "OLD", "RATE_LIMIT", "TOKEN"]
    assert SECRET not in releases.table(releases.load())
    assert SECRET not in (second.directory / "release.json").read_text()


def test_the_applications_variables_in_site_dir_are_kept_too(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "read", lambda *names: {"SITE_DIR": str(tmp_path / "ops")})
    (tmp_path / "ops").mkdir()
    site = tmp_path / "ops" / "app.env"
    site.write_text("GREETING=hello\nBOTH=site\n")
    (tmp_path / "app.env").write_text("BOTH=here\n")
    first = record(tmp_path, "sha256:1")
    assert first.site_env.read_text() == site.read_text()
    site.write_text("GREETING=good day\nBOTH=another\n")
    second = record(tmp_path, "sha256:2")
    assert second.changed == ["GREETING"]  # the other is overruled
    assert deploy.joined(first, releases.app_files()).read_text() == "GREETING=hello\nBOTH=site\n\nBOTH=here\n"
    site.unlink()
    third = record(tmp_path, "sha256:3")
    assert deploy.joined(third, releases.app_files()).read_text() == "\nBOTH=here\n"
    site.write_text("GREETING=good day\n")
    deploy.put_back(site, third.site_env)
    assert not site.exists()
    site.write_text("GREETING=good day\n")
    first.site_env.unlink()  # as in a record of an older version
    assert deploy.joined(first, releases.app_files()).read_text().startswith("GREETING=good day\n")


def test_the_last_five_are_kept_those_brought_back_among_them(engine: Engine, tmp_path: Path) -> None:
    made = [record(tmp_path, f"sha256:{n}") for n in range(1, 6)]
    releases.serve(made[0], made)
    record(tmp_path, "sha256:6")
    record(tmp_path, "sha256:7")
    assert [release.number for release in releases.load()] == [1, 4, 5, 6, 7]
    assert set(engine.tags) == {f"sightglass-local/shop-release:{n}" for n in (1, 4, 5, 6, 7)}


def test_back_is_to_what_the_current_one_took_the_place_of(engine: Engine, tmp_path: Path) -> None:
    first, second, third = (record(tmp_path, f"sha256:{n}") for n in (1, 2, 3))
    assert releases.choose(releases.load(), "") == second
    releases.serve(second, [first, second, third])  # the third is bad
    assert releases.current(releases.load()) == second
    assert releases.choose(releases.load(), "") == first
    assert releases.choose(releases.load(), "3") == third
    fourth = record(tmp_path, "sha256:4")
    assert fourth.before == 2  # not the bad one
    assert releases.choose(releases.load(), "") == second


def test_a_deploy_while_the_clock_was_ahead_misleads_nobody(engine: Engine, tmp_path: Path) -> None:
    first, ahead = record(tmp_path, "sha256:1"), record(tmp_path, "sha256:2")
    ahead.served = [["2199-12-31T23:59:59.999999Z", "ana"]]
    ahead.write()
    releases.serve(first, releases.load())  # a rollback, by the right clock
    assert releases.current(releases.load()) == first
    assert first.served[-1][0] == "2200-01-01T00:00:00.000000Z"
    later = [record(tmp_path, f"sha256:{n}") for n in (3, 4, 5, 6, 7)]
    assert [release.before for release in later] == [1, 3, 4, 5, 6]
    assert releases.current(releases.load()) == later[-1]
    assert [release.number for release in releases.load()] == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("to", ["3", "9", "0", "-1", "two", "1 2", "../1"])
def test_one_there_is_not_is_refused(engine: Engine, tmp_path: Path, to: str) -> None:
    for n in (1, 2, 3):
        record(tmp_path, f"sha256:{n}")
    with pytest.raises(ReleaseError, match=r"^TO=.*: not allowed; expected one of 1, 2$"):
        releases.choose(releases.load(), to)


def test_without_one_before_there_is_no_way_back(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="the current release took no other's place"):
        releases.choose(releases.load(), "")
    record(tmp_path, "sha256:1")
    with pytest.raises(ReleaseError, match=r"took no other's place; TO: another release, of which none is kept$"):
        releases.choose(releases.load(), "")


def test_an_image_that_somebody_removed_is_named(engine: Engine, tmp_path: Path) -> None:
    record(tmp_path, "sha256:1")
    record(tmp_path, "sha256:2")
    del engine.tags["sightglass-local/shop-release:1"]
    with pytest.raises(ReleaseError, match="release 1: its image sightglass-local/shop-release:1 is gone"):
        releases.choose(releases.load(), "")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"number": 2', '"number": 3'),
        lambda text: text.replace('"image_id"', '"imageid"'),
        lambda text: json.dumps(json.loads(text) | {"served": []}),
        lambda text: json.dumps(json.loads(text) | {"served": [["2026"]]}),
        lambda text: json.dumps(json.loads(text) | {"served": [["yesterday", "ana"]]}),
        lambda text: "\udcff",
    ],
)
def test_a_record_that_is_no_record_is_one_line_with_a_way_out(
    engine: Engine, tmp_path: Path, spoil: Callable[[str], str]
) -> None:
    record(tmp_path, "sha256:1")
    path = record(tmp_path, "sha256:2").directory / "release.json"
    path.write_bytes(spoil(path.read_text()).encode(errors="surrogateescape"))
    with pytest.raises(
        ReleaseError, match=r"^\.releases/2/release\.json: cannot be read \(.*\); to go on .*: rm -r"
    ) as e:
        releases.load()
    assert "\n" not in str(e.value)


def test_what_make_up_started_is_noted_once(engine: Engine, tmp_path: Path) -> None:
    releases.note("sha256:1", "sightglass", settings=True)
    releases.note("sha256:1", "sightglass", settings=True)
    assert [release.number for release in releases.load()] == [1]
    (tmp_path / ".env").write_text("RATE_LIMIT=20\n")
    releases.note("sha256:1", "sightglass", settings=False)  # a deploy that is about to bring this in
    assert [release.number for release in releases.load()] == [1]
    releases.note("sha256:1", "sightglass", settings=True)
    assert [release.changed for release in releases.load()] == [[], ["RATE_LIMIT"]]


def test_after_make_up_no_deploy_counts_as_cut_off(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = [{"Image": "sha256:1"}]
    monkeypatch.setattr(releases, "checked", lambda *command: "one two" if "ps" in command else json.dumps(running))
    monkeypatch.setattr(releases, "note", lambda *_, settings: None)
    monkeypatch.setattr("sys.argv", ["releases.py", "--note"])
    releases.directory().mkdir()
    releases.under_way().write_text("one")
    assert deploy.of_before(["one", "two"]) == 1
    assert releases.main() == 0
    assert deploy.of_before(["one", "two"]) == 0


def test_nothing_is_kept_of_a_directory_that_is_no_release(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / ".releases" / "candidate.d").mkdir(parents=True)
    assert releases.load() == []


def test_variables_of_a_candidate_take_the_place_of_those_there_were(tmp_path: Path) -> None:
    env = tmp_path / "env"
    env.write_text("# API_IMAGE=sightglass\nAPI_IMAGE=a\nAPI_IMAGE_2=b\n API_IMAGE = c\nX=1")
    deploy.set_variables(env, API_IMAGE="registry/app@sha256:1", API_CONTEXT="")
    assert env.read_text() == (
        "# API_IMAGE=sightglass\nAPI_IMAGE_2=b\nX=1\nAPI_IMAGE=registry/app@sha256:1\nAPI_CONTEXT=\n"
    )


@pytest.mark.parametrize(
    "image", ["", " ", "Shop:1", "shop:1; rm", "-v", "shop@sha256:1", "a b", "https://x/y", "shop\n"]
)
def test_what_is_no_image_is_refused(image: str) -> None:
    with pytest.raises(DeployError, match=r"^IMAGE=.*: not allowed; expected the name of an image"):
        deploy.pull(image)


def test_settings_that_are_written_over_stay_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, kept = tmp_path / ".env", tmp_path / "kept"
    path.write_text(f"edited={SECRET}\n")
    kept.write_text("as=then\n")
    deploy.put_back(path, kept)
    aside = tmp_path / ".env.before-rollback"
    assert (path.read_text(), aside.read_text()) == ("as=then\n", f"edited={SECRET}\n")
    assert aside.stat().st_mode & 0o777 == 0o600
    assert SECRET not in capsys.readouterr().out
    deploy.put_back(path, kept)
    assert aside.read_text() == f"edited={SECRET}\n"
    deploy.put_back(path, tmp_path / "missing")
    assert (path.exists(), aside.read_text()) == (False, "as=then\n")


def test_a_file_that_was_empty_is_empty_again(tmp_path: Path) -> None:
    path, kept = tmp_path / "shop.env", tmp_path / releases.APP_ENV
    path.write_text("filled=since\n")
    kept.touch()
    deploy.put_back(path, kept)
    assert path.read_bytes() == b""


def test_a_lock_does_not_outlive_whoever_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "ROOT", tmp_path)
    program = (
        "import sys, time; from pathlib import Path; from scripts import deploy\n"
        f"deploy.ROOT = Path({str(tmp_path)!r}); deploy.lock(); print('locked', flush=True); time.sleep(600)"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(DeployError, match="under way"):
            deploy.lock()
        holder.kill()  # as the kernel does out of memory
    deploy.lock()


def test_a_candidate_is_what_compose_reads_as_long_as_it_is_one(engine: Engine, tmp_path: Path) -> None:
    with deploy.candidate(tmp_path / ".env") as env:
        assert os.environ["COMPOSE_ENV_FILES"] == str(env)
        assert env.stat().st_mode & 0o777 == 0o600
        deploy.set_variables(env, API_IMAGE="broken")
    assert "COMPOSE_ENV_FILES" not in os.environ
    assert (tmp_path / ".env").read_text() == "RATE_LIMIT=10\n"
    assert not env.exists()
