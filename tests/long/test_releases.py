"""Releases of images of a registry's, hooks, and deploys that are refused, killed or come two at once, under load."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.edge.load import Load
from tests.images.registry import Registry, running_registry
from tests.stack import Stack, docker, eventually, running_stack

SETTINGS = {"RATE_LIMIT": "100000", "RATE_BURST": "100000", "CONNECTION_LIMIT": "1000", "GUNICORN_TIMEOUT": "20"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(profiles=[], **SETTINGS, JOBS_REPLICAS="0") as running:
        yield running


@pytest.fixture(scope="module")
def registry(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry with two versions of the application, the second of which never becomes ready."""
    archive = tmp_path_factory.mktemp("saved") / "image.tar"
    with running_registry() as running:
        for tag, lines in (("1.2", "ENV COLOUR=green"), ("1.3", 'CMD ["sleep", "3600"]')):
            docker("save", "--output", str(archive), build(f"FROM {stack.project}\n{lines}\n"))
            running.add_saved("team/app", tag, archive)
        yield running


def build(dockerfile: str, *arguments: str) -> str:
    """Build an image without a context; returns its id."""
    command = ["docker", "build", "--quiet", *arguments, "-"]
    return subprocess.run(command, input=dockerfile, capture_output=True, text=True, check=True).stdout.strip()


def served(stack: Stack) -> set[str]:
    return set(stack.compose("ps", "--quiet", "api").stdout.split())


def variables(stack: Stack) -> set[str]:
    return {variable for container in stack.inspect("api") for variable in container["Config"]["Env"]}


def test_an_image_of_a_registry_is_deployed_by_its_digest_and_taken_back(stack: Stack, registry: Registry) -> None:
    first = stack.env_file.read_text()
    with Load(stack.https_url) as load:
        eventually(lambda: load.total() > 100, lambda: str(load.failures[-3:]))
        deployed = stack.run("make", "deploy", f"IMAGE={registry.ref('team/app', '1.2')}")
        assert deployed.returncode == 0, deployed.stderr
        assert "COLOUR=green" in variables(stack)
        reference = f"{registry.address}/team/app:1.2@sha256:"
        assert f"\nAPI_IMAGE={reference}" in stack.env_file.read_text()
        assert reference in stack.run("make", "releases").stdout

        # The next make up keeps it, though its tag has moved and its registry is gone.
        registry.manifests.clear()
        kept = served(stack)
        assert stack.run("python3", "scripts/build.py").returncode == 0
        stack.run("docker", "compose", "up", "--detach", "--no-deps", "api")
        assert served(stack) == kept

        back = stack.run("make", "rollback")
        assert back.returncode == 0, back.stderr
        assert "COLOUR=green" not in variables(stack)
        written = stack.env_file.read_text()
        assert written.startswith(first)
        assert stack.run("make", "rollback", "TO=2").returncode == 0
        assert "COLOUR=green" in variables(stack)
        assert stack.run("make", "rollback", "TO=1").returncode == 0
    assert load.failures == []


def test_a_broken_one_is_refused_and_the_old_one_serves(stack: Stack, registry: Registry) -> None:
    before, settings = served(stack), stack.env_file.read_text()
    with Load(stack.https_url) as load:
        eventually(lambda: load.total() > 100, lambda: str(load.failures[-3:]))
        gone = stack.run("make", "deploy", f"IMAGE={registry.ref('team/app', '9.9')}")
        assert "cannot be pulled" in gone.stderr
        stack.env_file.write_text(f"{settings}DEPLOY_BEFORE=echo no migration; exit 3\n")
        hooked = stack.run("make", "deploy")
        assert "DEPLOY_BEFORE failed with status 3, nothing was changed" in hooked.stderr
        assert "no migration" in hooked.stderr
        stack.env_file.write_text(settings)
    assert load.failures == []
    assert served(stack) == before
    assert stack.env_file.read_text() == settings
    assert stack.compose("ps", "--all", "--quiet", "api").stdout.split() == list(before)


def test_an_image_of_this_machine_s_own_is_deployed_as_it_is(stack: Stack) -> None:
    first = stack.env_file.read_text()
    name = f"{stack.project}-local:1"
    build(f"FROM {stack.project}\nENV COLOUR=amber\nLABEL org.opencontainers.image.title=app\n", "--tag", name)
    try:
        deployed = stack.run("make", "deploy", f"IMAGE={name}")
        assert deployed.returncode == 0, deployed.stderr
        assert "COLOUR=amber" in variables(stack)
        assert f"\nAPI_IMAGE={name}\nAPI_CONTEXT=\n" in stack.env_file.read_text()
        assert stack.run("make", "rollback").returncode == 0
        assert "COLOUR=amber" not in variables(stack)
        assert stack.env_file.read_text().startswith(first)
    finally:
        docker("image", "rm", "--force", name)


def test_hooks_run_in_the_new_image_with_the_application_s_variables(stack: Stack) -> None:
    settings = stack.env_file.read_text()
    before = 'test "$COLOUR" = red && echo before >> /app/runs/hooks'
    hooks = f"DEPLOY_BEFORE='{before}'\nDEPLOY_AFTER=echo after >> /app/runs/hooks\n"
    stack.env_file.write_text(settings + hooks)
    (stack.directory / "app.env").write_text("COLOUR=red\n")
    deployed = stack.run("make", "deploy")
    assert deployed.returncode == 0, deployed.stderr
    assert stack.compose("exec", "-T", "api", "cat", "/app/runs/hooks").stdout == "before\nafter\n"


def test_two_at_once_are_one_and_a_killed_one_leaves_no_lock(stack: Stack) -> None:
    before = len(stack.inspect("api"))
    first = subprocess.Popen(
        ["python3", "scripts/deploy.py", "--no-build"], cwd=stack.directory, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    assert first.stdout.readline()  # it has the lock
    second = stack.run("make", "deploy")
    assert second.returncode != 0
    assert "another deploy, or make up, is under way" in second.stderr
    first.kill()
    first.communicate()
    assert stack.run("make", "scale", f"N={before}").returncode == 0  # where it had begun to replace them
    third = stack.run("python3", "scripts/deploy.py", "--no-build")
    assert third.returncode == 0, third.stderr
