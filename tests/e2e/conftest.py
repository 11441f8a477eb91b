"""A stack started the way the README says."""

from collections.abc import Iterator

import pytest

from tests.stack import Stack, say


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack started by `make up`; what it printed is in `up.out`."""
    stack = Stack(tmp_path_factory.mktemp("up"), profiles=["monitoring"])
    say(f"{stack.project}: make up")
    try:
        result = stack.run("make", "up")
        assert result.returncode == 0, result.stdout + result.stderr
        (stack.directory / "up.out").write_text(result.stdout)
        yield stack
    finally:
        stack.down()
