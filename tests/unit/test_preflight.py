"""What `make up` refuses before it changes anything, in a line for each variable."""

import re
from pathlib import Path

import pytest

from scripts import preflight
from scripts.commands import ROOT
from scripts.preflight import (
    COMPOSED,
    PATHS,
    RENAMED,
    more_than_there_is,
    problems,
    refused_by_compose,
    settings,
    start_period,
)

DIRECTORIES = ["APP_DIR", "MODELS_DIR", "DATA_DIR", "SITE_DIR", "ALERT_SECRETS_DIR", "STATE_SECRETS_DIR"]
FILES = ["APP_ENV_FILE", "API_KEYS_FILE", "TLS_CERT", "TLS_KEY", "GRAFANA_PASSWORD_FILE"]
LENT = ["CA_BUNDLE", "PIP_CONFIG_FILE"]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree with a directory, a file, and links to each."""
    root = tmp_path / "tree"
    (root / "app" / "deeper").mkdir(parents=True)
    (root / "file").write_text("x")
    (root / "link").symlink_to("app")
    (root / "dangling").symlink_to("nowhere")
    (tmp_path / "outside").write_text("x")
    monkeypatch.setattr(preflight, "ROOT", root)
    return root


@pytest.mark.parametrize("value", ["true", "false", ""])
def test_telemetry_is_on_or_off(value: str) -> None:
    assert problems({"TELEMETRY": value}) == []


@pytest.mark.parametrize("value", ["True", "yes", "1", "on", "telemetry", " true"])
def test_telemetry_is_nothing_else(value: str) -> None:
    assert problems({"TELEMETRY": value}) == [f"TELEMETRY={value}: not allowed; expected true or false"]


def test_mlflow_is_on_or_not_there() -> None:
    for value in ("true", ""):
        assert problems({"MLFLOW": value}) == []
    for value in ("false", "True", "1", " true"):
        assert problems({"MLFLOW": value}) == [f"MLFLOW={value}: not allowed; expected true, or no such line"]


def test_what_is_looked_at_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.environment.read", lambda *names: dict.fromkeys(names, ""))
    assert {"COMPOSE_FILE", "TELEMETRY", "MLFLOW", "ACME_EMAIL", *PATHS, *RENAMED, *COMPOSED} <= set(settings())


@pytest.mark.parametrize("given", [{}, {"COMPOSE_FILE": ""}, {"COMPOSE_FILE": ":"}])
def test_an_env_without_the_stacks_file_is_told_its_first_line(given: dict[str, str]) -> None:
    value = given.get("COMPOSE_FILE", "")
    expected = "docker-compose.prod.yml, as in .env.template"
    assert refused_by_compose(given) == [f"COMPOSE_FILE={value}: not allowed; expected {expected}"]
    assert "\nCOMPOSE_FILE=docker-compose.prod.yml\n" in (ROOT / ".env.template").read_text()


def test_every_variable_that_names_a_path_is_looked_at() -> None:
    assert set(PATHS) == {*DIRECTORIES, *FILES, *LENT, "API_CONTEXT"}


@pytest.mark.parametrize("name", [*DIRECTORIES, "API_CONTEXT"])
@pytest.mark.parametrize("value", ["app", "./app", "app/", "app/deeper", "../tree/app", "link", "{root}/app", ""])
def test_a_directory_that_is_there_will_do_however_it_is_written(tree: Path, name: str, value: str) -> None:
    assert problems({name: value.format(root=tree)}) == []


@pytest.mark.parametrize("name", [*DIRECTORIES, "API_CONTEXT"])
@pytest.mark.parametrize(
    "value", ["myapp", "./myapp", "{root}/myapp", "file", "{root}/file", "dangling", "file/x", "a b"]
)
def test_what_is_no_directory_is_one_line(tree: Path, name: str, value: str) -> None:
    given = value.format(root=tree)
    assert problems({name: given}) == [f"{name}={given}: not allowed; expected a directory of this machine"]


@pytest.mark.parametrize("name", [*FILES, *LENT])
def test_a_file_that_is_there_will_do(tree: Path, name: str) -> None:
    for value in ("file", "./file", str(tree / "file"), "app/../file", ""):
        assert problems({name: value}) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("value", ["missing", "app", "link", "dangling", "/", "{root}/missing"])
def test_what_is_no_file_is_one_line(tree: Path, name: str, value: str) -> None:
    given = value.format(root=tree)
    assert problems({name: given}) == [f"{name}={given}: not allowed; expected a file of this machine"]


@pytest.mark.parametrize("name", LENT)
@pytest.mark.parametrize("value", ["missing", "app", "../outside", "{root}/../outside", "/etc/hostname"])
def test_what_a_build_cannot_read_is_one_line(tree: Path, name: str, value: str) -> None:
    given = value.format(root=tree)
    (line,) = problems({name: given})
    assert line.startswith(f"{name}={given}: not allowed; expected a file you may read, inside {tree}")


@pytest.mark.parametrize("value", ["https://git.example.org/shop.git#main", "git@git.example.org:shop.git", "shop.git"])
def test_an_address_to_build_from_is_left_to_docker(tree: Path, value: str) -> None:
    assert problems({"API_CONTEXT": value}) == []


def test_an_old_name_is_refused_with_the_new_one() -> None:
    assert RENAMED["WORKER_REPLICAS"] == "JOBS_REPLICAS"
    for old, new in RENAMED.items():
        for value in ("0", "2", "x\ny"):
            shown = value.replace("\n", "?")
            assert problems({old: value}) == [f"{old}={shown}: not allowed; expected {new}, its new name"]
        assert problems({old: "", new: "2"}) == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("HTTPS_PORT", ["443", "8443", "65535"], ["https", "127.0.0.1:8443", "-1", "443 ", "65536", "99999"]),
        (
            "HTTP_PORT",
            ["80", "127.0.0.1:8080", "[::1]:8080"],
            ["http", "127.0.0.1:", "localhost:80", "127.0.0.1:99999"],
        ),
        ("API_REPLICAS", ["0", "4"], ["two", "1.5", "-1"]),
        ("API_STOP_GRACE", ["90"], ["90s", "1m"]),
        ("API_CPUS", ["2", "1.5", "0.25", ".5", "2."], ["all", "1,5", "500m"]),
        ("API_MEMORY", ["2g", "512m", "1.5GiB", "1073741824", "0"], ["2 gigabytes", "lots", "-1"]),
    ],
)
def test_what_compose_makes_numbers_of_is_told_by_its_name(name: str, good: list[str], bad: list[str]) -> None:
    for value in ("", *good):
        assert problems({name: value}) == []
    for value in bad:
        assert problems({name: value}) == [f"{name}={value}: not allowed; expected {COMPOSED[name][1]}"]


def test_the_defaults_are_of_the_forms_that_are_looked_for() -> None:
    template = (ROOT / ".env.template").read_text()
    for name in COMPOSED:
        (default,) = re.findall(f"^# {name}=(.+)", template, re.MULTILINE)
        assert problems({name: default}) == []


def test_a_limit_above_the_machines_processors_is_told_before_docker_refuses_it() -> None:
    def limited(cpus: float, replicas: int = 1, **more: object) -> dict[str, object]:
        return {"deploy": {"resources": {"limits": {"cpus": cpus}}, "replicas": replicas}, **more}

    services = {
        "api": limited(2),
        "nginx": limited(1),
        "database": limited(1.5, profiles=["monitoring"]),
        "redis": {},
        "jobs": limited(4, replicas=0),
        "mine": limited(4, profiles=["mine"]),
    }
    assert more_than_there_is(services, {}, 2) == []
    assert len(more_than_there_is(services, {"COMPOSE_PROFILES": "mine"}, 2)) == 1
    expected = "not allowed; expected at most 1, as many as this machine has"
    database = "services.database.deploy.resources.limits.cpus"
    assert more_than_there_is(services, {}, 1) == [f"API_CPUS=2: {expected}", f"{database}=1.5: {expected}"]
    by_override, _ = more_than_there_is(services, {"API_CPUS": "0.5"}, 1)
    assert by_override == f"services.api.deploy.resources.limits.cpus=2: {expected}"


def test_the_start_period_is_seconds() -> None:
    assert [start_period({"API_START_PERIOD": value}) for value in ("", "1", "300", "86400")] == [120, 1, 300, 86400]
    for value in ("0", "86401", "130s", "-5", "1.5", "2m", "soon", "\u0661"):
        (line,) = problems({"API_START_PERIOD": value})
        assert line.endswith(": not allowed; expected whole seconds from 1 to 86400")


def test_every_problem_has_its_line(tree: Path) -> None:
    assert len(problems({"APP_DIR": "nowhere", "TLS_KEY": "nowhere", "WORKER_REPLICAS": "1"})) == 3


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"SERVER_NAME": "a.example"}, None),
        ({"ACME_EMAIL": "a@a.example", "SERVER_NAME": "a.example"}, None),
        ({"ACME_EMAIL": "", "TLS_CERT": "file"}, None),
        ({"ACME_EMAIL": "a@a.example"}, "SERVER_NAME=: not allowed; expected the names of the certificate that"),
        ({"ACME_EMAIL": "a@a.example", "SERVER_NAME": ""}, "SERVER_NAME=: not allowed; expected the names"),
        (
            {"ACME_EMAIL": "a@a.example", "SERVER_NAME": "a.example", "TLS_CERT": "file"},
            "TLS_CERT=file: not allowed; expected none where ACME_EMAIL is set",
        ),
    ],
)
@pytest.mark.usefixtures("tree")
def test_a_certificate_by_itself_needs_names_and_no_other(given: dict[str, str], line: str | None) -> None:
    found = problems(given)
    assert len(found) == (line is not None)
    assert "".join(found).startswith(line or "")
