"""One image with all applications, one stack that serves one of them after the other."""

from collections.abc import Iterator

import pytest

from tests.stack import Stack

# What an application's own variables may be called; the stack has some of these names, too.
OWN = {"PORT": "9000", "LOG_LEVEL": "chatty", "ENVIRONMENT": "local", "APP_NAME": "My App", "WEB_CONCURRENCY": "many"}


@pytest.fixture(scope="session")
def unmodified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Applications in an image of their own, whose Dockerfile stays as it is."""
    stack = Stack(
        tmp_path_factory.mktemp("apps"), profiles=[], API_CONTEXT="./tests/apps", APP="catalogue.main:app",
        JOBS_REPLICAS="0", RATE_LIMIT="1000", RATE_BURST="1000",
    )  # fmt: skip
    (stack.directory / "app.env").write_text("".join(f"{name}={value}\n" for name, value in OWN.items()))
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
