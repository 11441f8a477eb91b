"""Bodies in pieces: downloads, uploads, server-sent events, WebSockets."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

router = APIRouter()


@router.get("/stream/{chunks}")
async def download(chunks: int, size: int = 1024, pause: float = 0) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(chunks):
            yield b"x" * size
            await asyncio.sleep(pause)

    return StreamingResponse(body(), media_type="application/octet-stream")


@router.post("/echo")
async def echo(request: Request) -> StreamingResponse:
    """The body, sent back while it arrives."""
    return StreamingResponse(request.stream(), media_type="application/octet-stream")


@router.post("/count")
async def count(request: Request) -> dict[str, int]:
    return {"bytes": sum([len(chunk) async for chunk in request.stream()])}


@router.get("/events")
async def events(count: int = 3, pause: float = 0.01) -> StreamingResponse:
    async def body() -> AsyncIterator[str]:
        for number in range(count):
            yield f"event: tick\ndata: {number}\n\n"
            await asyncio.sleep(pause)

    return StreamingResponse(body(), media_type="text/event-stream")


@router.websocket("/ws/{room}")
async def room(socket: WebSocket, room: str) -> None:
    """Echo texts until the client leaves; nobody gets into the room "closed"."""
    if room == "closed":
        await socket.close(1008)
        return
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass
