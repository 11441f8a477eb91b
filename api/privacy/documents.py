"""What the routes that take documents have in common: how one is asked for, and what its examples are."""

import asyncio
import re
from typing import IO, Annotated, Any, NamedTuple, cast

from fastapi import Depends, Query, Request
from starlette.datastructures import Headers

from api.privacy.coding import CODINGS
from api.privacy.dependencies import ClientOf, InferenceOf, SettingsOf
from api.privacy.formats.charset import CHARSETS, find_charset, is_known
from api.privacy.formats.media import (
    CSV,
    MEDIA_TYPES,
    NDJSON,
    TEXT,
    TEXT_XML,
    TSV,
    XML,
    file_name,
    find_media_type,
    parse_header,
)
from api.problem import ProblemError, invalid

CLIENT_CLOSED_REQUEST = 499
"""NGINX's status for a client that left; only metrics and logs see it."""

EXAMPLES = {
    TEXT: ("Mail anna@example.com", "Mail [EMAIL_ADDRESS]"),
    CSV: ("name,mail\nAnna,anna@example.com\n", "name,mail\nAnna,[EMAIL_ADDRESS]\n"),
    TSV: ("name\tmail\nAnna\tanna@example.com\n", "name\tmail\nAnna\t[EMAIL_ADDRESS]\n"),
    XML: ("<mail>anna@example.com</mail>", "<mail>[EMAIL_ADDRESS]</mail>"),
    NDJSON: ('{"mail": "anna@example.com"}\n', '{"mail": "[EMAIL_ADDRESS]"}\n'),
}

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "pipe": "|", "space": " ", "colon": ":"}
DELIMITER = re.compile(rf'{"|".join(DELIMITERS)}|[^"\r\n\x00\ufeff]')


class Search(NamedTuple):
    """What to look for in documents."""

    language: str
    min_confidence: float
    delimiter: str | None = None


class Document(NamedTuple):
    """How a document is to be read and searched; all of it is supported."""

    media_type: str
    charset: str | None
    coding: str
    language: str
    min_confidence: float
    delimiter: str | None = None
    """Of a table; None when it tells it by itself."""


def content(side: int) -> dict[str, Any]:
    """Give the OpenAPI `content` of a document sent (0) or redacted (1)."""
    return {kind: {"schema": {"type": "string"}, "example": example[side]} for kind, example in EXAMPLES.items()}


SUFFIXES = {TEXT: "txt", CSV: "csv", TSV: "tsv", XML: "xml", TEXT_XML: "xml", NDJSON: "ndjson"}


def as_download(media_type: str, name: str) -> dict[str, str]:
    """Give the headers with which a browser saves a document, and never shows or runs what a client put into it."""
    return {
        "Content-Disposition": f'attachment; filename="{name}.{SUFFIXES[media_type]}"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
    }


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
    return "utf-8" if media_type in {XML, TEXT_XML} else CHARSETS[charset or "utf-8"].lower()


_UNSET = cast(float, None)  # a default that the description does not show as one


async def _search(
    settings: SettingsOf,
    inference: InferenceOf,
    client: ClientOf,
    language: Annotated[str, Query(max_length=16, description="A language the model has (ISO 639-1).")] = "en",
    min_confidence: Annotated[
        float,
        Query(ge=0, le=1, description="Leave findings below it alone; unset, `MIN_CONFIDENCE` says (0.35)."),
    ] = _UNSET,
    delimiter: Annotated[
        str | None,
        Query(
            pattern=f"^({DELIMITER.pattern})$",
            description="What parts the cells of a table: a character, or one of "
            f"{', '.join(DELIMITERS)}. A `delimiter` parameter of its media type goes before it; without either the "
            "table tells.",
        ),
    ] = None,
) -> Search:
    """Read the query; 422 for what is not supported."""
    languages = (await inference.model(client)).languages
    if language not in languages:
        raise invalid("/language", f"Input should be one of: {', '.join(languages)}")
    return Search(language, settings.min_confidence if min_confidence is _UNSET else min_confidence, delimiter)


SearchOf = Annotated[Search, Depends(_search)]


def coding_of(headers: Headers) -> str:
    """Give a body's content codings as one value, however many headers say them (RFC 9110, 5.2)."""
    return ", ".join(headers.getlist("content-encoding")).strip().lower() or "identity"


def document_of(request: Request, search: Search) -> Document:
    """Read the headers of a request whose body is one document; raises as `read_document`."""
    headers = request.headers
    return read_document(
        headers.get("content-type", ""),
        coding_of(headers),
        headers.get("content-disposition"),
        search,
    )


async def _document(request: Request, search: SearchOf) -> Document:
    return document_of(request, search)


DocumentOf = Annotated[Document, Depends(_document)]


def read_document(content_type: str, coding: str, disposition: str | None, search: Search) -> Document:
    """Read a document's headers.

    Raises:
        ProblemError: 415, its type, charset, delimiter or coding is not supported.

    """
    name, parameters = parse_header(content_type)
    media_type = find_media_type(name, file_name(disposition))
    if media_type is None:
        raise ProblemError(415, f"The media type should be one of: {', '.join(MEDIA_TYPES)}")
    if coding not in CODINGS:
        raise ProblemError(
            415, "This content coding is not supported", headers={"Accept-Encoding": "gzip, deflate, identity"}
        )
    delimiter = _delimiter(parameters.get("delimiter") or search.delimiter)
    return Document(media_type, _charset(parameters), coding, search.language, search.min_confidence, delimiter)


def _charset(parameters: dict[str, str]) -> str | None:
    name = parameters.get("charset", "")
    charset = find_charset(name)
    if (name and charset is None) or "charset*" in parameters:  # the extended form is for text (RFC 8187), no charset's
        what = f"The charset {name.upper()}" if is_known(name) else "This charset"
        raise ProblemError(415, f"{what} is not supported")
    return charset


def _delimiter(value: str | None) -> str | None:
    if value and not DELIMITER.fullmatch(value):
        raise ProblemError(415, f"The delimiter should be a character or one of: {', '.join(DELIMITERS)}")
    return DELIMITERS.get(value, value) if value else None
