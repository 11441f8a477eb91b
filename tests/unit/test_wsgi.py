"""A WSGI application whose answer the server does not take."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.types import Message

from sightglass.server.wsgi import THREADS, ServedWSGI
from tests.unit.observed import Client, Observed, http
from tests.unit.test_middleware import errors_told

CHUNKS = 50  # more than a2wsgi lets wait


class RefusedError(Exception):
    """What a server raises."""


def refuse(kind: str) -> Callable[[Message], None]:
    def on_send(message: Message) -> None:
        if message["type"] == kind:
            raise RefusedError

    return on_send


@pytest.mark.parametrize("kind", ["http.response.start", "http.response.body"])
@pytest.mark.parametrize("writes", [False, True])
async def test_an_answer_that_is_refused_keeps_no_thread(kind: str, writes: bool) -> None:
    closed: list[bool] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        try:
            write = start_response("200 OK", [])
            for _ in range(CHUNKS):
                if writes:
                    write(b"x")
                yield b"y"
            assert environ["wsgi.input"].read() == b"body"
        finally:
            closed.append(True)

    served = ServedWSGI(app)
    for _ in range(THREADS + 1):
        client = Client({"type": "http.request", "body": b"body", "more_body": False})
        client.on_send = refuse(kind)
        with pytest.raises(RefusedError):
            await asyncio.wait_for(served(http("PUT"), client.receive, client.send), 10)
    assert closed == [True] * (THREADS + 1)


async def test_an_app_that_reads_on_after_its_answer_was_refused_gets_the_body() -> None:
    read: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        write = start_response("200 OK", [])
        for _ in range(CHUNKS):
            write(b"x")
        read.append(environ["wsgi.input"].read())
        return []

    client = Client(
        {"type": "http.request", "body": b"first ", "more_body": True},
        {"type": "http.request", "body": b"last", "more_body": False},
    )
    client.on_send = refuse("http.response.start")
    with pytest.raises(RefusedError):
        await asyncio.wait_for(ServedWSGI(app)(http("PUT"), client.receive, client.send), 10)
    assert read == [b"first last"]


async def test_an_answer_that_is_refused_is_a_failure() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("x-control", "\x01")])
        return [b"x"] * CHUNKS

    observed = Observed(ServedWSGI(app))
    client = Client()
    client.on_send = refuse("http.response.start")
    with pytest.raises(RefusedError):
        await asyncio.wait_for(observed.app(http(), client.receive, client.send), 10)
    assert observed.requests() == {("GET", "(unmatched)", "500"): 1}


@pytest.mark.parametrize("asks_another", [False, True])
async def test_a_body_that_breaks_off_is_no_error_and_what_else_is_reset_is_one(asks_another: bool) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
        except ConnectionResetError:
            if asks_another:
                raise ConnectionResetError from None
            raise
        return []

    observed = Observed(ServedWSGI(app))
    told = errors_told(observed)
    client = Client({"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"})
    with pytest.raises(ConnectionResetError) as raised:
        await asyncio.wait_for(observed.app(http("PUT"), client.receive, client.send), 10)
    assert told == [raised.value] * asks_another
    assert observed.requests() == {("PUT", "(unmatched)", "499"): 1}
