"""A constant, bounded load on an edge, of every kind of client, that keeps account of whatever fails."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType

import httpx

SENT_AGAIN = 3
"""Times, at most: what a connection has refused unprocessed."""
TEXT = {"text": "Mail jane@example.org at once.", "language": "en"}


class Load:
    """Sends from when it is entered until it is left. `phase` says what was going on when a request failed.

    With `long_upload`, one kind of request takes that many seconds.
    """

    def __init__(self, url: str, *, long_upload: float = 0) -> None:
        self.url = url
        self.phase = "before"
        self.sent: Counter[str] = Counter()
        self.failures: list[str] = []
        self._stop = threading.Event()
        clients = [self._keep_alive] * 6 + [self._predict, self._new_connections, self._http2]
        clients.append(partial(self._upload, "upload", 3))
        if long_upload:
            clients.append(partial(self._upload, "long upload", long_upload))
        self._threads = [threading.Thread(target=self._run, args=(client,), daemon=True) for client in clients]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def total(self) -> int:
        """Return how many requests have been answered or have failed."""
        return self.sent.total() + len(self.failures)

    def _run(self, client: Callable[[], None]) -> None:
        while not self._stop.is_set():
            phase = self.phase
            try:
                client()
            except Exception as error:
                name = getattr(client, "func", client).__name__
                self.failures.append(f"{name} in {phase}/{self.phase}: {error!r}")
                time.sleep(0.05)

    def _open(self, *, http2: bool = False) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=False, timeout=60, http2=http2)  # the certificate changes

    def _check(self, name: str, answer: httpx.Response) -> None:
        if answer.status_code != 200:
            retry = answer.headers.get("retry-after")
            raise AssertionError(f"{answer.status_code}, retry after {retry}: {answer.text[:200].strip()}")
        self.sent[name] += 1

    def _keep_alive(self) -> None:
        """One connection for many requests, as a browser or a service has it."""
        with self._open() as client:
            while not self._stop.is_set():
                self._check("keep-alive", client.get("/health"))
                time.sleep(0.05)

    def _predict(self) -> None:
        """Bodies that must not be sent twice."""
        with self._open() as client:
            while not self._stop.is_set():
                answer = client.post("/api/v1/predict", json=TEXT)
                self._check("predict", answer)
                assert len(answer.json()["entities"]) == 1
                time.sleep(0.05)

    def _upload(self, name: str, seconds: float) -> None:
        """A body that takes its time to arrive."""

        def parts() -> Iterator[bytes]:
            yield b'{"language": "en", "text": "'
            for _ in range(10):
                self._stop.wait(seconds / 10)  # the rest comes at once, and is answered
                yield b"word "
            yield b'jane@example.org"}'

        with self._open() as client:
            answer = client.post("/api/v1/predict", content=parts(), headers={"Content-Type": "application/json"})
            self._check(name, answer)
            assert len(answer.json()["entities"]) == 1

    def _new_connections(self) -> None:
        """A handshake each."""
        with self._open() as client:
            self._check("new connection", client.get("/health"))
        time.sleep(0.05)

    def _http2(self) -> None:
        """A connection that a reload meets in its first moment is refused whole, unprocessed.

        A client then sends again, POSTs too (RFC 9113, section 6.8); httpcore leaves that to its user. Reloads that
        follow each other may meet the next connection as well.
        """
        for left in reversed(range(SENT_AGAIN + 1)):
            try:
                with self._open(http2=True) as client:
                    self._check("HTTP/2", client.get("/health"))
                break
            except httpx.RemoteProtocolError as error:
                # httpcore gives a connection up at a GOAWAY, even where the answer would still have come.
                if not left or "error_code:0, last_stream_id:" not in str(error):
                    raise
                self.sent["HTTP/2, sent again"] += 1
        time.sleep(0.05)
