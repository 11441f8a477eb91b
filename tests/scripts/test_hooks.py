"""What `make up` says of a user's own files before it starts anything: a line for each that cannot do."""

import json
from pathlib import Path

import pytest

from scripts import hooks, preflight
from scripts.hooks import PARTS, problems


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the user's, beside one dashboard of the stack's."""
    ours = tmp_path / "grafana" / "dashboards"
    ours.mkdir(parents=True)
    (ours / "overview.json").write_text('{"uid": "sightglass-overview", "title": "Overview"}')
    monkeypatch.setattr(hooks, "ROOT", tmp_path)
    return tmp_path / "site"


def write(site: Path, name: str, text: str) -> Path:
    file = site / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_what_is_absent_or_empty_is_nothing_to_say(site: Path) -> None:
    assert problems(site) == []
    hooks.prepare(site)
    assert sorted(path.name for path in site.iterdir()) == sorted(PARTS)
    assert problems(site) == []
    hooks.prepare(site)


def test_a_place_that_cannot_be_made_is_left_to_docker(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("a file")
    hooks.prepare(tmp_path / "site")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o700])
def test_what_containers_may_not_read_is_one_line(site: Path, part: str, mode: int) -> None:
    write(site, f"{part}/deeper/one.yml", "").chmod(mode)
    (line,) = problems(site)
    assert line.startswith(
        f"SITE_DIR/{part}/deeper/one.yml: not readable by the containers' users; run: chmod -R o+rX "
    )
    (site / part).chmod(0o750)
    (line,) = problems(site)
    assert line.startswith(f"SITE_DIR/{part}: not readable")


@pytest.mark.parametrize("name", ["app.env", "compose.yml", "secrets/password", ".env"])
def test_what_no_container_is_given_may_be_private(site: Path, name: str) -> None:
    write(site, name, "").chmod(0o600)
    assert problems(site) == []


@pytest.mark.parametrize(("text", "expected"), [
    ('{"title": "Shop"}', None),
    ('{"title": "Shop", "uid": "shop"}', None),
    ("{", "expected JSON (Expecting property name"),
    ("", "expected JSON (Expecting value"),
    ("[]", "expected a dashboard itself"),
    ('{"dashboard": {"title": "Shop"}}', "expected a dashboard itself"),
    ('{"title": ""}', "expected a title"),
    ("{}", "expected a title"),
    ('{"title": "Shop", "__inputs": []}', "expected no __inputs"),
    ('{"title": "Shop", "uid": "sightglass-overview"}', "uid=sightglass-overview: not allowed; expected one"),
])  # fmt: skip
def test_a_dashboard_that_grafana_would_leave_out_is_one_line(site: Path, text: str, expected: str | None) -> None:
    write(site, "dashboards/shop.json", text)
    lines = problems(site)
    assert len(lines) == (expected is not None)
    for line in lines:
        assert line.startswith("SITE_DIR/dashboards/shop.json: ")
        assert str(expected) in line


@pytest.mark.parametrize("kind", ["dangling", "directory"])
def test_what_is_called_a_dashboard_and_is_no_file_is_one_line(site: Path, kind: str) -> None:
    (site / "dashboards").mkdir(parents=True)
    named = site / "dashboards" / "shop.json"
    if kind == "dangling":
        named.symlink_to("nowhere")
    else:
        named.mkdir()
    (line,) = problems(site)
    assert line.startswith("SITE_DIR/dashboards/shop.json: not allowed; expected JSON")


def test_two_dashboards_of_one_uid_are_one_line(site: Path) -> None:
    for name in ("a", "b", "deeper/c"):
        write(site, f"dashboards/{name}.json", json.dumps({"title": name, "uid": "shop" if name != "a" else "a"}))
    (line,) = problems(site)
    assert line.startswith("SITE_DIR/dashboards/deeper/c.json: uid=shop: not allowed")


def test_a_line_it_stays_whatever_a_file_is_called(site: Path) -> None:
    write(site, "dashboards/a\nb\u00e9.json", "{")
    (line,) = problems(site)
    assert line.startswith("SITE_DIR/dashboards/a?b?.json: ")
    assert "\n" not in line


@pytest.mark.parametrize("value", ["", "own", "./own", "../tree/own", "{root}/own"])
def test_the_place_is_seen_from_the_compose_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    monkeypatch.setattr(hooks, "ROOT", root)
    expected = root / ("own" if value else "site")
    assert hooks.directory({"SITE_DIR": value.format(root=root)}).resolve() == expected


OVERRIDES = {
    "services: {db: {image: db, networks: [app]}}": None,
    "services: {api: {depends_on: {db: {condition: service_healthy}}}, db: {image: db}}": None,
    "secrets: {password: {file: site/secrets/password}}": None,
    "services: [": "yaml",
    "services: {db: {imaeg: db}}": "imaeg",
    "services: {db: {image: db, networks: [nowhere]}}": "nowhere",
    "services: {api: {depends_on: [nobody]}}": "nobody",
    "services: {api: {secrets: [nothing]}}": "nothing",
    "servces: {}": "servces",
}


@pytest.mark.parametrize("text", OVERRIDES)
def test_an_override_that_compose_does_not_take_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "compose.yml").write_text(text)
    files = f"docker-compose.prod.yml:{tmp_path / 'compose.yml'}"
    monkeypatch.setenv("COMPOSE_FILE", files)
    lines = preflight.refused_by_compose({"COMPOSE_FILE": files})
    said = OVERRIDES[text]
    assert len(lines) == (said is not None)
    for line in lines:
        assert line.startswith(f"COMPOSE_FILE={files}: Compose does not take it: ")
        assert str(said) in line
        assert "\n" not in line


def test_a_file_that_is_not_there_is_one_line() -> None:
    value = "docker-compose.prod.yml:site/nowhere.yml"
    assert preflight.refused_by_compose({"COMPOSE_FILE": value}) == [
        f"COMPOSE_FILE={value}: not allowed; expected files that are there, which site/nowhere.yml is not"
    ]
