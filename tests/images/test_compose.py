"""The ordinary tool against a registry: what it pulls, and what it never asks for."""

import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.machine import services
from tests.images.registry import Registry, layer

ROOT = Path(__file__).resolve().parent.parent.parent
SERVICES = services()
BUILT = {name for name, service in SERVICES.items() if "build" in service}
OFFICIAL = sorted(name for name in SERVICES.keys() - BUILT if "API_IMAGE" not in SERVICES[name]["image"])
OWN = sorted(SERVICES.keys() - OFFICIAL)


def variable(name: str) -> str:
    """Return the variable that names a service's image."""
    return str(SERVICES[name]["image"]).removeprefix("${").partition(":")[0]


class Project:
    """The production stack by plain `docker compose`, every image in the registry, somebody else's API among them."""

    def __init__(self, registry: Registry, directory: Path) -> None:
        self.name = f"sightglass-test-{uuid.uuid4().hex[:8]}"
        self.registry = registry
        self.env_file = directory / "env"
        self.api_image = registry.ref(f"{self.name}/api", "latest")
        (directory / "context").mkdir()
        (directory / "context" / "Dockerfile").write_text('FROM scratch\nCOPY built /built\nCMD ["/built"]\n')
        (directory / "context" / "built").write_text("here")
        registry.add(f"{self.name}/api", "latest", layer(theirs=b"somebody else's"), Cmd=["/theirs"])
        # One image for each variable: the operators' door is NGINX's, too.
        distinct = {variable(name): name for name in OFFICIAL}.values()
        self.refs = {name: registry.ref(f"{self.name}/{name}", "1") for name in distinct}
        for name in distinct:
            registry.add(f"{self.name}/{name}", "1", layer(name=f"{self.name} {name}".encode()), Cmd=["/none"])
        lines = [
            f"COMPOSE_PROJECT_NAME={self.name}",
            f"API_IMAGE={self.api_image}",
            f"API_CONTEXT={directory / 'context'}",
            *(f"{variable(name)}={ref}" for name, ref in self.refs.items()),
        ]
        self.env_file.write_text("\n".join(lines) + "\n")

    def compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        files = ("--file", "docker-compose.prod.yml", "--env-file", str(self.env_file))
        environment = {n: v for n, v in os.environ.items() if n not in ("API_IMAGE", "COMPOSE_FILE")}
        return subprocess.run(
            ["docker", "compose", *files, "--profile", "*", *arguments],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def asked_for_the_api(self) -> list[str]:
        return [path for path in self.registry.asked if path.startswith(f"/v2/{self.name}/api/")]


@pytest.fixture
def project(registry: Registry, tmp_path: Path) -> Iterator[Project]:
    project = Project(registry, tmp_path)
    yield project
    project.compose("down", "--volumes")
    images = [project.api_image, *project.refs.values()]
    subprocess.run(["docker", "image", "rm", "--force", *images], capture_output=True, check=False)


def test_pull_pulls_what_is_official_and_is_done(project: Project) -> None:
    result = project.compose("pull")
    assert result.returncode == 0, result.stderr
    for name, ref in project.refs.items():
        inspected = subprocess.run(["docker", "image", "inspect", ref], capture_output=True, check=False)
        assert inspected.returncode == 0, name
    assert project.asked_for_the_api() == []


def test_the_first_up_builds_the_api_and_asks_nobody_for_it(project: Project) -> None:
    others = SERVICES.keys() - (BUILT - {"api"})  # not MLflow's, which takes minutes
    result = project.compose("up", "--no-start", *sorted(others))
    assert result.returncode == 0, result.stderr
    assert project.asked_for_the_api() == []
    inspected = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Config.Cmd}}", project.api_image],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert inspected.stdout.strip() == "[/built]"


@pytest.mark.parametrize("name", OWN)
def test_what_runs_the_apis_image_never_pulls_it(name: str) -> None:
    assert SERVICES[name]["pull_policy"] == "never"


def test_grafana_fetches_nothing() -> None:
    off = {
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        "GF_PLUGINS_PLUGIN_ADMIN_ENABLED": "false",
        "GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED": "true",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_SECURITY_DISABLE_GRAVATAR": "true",
        "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
    }
    told = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / SERVICES["grafana"]["env_file"]).read_text(), re.MULTILINE))
    assert {name: told.get(name) for name in off} == off


@pytest.mark.parametrize("tree", ["grafana/provisioning", "grafana/telemetry/true"])
def test_every_folder_grafana_provisions_from_is_there(tree: str) -> None:
    tracked = subprocess.run(["git", "ls-files", tree], cwd=ROOT, capture_output=True, text=True, check=True)
    folders = {path.removeprefix(f"{tree}/").split("/")[0] for path in tracked.stdout.split()}
    assert folders == {"alerting", "dashboards", "datasources", "plugins"}
