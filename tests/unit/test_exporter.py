"""The arbiter's door for Prometheus, on its own."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sightglass.metrics import exporter
from sightglass.metrics.slots import SlotDirectory


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with exporter._Server(("127.0.0.1", 0), SlotDirectory(tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_scrape_that_fails_says_so(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: SlotDirectory) -> None:
        raise LookupError("with details")

    with monkeypatch.context() as patch:
        patch.setattr(exporter, "gather", fail)
        answer = httpx.get(f"{address}/metrics")
        assert (answer.status_code, answer.reason_phrase) == (500, "LookupError")
        assert "details" not in answer.text
    assert httpx.get(f"{address}/metrics").status_code == 200
