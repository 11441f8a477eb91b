"""A repository of somebody else's with the stack as a submodule: the documented commands, and what is theirs in it."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pytest

from tests.stack import NOT_COPIED, PUBLISHED, ROOT, Stack, eventually, free_ports, say

GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
(BLOCK,) = re.findall(r"```console\n(\$ git clone.*?)```", (ROOT / "docs" / "your-app.md").read_text(), re.DOTALL)
COMMANDS = [line.removeprefix("$ ") for line in BLOCK.splitlines()]
EXAMPLES = ROOT / "examples" / "site"

# What cannot be pulled everywhere is played by Valkey; services, order, networks and secrets are the example's.
STAND_INS = """
x-played: &played
  image: !override "${VALKEY_IMAGE:-valkey/valkey:9.1.2}"
  user: "999:999"
  command: !override [valkey-server, --save, "", --protected-mode, "no"]
  healthcheck: {test: [CMD, valkey-cli, ping]}
services:
  database: {<<: *played}
  redis: {<<: *played}
  postgres-exporter:
    image: "${NODE_EXPORTER_IMAGE:-prom/node-exporter:v1.11.1}"
    command: [--web.listen-address=:9187, --collector.disable-defaults]
  migrate:
    command: !override
      - /opt/venv/bin/python
      - -c
      - |
        import os, socket, pathlib
        password = pathlib.Path("/run/secrets/db_password").read_text().strip()
        with socket.create_connection(("database", 6379)) as database:
            database.sendall(f"SET migrated {os.environ['GREETING']}-{password}\\r\\n".encode())
            assert database.recv(100) == b"+OK\\r\\n"
"""
PINNED = "fastapi==0.115.6"  # in its uv.lock; older than what the stack's own image has
PYPROJECT = """[project]
name = "shop"
dependencies = [{asked}]
"""
LOCK = """version = 1

[[package]]
name = "fastapi"
version = "0.115.6"
source = { registry = "an index" }
"""
PRIVATE = """
from pathlib import Path


@app.get("/told")
async def told() -> dict[str, str]:
    return {"secret": Path("/run/secrets/db_password").read_text(), "data": Path("/data/prices.csv").read_text()}
"""


class Foreign(Stack):
    """The stack in a repository that is not its own."""

    def __init__(self, repository: Path, project: str, settings: dict[str, str]) -> None:
        self.repository, self.directory = repository, repository / "sightglass"
        self.ops = repository / "ops"
        self.project, self.settings, self.profiles = project, settings, ["monitoring"]
        self.env_file = self.directory / ".env"

    @cached_property
    def certificate(self) -> Path:
        """The certificate the stack generated; beside the repository, in which nothing is to change."""
        path = self.repository.parent / "certificate.pem"
        path.write_text(self.compose("exec", "-T", "nginx", "cat", "/run/tls/tls.crt").stdout)
        return path

    def up_again(self) -> subprocess.CompletedProcess[str]:
        """Run `make up`."""
        return self.run("make", "up")

    def lines(self) -> list[str]:
        """Return what `make up` says is wrong."""
        result = self.up_again()
        assert result.returncode != 0
        return [line for line in result.stderr.splitlines() if not line.startswith("make: ***")]


def repository(directory: Path) -> None:
    """Make a git repository of a directory."""
    for command in (["init", "-q", "-b", "main"], ["add", "-Af"], ["commit", "-qm", "all of it"]):
        subprocess.run([*GIT, *command], cwd=directory, check=True)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    """The shop, without a Dockerfile, with files of its own for each hook; then the commands of docs/your-app.md."""
    remote, work = tmp_path_factory.mktemp("remote"), tmp_path_factory.mktemp("work")
    shutil.copytree(ROOT, remote / "sightglass", ignore=NOT_COPIED)
    repository(remote / "sightglass")
    shop = remote / "shop"
    shutil.copytree(ROOT / "examples" / "shop", shop, ignore=shutil.ignore_patterns("Dockerfile", "__pycache__"))
    asked = [*(shop / "requirements.txt").read_text().split(), "fastapi"]
    (shop / "requirements.txt").unlink()
    (shop / "pyproject.toml").write_text(PYPROJECT.format(asked=", ".join(f'"{one}"' for one in asked)))
    (shop / "uv.lock").write_text(LOCK)
    with (shop / "shop" / "main.py").open("a") as main:
        main.write(PRIVATE)
    shutil.copytree(EXAMPLES, shop / "ops")
    (shop / "ops" / "stand-ins.yml").write_text(STAND_INS)
    (shop / "ops" / "app.env").write_text("GREETING=hello\n")
    (shop / "ops" / "secrets").mkdir()
    (shop / "ops" / "secrets" / "db_password").write_text("swordfish")
    (shop / "data").mkdir()
    (shop / "data" / "prices.csv").write_text("4,5.00\n")
    project = f"sightglass-test-foreign-{os.getpid()}"
    settings = dict(zip(PUBLISHED, map(str, free_ports(len(PUBLISHED))), strict=True))
    files = "docker-compose.prod.yml:../ops/compose.yml:../ops/stand-ins.yml"
    own = settings | {"COMPOSE_PROJECT_NAME": project, "COMPOSE_FILE": files, "DATA_DIR": "../data"}
    own |= {"API_START_PERIOD": "600", "API_IMAGE": project, "API_MEMORY_RESERVATION": "64m", "API_CPU_SHARES": "2048"}
    own |= {"RATE_LIMIT": "1000"}
    (shop / "ops" / ".env").write_text("".join(f"{name}={value}\n" for name, value in own.items()))
    repository(shop)
    git = work / "gitconfig"
    git.write_text(
        f'[url "file://{remote}/"]\n insteadOf = https://git.example.org/\n[protocol "file"]\n allow = always\n'
    )
    stack = Foreign(work / "shop", project, settings)
    script = "\n".join(["set -e", *(f'{command}; echo "took $SECONDS s"; SECONDS=0' for command in COMMANDS)])
    script = script.replace("https://localhost/", f"{stack.https_url}/")
    # Valkey's image or its stand-in is no part of what `make up` makes present.
    images = "python3 sightglass/scripts/images.py valkey"
    script = script.replace("make -C sightglass up", f"{images} >/dev/null; SECONDS=0; make -C sightglass up")
    say(f"{project}: {' && '.join(COMMANDS)}")
    inherited = {n: v for n, v in os.environ.items() if n not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "COMPOSE_FILE")}
    try:
        result = subprocess.run(
            ["bash", "-c", script], cwd=work, env=inherited | {"GIT_CONFIG_GLOBAL": str(git)}, capture_output=True,
            text=True, check=False, timeout=1500,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr + stack.logs()
        (work / "said").write_text(result.stdout)
        yield stack
    finally:
        with stack.uploads_forgotten():
            down = ["docker", "compose", "--profile", "*", "down", "--volumes"]
            subprocess.run(down, cwd=stack.directory, check=False)
        stack.remove_images()


pytestmark = pytest.mark.timeout(1800)


def test_there_are_five_commands_and_the_last_is_answered(foreign: Foreign) -> None:
    assert len(COMMANDS) <= 5
    said = (foreign.repository.parent / "said").read_text()
    assert "app         shop.main:app" in said
    assert '{"price":"£5.00"}' in said or '{"price":"€5.00"}' in said, said
    with foreign.client() as client:
        assert client.get("/prices/4", params={"locale": "en_US"}).json() == {"price": "€5.00"}


def test_nothing_of_the_submodule_is_changed(foreign: Foreign) -> None:
    changed = subprocess.run(
        [*GIT, "status", "--porcelain"], cwd=foreign.directory, capture_output=True, text=True, check=True
    )
    assert changed.stdout == ""
    assert (foreign.directory / ".env").readlink() == Path("../ops/.env")


def test_its_own_routes_are_counted_at_the_edge_and_in_the_api(foreign: Foreign) -> None:
    with foreign.client() as client:
        client.get("/prices/5")
    route = '{route="/prices/{item_id}",status="200"}'
    for metric in ("http_requests_total", "edge_http_requests_total"):
        eventually(lambda m=metric: foreign.query(m + route), lambda m=metric: f"no {m}")  # type: ignore[misc]


def test_its_database_was_migrated_before_it_started(foreign: Foreign) -> None:
    asked = foreign.run("docker", "compose", "exec", "-T", "database", "valkey-cli", "get", "migrated")
    assert asked.stdout == "hello-swordfish\n"


def test_it_reads_its_secret_and_its_data(foreign: Foreign) -> None:
    with foreign.client() as client:
        assert client.get("/told").json() == {"secret": "swordfish", "data": "4,5.00\n"}


def test_its_packages_are_the_ones_it_asks_for_and_none_is_there_twice(foreign: Foreign) -> None:
    ask = "from importlib.metadata import distributions as d; print(*sorted(f'{x.name}=={x.version}' for x in d()))"
    there = foreign.compose("exec", "-T", "api", "python", "-c", ask).stdout.split()
    assert PINNED in there
    names = [one.partition("==")[0] for one in there]
    assert len(names) == len(set(names))


def test_its_version_is_its_own_repositorys(foreign: Foreign) -> None:
    commit = subprocess.run(
        [*GIT, "describe", "--always"], cwd=foreign.repository, capture_output=True, text=True, check=True
    ).stdout.strip()
    with foreign.client() as client:
        assert client.get("/health").json()["version"].removesuffix("-dirty") == commit


def test_no_other_service_has_its_secret(foreign: Foreign) -> None:
    for service in ("nginx", "prometheus", "alertmanager", "operators"):
        found = foreign.compose("exec", "-T", service, "sh", "-c", "ls /run/secrets /etc/site; env").stdout
        assert "db_password" not in found
        assert "app.env" not in found


def test_its_reservations_reach_the_engine(foreign: Foreign) -> None:
    host = foreign.inspect("api")[0]["HostConfig"]
    assert (host["MemoryReservation"], host["CpuShares"]) == (64 << 20, 2048)


def test_its_rules_targets_and_lines_are_taken_up(foreign: Foreign) -> None:
    eventually(lambda: foreign.value('up{job="postgres"}') == 1, lambda: "not scraped")
    rules = foreign.compose("exec", "-T", "prometheus", "wget", "-qO-", "http://127.0.0.1:9090/api/v1/rules").stdout
    assert "PricesFail" in {rule["name"] for g in json.loads(rules)["data"]["groups"] for rule in g["rules"]}
    with foreign.client() as client:
        assert client.get("/robots.txt").text == "User-agent: *\nDisallow: /admin/\n"
        assert client.get("/admin/users").status_code == 403


def test_its_dashboards_are_where_grafana_looks(foreign: Foreign) -> None:
    config = json.loads(foreign.run("docker", "compose", "--profile", "*", "config", "--format", "json").stdout)
    mounted = {v["target"]: v["source"] for v in config["services"]["grafana"]["volumes"]}
    provider = (foreign.directory / "grafana/provisioning/dashboards/site.yml").read_text()
    assert f"path: {'/etc/site/dashboards'} " in provider
    assert Path(mounted["/etc/site/dashboards"]).resolve() == (foreign.ops / "dashboards").resolve()


def containers(stack: Stack) -> dict[str, dict[str, str]]:
    """Return each by its name: which it is, and that for which Compose makes one anew."""
    return {
        one["Name"]: {
            "id": one["Id"][:12],
            "configuration": one["Config"]["Labels"]["com.docker.compose.config-hash"][:12],
            "image": f"{one['Config']['Image']} {one['Image'][7:19]}",
            "created": one["Created"],
        }
        for one in stack.inspect()
    }


BROKEN: dict[str, tuple[str, str]] = {
    "rules/own.yml": ("groups: [", "Prometheus does not take its configuration: SITE_DIR/rules/own.yml: "),
    "nginx/own.conf": ("bogus on;", "SITE_DIR/nginx: not taken up; expected lines that NGINX takes in its server: "),
    "dashboards/own.json": ("{", "SITE_DIR/dashboards/own.json: not allowed; expected JSON"),
    "stand-ins.yml": (STAND_INS + "  more: {imaeg: x}\n", "COMPOSE_FILE="),
}


@pytest.mark.parametrize(
    "names", [["rules/own.yml", "nginx/own.conf"], ["dashboards/own.json"], ["stand-ins.yml"]], ids=" and ".join
)
def test_what_is_broken_is_one_line_and_changes_nothing(foreign: Foreign, names: list[str]) -> None:
    files, before = [foreign.ops / name for name in names], containers(foreign)
    texts = [file.read_text() if file.exists() else None for file in files]
    for name, file in zip(names, files, strict=True):
        file.write_text(BROKEN[name][0])
    try:
        lines = sorted(foreign.lines())
        assert len(lines) == len(names), lines
        for line, start in zip(lines, sorted(BROKEN[name][1] for name in names), strict=True):
            assert line.startswith(start)
        assert containers(foreign) == before
        with foreign.client() as client:
            assert client.get("/robots.txt").status_code == 200
    finally:
        for file, text in zip(files, texts, strict=True):
            file.unlink() if text is None else file.write_text(text)


def test_a_broken_target_file_and_a_secret_nobody_may_read_are_a_line_each(foreign: Foreign) -> None:
    target, secret, before = (
        foreign.ops / "targets" / "own.yml",
        foreign.ops / "secrets" / "db_password",
        containers(foreign),
    )
    target.write_text("- targets: none\n")
    secret.chmod(0o600)
    try:
        lines = sorted(foreign.lines())
        assert len(lines) == 2, lines
        assert lines[0].startswith(
            'Prometheus does not take its configuration: checking SD file "SITE_DIR/targets/own.yml"'
        )
        assert lines[1].startswith(
            "secrets: db_password: not allowed; expected a file that user 10001, who runs api, may"
        )
        assert containers(foreign) == before
    finally:
        target.unlink()
        secret.chmod(0o644)


def test_a_first_start_over_broken_rules_goes_without_what_is_theirs(foreign: Foreign) -> None:
    file = foreign.ops / "rules" / "own.yml"
    file.write_text("groups: [")
    try:
        command = ["run", "--rm", "--no-deps", "-T", "--volume", "/prometheus", "prometheus", "--version"]
        result = foreign.compose(*command, check=False)
    finally:
        file.unlink()
    assert result.returncode == 0, result.stderr
    assert "SITE_DIR: what is yours is broken, and nothing of it is used: SITE_DIR/rules/own.yml: " in result.stderr


def test_up_again_takes_up_what_was_added_and_makes_no_other_container(foreign: Foreign) -> None:
    before = containers(foreign)
    rules, lines = foreign.ops / "rules" / "more.yml", foreign.ops / "nginx" / "more.conf"
    rules.write_text("groups: [{name: more, rules: [{record: shop:more, expr: vector(7)}]}]")
    lines.write_text("location = /more { return 204; }")
    result = foreign.up_again()
    assert result.returncode == 0, result.stdout + result.stderr
    after = containers(foreign)
    others = [f"{n}: {before.get(n)}, then {after.get(n)}" for n in before | after if before.get(n) != after.get(n)]
    assert not others, "\n".join([result.stdout, *others])
    eventually(lambda: foreign.value("shop:more") == 7, lambda: "the rule was not taken up")
    with foreign.client() as client:
        assert client.get("/more").status_code == 204
