"""What the routes that take documents have in common: how one is asked for, and what its examples are."""

import asyncio
from email.message import Message
from typing import IO, Annotated, Any, NamedTuple

from fastapi import Depends, Query, Request

from api.privacy.coding import CODINGS
from api.privacy.dependencies import InferenceOf
from api.privacy.formats.charset import CHARSETS, find_charset
from api.privacy.redactor import MEDIA_TYPES, XML
from api.problem import ProblemError, invalid

CLIENT_CLOSED_REQUEST = 499
"""NGINX's status for a client that left; only metrics and logs see it."""

EXAMPLES = {
    "text/plain": ("Mail anna@example.com", "Mail [EMAIL_ADDRESS]"),
    "text/csv": ("name,mail\nAnna,anna@example.com\n", "name,mail\nAnna,[EMAIL_ADDRESS]\n"),
    "application/xml": ("<mail>anna@example.com</mail>", "<mail>[EMAIL_ADDRESS]</mail>"),
    "application/x-ndjson": ('{"mail": "anna@example.com"}\n', '{"mail": "[EMAIL_ADDRESS]"}\n'),
}


class Search(NamedTuple):
    """What to look for in documents."""

    language: str
    min_confidence: float


class Document(NamedTuple):
    """How a document is to be read and searched; all of it is supported."""

    media_type: str
    charset: str | None
    coding: str
    language: str
    min_confidence: float


def content(side: int) -> dict[str, Any]:
    """Give the OpenAPI `content` of a document sent (0) or redacted (1)."""
    return {kind: {"schema": {"type": "string"}, "example": example[side]} for kind, example in EXAMPLES.items()}


async def receive(request: Request, file: IO[bytes]) -> None:
    """Write the body to a file as it arrives, off the event loop.

    Raises:
        ClientDisconnect: the client left.
        OSError: there is no room.
        ProblemError: 413, the body is over its limit.

    """
    async for chunk in request.stream():
        await asyncio.to_thread(file.write, chunk)


def output_charset(media_type: str, charset: str | None) -> str:
    """Give the charset of what comes back."""
    return "utf-8" if MEDIA_TYPES[media_type] == XML else CHARSETS[charset or "utf-8"].lower()


async def _search(
    inference: InferenceOf,
    language: Annotated[str, Query(max_length=16, description="A language the model has (ISO 639-1).")] = "en",
    min_confidence: Annotated[float, Query(ge=0, le=1, description="Leave findings below it alone.")] = 0.35,
) -> Search:
    """Read the query; 422 for what is not supported."""
    languages = (await inference.model()).languages
    if language not in languages:
        raise invalid("/language", f"Input should be one of: {', '.join(languages)}")
    return Search(language, min_confidence)


SearchOf = Annotated[Search, Depends(_search)]


def document_of(request: Request, search: Search) -> Document:
    """Read the headers of a request whose body is one document; raises as `read_document`."""
    headers = request.headers
    return read_document(headers.get("content-type", ""), headers.get("content-encoding", "identity"), search)


async def _document(request: Request, search: SearchOf) -> Document:
    return document_of(request, search)


DocumentOf = Annotated[Document, Depends(_document)]


def read_document(content_type: str, content_encoding: str, search: Search) -> Document:
    """Read a document's headers.

    Raises:
        ProblemError: 415, its type, charset or coding is not supported.

    """
    media_type, charset = _content_type(content_type)
    coding = content_encoding.strip().lower()
    if coding not in CODINGS:
        raise ProblemError(
            415, "This content coding is not supported", headers={"Accept-Encoding": "gzip, deflate, identity"}
        )
    return Document(media_type, charset, coding, search.language, search.min_confidence)


def _content_type(value: str) -> tuple[str, str | None]:
    """Give the media type, and the charset if there is one.

    Raises:
        ProblemError: 415, one of them is not supported.

    """
    media_type = value.partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise ProblemError(415, f"The media type should be one of: {', '.join(MEDIA_TYPES)}")
    header = Message()
    header["Content-Type"] = value
    name = header.get_content_charset()
    charset = find_charset(name) if name else None
    if name and not charset:
        raise ProblemError(415, "This charset is not supported")
    return media_type, charset
