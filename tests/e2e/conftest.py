"""The stacks that several modules share: one started the way the README says, and the shipped service's own."""

from collections.abc import Iterator

import pytest

from tests.stack import Stack, running_stack, say


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack started by `make up` from a clone made under a strict umask; what it printed is in `up.out`."""
    stack = Stack(tmp_path_factory.mktemp("up"), profiles=["monitoring"])
    for code in (stack.directory / "api", stack.directory / "sightglass"):
        for path in (code, *code.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
    say(f"{stack.project}: make up")
    try:
        result = stack.run("make", "up")
        assert result.returncode == 0, result.stdout + result.stderr
        (stack.directory / "up.out").write_text(result.stdout)
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="session")
def service() -> Iterator[Stack]:
    """The service with two job processes and Valkey, without monitoring; the edge's limits are out of the way."""
    with running_stack(
        profiles=["valkey"], RATE_LIMIT="100000", RATE_BURST="100000", CONNECTION_LIMIT="1000",
        JOBS_REPLICAS="2",
    ) as running:  # fmt: skip
        yield running
