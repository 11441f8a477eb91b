"""The shipped app under test: with the real model, or with one that does what a test says."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from prometheus_client import REGISTRY

from api.main import create_app
from api.privacy.findings import Finding, Model, load_model
from api.settings import Settings
from tests.support.waiting import eventually as eventually

Find = Callable[[str], list[Finding]]


class StubModel:
    """A model whose findings a test decides."""

    name = "stub"
    version = "1"
    languages: Sequence[str] = ("en", "de")

    def __init__(self, find: Find = lambda _: []) -> None:
        self._find = find

    def find(self, text: str, language: str, min_confidence: float) -> list[Finding]:
        assert language in self.languages
        return [finding for finding in self._find(text) if finding.score >= min_confidence]


def words(word: str, score: float = 1.0) -> Find:
    """Find every occurrence of a word."""

    def find(text: str) -> list[Finding]:
        found = []
        start = text.find(word)
        while start >= 0:
            found.append(Finding(start, start + len(word), "WORD", score))
            start = text.find(word, start + len(word))
        return found

    return find


@contextmanager
def serving(
    load: Callable[[Path | None], Model] = load_model, *, ready: bool = True, **settings: Any
) -> Iterator[TestClient]:
    """Run the app, once the model is ready unless told otherwise."""
    app = create_app(Settings(**settings), load)
    with TestClient(app, raise_server_exceptions=False) as client:
        if ready:
            eventually(lambda: app.state.inference.check() is None)
        yield client


def model_reason(client: TestClient) -> str | None:
    """What readiness says of the model."""
    reason: str | None = client.app.state.inference.check()  # type: ignore[attr-defined]
    return reason


def metric(name: str, **labels: str) -> float:
    """A sample's value, 0 when it does not exist yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
