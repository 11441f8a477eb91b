"""A fresh clone with a registry at hand, by the ordinary tool alone: `docker compose --profile monitoring up`.

The registry's images are the stand-ins, which have the official ones' layout, users and entry points, under the
official names and held to their digests; in Grafana's place is what answers its health check.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.images import build
from tests.images.registry import Registry, running_registry
from tests.images.test_stand_ins import PINS, STAND_INS
from tests.stack import Stack, docker, say

pytestmark = pytest.mark.timeout(3000)

GRAFANA = """
FROM {base}
USER root
RUN mkdir -p /www/api && echo ok >/www/api/health && useradd --uid 472 --gid 0 grafana
USER 472
ENTRYPOINT ["busybox", "httpd", "-f", "-p", "3000", "-h", "/www"]
"""
PULLED_ONLY = ("collector", "victoria-logs", "jaeger")
"""Whatever image has their names: they are not started here."""
GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    """A registry with every image of the stack."""
    with running_registry() as running:
        yield running


@pytest.fixture(scope="module")
def references(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Put every image into the registry; gives service to reference, by tag and digest."""
    directory = tmp_path_factory.mktemp("saved")
    references = {}
    for name in (*STAND_INS, "grafana", *PULLED_ONLY):
        pin = PINS[name]
        say(f"{pin} into the registry")
        image = build(name if name in STAND_INS else "node-exporter")
        if name == "grafana":
            (directory / "Dockerfile").write_text(GRAFANA.format(base=image))
            image = "sightglass-test-grafana"
            docker("buildx", "build", "--load", "--quiet", "--tag", image, str(directory))
        docker("save", "--output", str(directory / "saved.tar"), image)
        repository, _, tag = pin.partition("@")[0].partition(":")
        repository = repository if "/" in repository else f"library/{repository}"
        digest = registry.add_saved(repository, tag, directory / "saved.tar")
        references[name] = registry.ref(repository, f"{tag}@{digest}")
        (directory / "saved.tar").unlink()
    yield references
    subprocess.run(
        ["docker", "image", "rm", "--force", "sightglass-test-grafana", *references.values()],
        capture_output=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def clone(references: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A clone with a `.env` that names the registry's images; nothing has been run in it."""
    settings = {f"{name.replace('-', '_').upper()}_IMAGE": reference for name, reference in references.items()}
    stack = Stack(
        tmp_path_factory.mktemp("clone"), profiles=["monitoring"], CA_BUNDLE=".build/ca-certificates.crt", **settings
    )
    # What `make` lends by itself: packages are installed through whatever stands between this machine and their source.
    lent = stack.directory / ".build" / "ca-certificates.crt"
    lent.parent.mkdir(exist_ok=True)
    shutil.copy(Path("/etc/ssl/certs/ca-certificates.crt"), lent)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "as cloned"]):
        assert stack.run(*GIT, *command).returncode == 0
    yield stack
    stack.down()


def test_it_comes_up_from_the_registry_and_knows_its_commit(
    clone: Stack, registry: Registry, references: dict[str, str]
) -> None:
    result = clone.run("docker", "compose", "--profile", "monitoring", "up", "--detach", "--wait")
    assert result.returncode == 0, f"{result.stderr[-4000:]}\n{clone.logs()}"
    running = {item["Config"]["Labels"]["com.docker.compose.service"]: item for item in clone.inspect()}
    assert running.keys() >= references.keys() - {"python", "valkey", *PULLED_ONLY}
    for name in running.keys() & references.keys():
        assert running[name]["Config"]["Image"] == references[name]
    assert not [path for path in registry.asked if "sightglass" in path]
    with clone.client() as client:
        assert client.get("/health").json()["version"] == clone.run("git", "rev-parse", "HEAD").stdout[:7]


def test_pull_is_done_when_everything_is_pulled(clone: Stack) -> None:
    result = clone.run("docker", "compose", "--profile", "*", "pull")
    assert result.returncode == 0, result.stderr


def test_make_images_has_nothing_to_change(clone: Stack) -> None:
    before = clone.env_file.read_text()
    result = clone.run("python3", "scripts/images.py")
    assert result.returncode == 0, result.stderr
    assert clone.env_file.read_text() == before


def test_what_runs_is_what_the_digest_says(clone: Stack, references: dict[str, str]) -> None:
    for name, reference in references.items():
        if name == "python":
            continue
        (image,) = json.loads(docker("image", "inspect", reference))
        assert any(digest.endswith(reference.partition("@")[2]) for digest in image["RepoDigests"]), name
