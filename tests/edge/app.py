"""The application behind the edge in these tests, served by the runtime image; it imports nothing of ours."""

import asyncio
import hashlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI, Request, Response, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse

app = FastAPI()
made: Counter[str] = Counter()
held: dict[str, asyncio.Event] = {}


@app.api_route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def echo(request: Request) -> dict[str, object]:
    body = await request.body()
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name, []).append(value)
    return {
        "method": request.method,
        "url": str(request.url),
        "client": request.client.host if request.client else None,
        "headers": headers,
        "size": len(body),
    }


@app.post("/api/v1/predict")
async def predict(request: Request) -> dict[str, int]:
    return {"size": len(await request.body())}


@app.get("/api/v1/jobs/{job_id}")
async def job(job_id: str) -> str:
    return job_id


@app.get("/status/{code}")
async def status(code: int) -> Response:
    return PlainTextResponse("the app's own", status_code=code, headers={"Retry-After": "17"})


@app.api_route("/readily", methods=["GET", "POST"])
async def readily(request: Request) -> Response:
    """503 from a replica whose environment says so; arrivals are counted by method; /made tells."""
    made[request.method] += 1
    return PlainTextResponse("the app's own", status_code=503 if "SIGHTGLASS_UNREADY" in os.environ else 200)


@app.get("/problem")
async def problem() -> str:
    return "the app's own"


@app.post("/sink")
async def sink(request: Request) -> dict[str, object]:
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/produce/{mebibytes}")
async def produce(mebibytes: int) -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(mebibytes * 16):
            yield b"x" * 65536

    return StreamingResponse(chunks(), media_type="text/plain")


@app.api_route("/slow/{seconds}", methods=["GET", "POST"])
async def slow(request: Request, seconds: float) -> str:
    """Arrivals are counted by method; /made tells."""
    await request.body()
    made[request.method] += 1
    await asyncio.sleep(seconds)
    return "done"


@app.get("/drip/{count}/{pause}")
async def drip(count: int, pause: float) -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"."
            await asyncio.sleep(pause)

    return StreamingResponse(chunks(), media_type="text/plain")


@app.get("/events")
async def events() -> StreamingResponse:
    async def stream() -> AsyncIterator[bytes]:
        yield b"data: first\n\n"
        await asyncio.sleep(3600)

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.get("/ticks/{seconds}")
async def ticks(seconds: float) -> StreamingResponse:
    async def stream() -> AsyncIterator[bytes]:
        yield b"data: first\n\n"
        await asyncio.sleep(seconds)
        yield b"data: last\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.get("/page/{parts}")
async def page(parts: int) -> HTMLResponse:
    """A page of so many parts, each of which marks its place in the body; loaded, it asks for /loaded/{as many}."""
    loaded = "fetch('/loaded/' + Object.keys(document.body.dataset).length)"
    scripts = "".join(f'<script src="/part/{number}.js"></script>' for number in range(parts))
    return HTMLResponse(f'<!doctype html><title>page</title><body onload="{loaded}">{scripts}')


@app.get("/part/{number}.js")
async def part(number: int) -> Response:
    return Response(f"document.body.dataset.part{number} = 'here'", media_type="text/javascript")


@app.websocket("/socket")
async def socket(connection: WebSocket) -> None:
    await connection.accept()
    await connection.send_text(connection.headers["x-request-id"])
    while True:
        await connection.send_text(await connection.receive_text())


@app.get("/text/{size}")
async def text(size: int) -> JSONResponse:
    return JSONResponse("x" * size)


@app.get("/head/{size}")
async def head(size: int) -> Response:
    return PlainTextResponse("ok", headers={"X-Large": "x" * size})


@app.get("/cookies/{count}")
async def cookies(count: int) -> Response:
    answer = PlainTextResponse("ok")
    for number in range(count):
        answer.set_cookie(f"c{number}", "v" * 3500)
    return answer


@app.post("/die/{when}")
async def die(when: str) -> Response:
    """Have the worker killed, before the answer's head or after it."""
    if when == "before":
        os.kill(os.getpid(), signal.SIGKILL)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"begun"
        await asyncio.sleep(0)  # what was sent is the kernel's now
        os.kill(os.getpid(), signal.SIGKILL)

    return StreamingResponse(chunks(), headers={"Content-Length": "9000"})


@app.get("/long/{size}")
async def long(size: int) -> StreamingResponse:
    """As many bytes, slowly enough for the client to leave in between."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(size // 9000):
            yield b"x" * 9000
            await asyncio.sleep(0.1)

    return StreamingResponse(chunks(), headers={"Content-Length": str(size)})


@app.get("/made")
async def made_here() -> Counter[str]:
    return made


@app.get("/cached/{name}")
async def cached(
    name: str,
    pause: float = 0,
    control: str = "public, max-age=60",
    header: str = "",
    later: int = 200,
    size: int = 0,
) -> Response:
    """How often this name was made, in `size` bytes; with one more header (`Name: value`); later on, this status."""
    await asyncio.sleep(pause)
    made[name] += 1
    number = made[name]
    if name in held:
        await held[name].wait()
    headers = {"Cache-Control": control} | dict([header.split(": ")] if header else [])
    return PlainTextResponse(str(number).ljust(size), status_code=later if number > 1 else 200, headers=headers)


@app.put("/held/{name}")
async def hold(name: str) -> None:
    """Answer no request for this cached name until it is let go."""
    held[name] = asyncio.Event()


@app.delete("/held/{name}")
async def let_go(name: str) -> None:
    held.pop(name).set()


shop = APIRouter(prefix="/shop")


@shop.get("/items/{number:int}")
async def item(number: int) -> int:
    return number


@shop.post("/items/{name}")
async def named(name: str) -> str:
    return name


app.include_router(shop, prefix="/v2")
admin = FastAPI()


@admin.get("/users/{user}/größe")
async def size_of(user: str) -> str:
    return user


@admin.get('/quoted/"{word}"')
async def quoted(word: str) -> str:
    return word


@admin.websocket("/talk/{room}")
async def talk(connection: WebSocket, room: str) -> None:
    await connection.accept()
    await connection.send_text(room)
    await connection.close()


app.mount("/admin", admin)


@app.websocket("/closed/{room}")
async def closed(connection: WebSocket, room: str) -> None:
    await connection.close()


@app.get("/forging")
async def forging() -> Response:
    return PlainTextResponse("forged", headers={"X-Sightglass-Route": "/forged"})


if "SIGHTGLASS_RELEASE" in os.environ:
    app.add_api_route("/released/{number}", item)
