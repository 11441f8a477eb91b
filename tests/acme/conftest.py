"""A stack with names of its own, before it has a certificate, and those names as this process finds them."""

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acme.pebble import DIRECTORY, Pebble, trust
from tests.stack import Stack, running_stack

NAMES = ("shop.example", "www.shop.example")
SETTINGS = {
    "SERVER_NAME": " ".join(NAMES), "ACME_EMAIL": "ops@shop.example", "ACME_SERVER": DIRECTORY,
    "TLS_CHECK_SECONDS": "1", "RATE_LIMIT": "100000", "RATE_BURST": "100000", "CONNECTION_LIMIT": "1000",
    "JOBS_REPLICAS": "0",
}  # fmt: skip


@pytest.fixture(scope="module")
def named() -> Iterator[None]:
    """Resolve the names here to this machine, where the stack's ports are."""
    real = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith("shop.example") else host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        yield


@pytest.fixture(scope="module")
def shop(named: None) -> Iterator[Stack]:
    """The stack without monitoring, and without lego, which `--profile acme` starts."""
    with running_stack(profiles=[], **SETTINGS) as running:
        trust(running)
        chosen = running.run(sys.executable, "scripts/images.py", "lego")
        assert chosen.returncode == 0, chosen.stderr
        yield running
        running.compose("--profile", "acme", "rm", "--stop", "--force", "lego")


@pytest.fixture(scope="module")
def pebble(shop: Stack) -> Iterator[Pebble]:
    """The CA, which finds all names."""
    running = Pebble(shop, NAMES)
    try:
        yield running
    finally:
        running.close()
