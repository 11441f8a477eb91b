"""A registry of the tests' own, and this machine as `make up` and `make images` find it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.machine import Machine
from tests.images.registry import Registry, running_registry


@pytest.fixture
def registry() -> Iterator[Registry]:
    """An empty registry."""
    with running_registry() as running:
        yield running


@pytest.fixture
def machine(registry: Registry, tmp_path: Path) -> Iterator[Machine]:
    """This machine, told to take three of the stack's images from the registry, which it does not have yet."""
    machine = Machine(registry, tmp_path)
    yield machine
    machine.forget()
