"""What goes wrong or takes long."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

from fastapi import APIRouter, BackgroundTasks
from fastapi.responses import StreamingResponse

router = APIRouter()
logger = logging.getLogger(__name__)


class RefusedError(Exception):
    """An error whose message quotes what the client sent."""


@router.get("/fail")
async def fail(text: str = "nothing") -> None:
    raise RefusedError(f"cannot work with {text}")


@router.get("/broken-stream")
async def broken_stream(text: str = "nothing") -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        yield b"the first half"
        raise RefusedError(f"cannot work with {text}")

    return StreamingResponse(body())


@router.get("/slow")
async def slow(seconds: float = 1) -> dict[str, float]:
    await asyncio.sleep(seconds)
    return {"slept": seconds}


@router.get("/busy")
def busy(seconds: float = 1) -> dict[str, float]:
    """Slow in a thread."""
    time.sleep(seconds)
    return {"slept": seconds}


@router.get("/blocked")
async def blocked(seconds: float = 1) -> dict[str, float]:
    """Slow where it must not be: on the event loop."""
    time.sleep(seconds)  # noqa: ASYNC251
    return {"slept": seconds}


@router.get("/background")
async def background(tasks: BackgroundTasks, seconds: float = 0.05) -> dict[str, str]:
    tasks.add_task(asyncio.sleep, seconds)
    return {"status": "started"}


@router.get("/log")
async def log(lines: int = 1) -> dict[str, int]:
    for number in range(lines):
        logger.warning("a line of the app", extra={"number": number, "of": lines})
    return {"lines": lines}


@router.get("/caught")
async def caught(text: str = "nothing") -> dict[str, str]:
    try:
        raise RefusedError(f"cannot work with {text}")
    except RefusedError:
        logger.exception("caught one")
    return {"status": "caught"}
