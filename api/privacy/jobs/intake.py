"""The documents of a request as they are taken in: its body, or each part of a `multipart/form-data` one (RFC 7578)."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import NamedTuple, Protocol

from fastapi import Request
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
)

from api.privacy.documents import Document, Search, coding_of, document_of, read_document
from api.privacy.formats.document import DocumentError
from api.privacy.formats.media import TEXT, file_name, parse_header
from api.privacy.jobs.store import JobStore, Upload
from api.privacy.jobs.threads import in_thread

MULTIPART = "multipart/form-data"
MAX_DOCUMENTS = 1000
"""Documents of one request."""
PLAIN = {
    "Content-Transfer-Encoding": frozenset({"7bit", "8bit", "binary"}),
    "Content-Encoding": frozenset({"identity"}),
}
"""Headers of a part that say how it is written, and what they say of one that stands as it is."""


class Received(NamedTuple):
    """A document that is kept for good, below a directory. `size` in bytes as sent."""

    directory: str
    document: Document
    size: int
    digest: str


class Intake(Protocol):
    """Writes what it is fed; blocks on the disk."""

    def feed(self, chunk: bytes) -> None:
        """Write more of the body. Raises `ProblemError` for what is wrong with it, `OSError` when there is no room."""

    def finish(self) -> list[Received]:
        """End the body; give its documents, in order. Raises as `feed` does."""


def is_multipart(request: Request) -> bool:
    """Tell whether the body is many documents."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == MULTIPART


@asynccontextmanager
async def uploading(store: JobStore, client: str) -> AsyncIterator[Upload]:
    """Give room for documents to be jobs; what was not accepted is removed, off the event loop."""
    room = ExitStack()
    try:
        yield room.enter_context(store.upload(client))
    finally:
        await in_thread(room.close)


async def take_in(request: Request, search: Search, upload: Upload) -> list[Received]:
    """Keep a request's documents, off the event loop.

    Raises:
        ClientDisconnect: the client left.
        OSError: there is no room.
        ProblemError: 413, 415 or 422, the body is too large, of no supported kind or broken.
        ShareError: there is no room for this client.

    """
    with ExitStack() as files:
        intake: Intake = (_Many if is_multipart(request) else _One)(request, search, upload, files)
        announced = request.headers.get("content-length", "")
        if announced.isdecimal():
            await in_thread(upload.expect, int(announced))
        async for chunk in request.stream():
            await in_thread(intake.feed, chunk)
        return await in_thread(intake.finish)


class _Incoming:
    """One document."""

    def __init__(self, upload: Upload, document: Document, files: ExitStack) -> None:
        self._upload = upload
        self._document = document
        self._open = files.enter_context(ExitStack())
        self._directory, draft = upload.part()
        self._draft = self._open.enter_context(draft)
        self._digest = hashlib.sha256(repr(document).encode())

    def write(self, data: bytes | bytearray) -> None:
        self._upload.take(len(data))
        self._draft.write(data)
        self._digest.update(data)

    def end(self) -> Received:
        with self._open:
            size = self._draft.keep()
        return Received(self._directory, self._document, size, self._digest.hexdigest())


class _One:
    def __init__(self, request: Request, search: Search, upload: Upload, files: ExitStack) -> None:
        self._document = document_of(request, search)
        self._upload = upload
        self._files = files
        self._incoming: _Incoming | None = None

    def feed(self, chunk: bytes) -> None:
        if self._incoming is None:
            self._incoming = _Incoming(self._upload, self._document, self._files)
        self._incoming.write(chunk)

    def finish(self) -> list[Received]:
        self.feed(b"")
        assert self._incoming  # noqa: S101  (it has been fed)
        return [self._incoming.end()]


class _Many:
    """Every part is a document, whatever it is called; a file's name counts where its type says little."""

    def __init__(self, request: Request, search: Search, upload: Upload, files: ExitStack) -> None:
        _, parameters = parse_header(request.headers["content-type"])
        try:
            self._parser = PushMultipartParser(
                parameters.get("boundary", ""), max_segment_count=MAX_DOCUMENTS, header_charset="latin-1"
            )
        except MultipartError:
            raise DocumentError("The form's boundary is missing or not allowed") from None
        if coding_of(request.headers) != "identity":
            raise DocumentError("A form may have no content coding")
        self._search = search
        self._upload = upload
        self._files = files
        self._incoming: _Incoming | None = None
        self._received: list[Received] = []

    def feed(self, chunk: bytes) -> None:
        if not chunk:  # the parser would take it for the end
            return
        for event in self._events(chunk):
            if isinstance(event, MultipartSegment):
                self._incoming = _Incoming(self._upload, self._document(event), self._files)
            elif self._incoming and event is not None:
                self._incoming.write(event)
            elif self._incoming:
                self._received.append(self._incoming.end())
                self._incoming = None

    def finish(self) -> list[Received]:
        for _ in self._events(b""):
            pass
        if not self._received:
            raise DocumentError("The form has no document")
        return self._received

    def _document(self, part: MultipartSegment) -> Document:
        """Read a part's headers. One without a type is text (RFC 7578, 4.4), unless its file has a name."""
        for name, value in part.headerlist:
            if name in PLAIN and value.strip().lower() not in PLAIN[name]:
                raise DocumentError("A part of a form may have no encoding", status=415)
        disposition = part.header("Content-Disposition")
        kind = "" if file_name(disposition) else TEXT
        return read_document(part.header("Content-Type", kind), "identity", disposition, self._search)

    def _events(self, chunk: bytes) -> Iterator[MultipartSegment | bytearray | None]:
        try:
            yield from self._parser.parse(chunk)
        except MultipartError:
            raise DocumentError(f"The form is broken, or has more than {MAX_DOCUMENTS} documents") from None
