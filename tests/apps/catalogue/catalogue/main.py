"""The application: routers, a mounted part, what it runs on."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI, UploadFile, WebSocket
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

started: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Note that it ran."""
    started.append("yes")
    yield


class Book(BaseModel):
    """What is asked for."""

    title: str
    pages: int


async def shelf(request: Request) -> PlainTextResponse:
    """Answer in a mounted part."""
    return PlainTextResponse(request.path_params["shelf"])


books = APIRouter(prefix="/books")
app = FastAPI(lifespan=lifespan, routes=[Mount("/shelves", Starlette(routes=[Route("/{shelf}", shelf)]))])


@books.get("/{number}")
async def book(number: int) -> Book:
    """Return a book; of a number below 0 there is none."""
    if number < 0:
        raise LookupError(number)
    return Book(title=f"No. {number}", pages=number)


@books.post("/{number}/scan")
async def scan(number: int, file: UploadFile) -> dict[str, int]:
    """Take a file, and say how long it is."""
    return {"number": number, "size": file.size or 0}


@books.websocket("/{number}/talk")
async def talk(socket: WebSocket, number: int) -> None:
    """Say something back."""
    await socket.accept()
    await socket.send_text(await socket.receive_text())


@app.get("/about")
async def about() -> dict[str, object]:
    """Tell what it runs on."""
    names = ("fastapi", "starlette", "pydantic", "anyio", "typing_extensions")
    return {
        "versions": {name: version(name) for name in names},
        "environment": {name: os.environ.get(name, "absent") for name in ("GREETING", "PORT", "LOG_LEVEL", "APP_NAME")},
        "lifespan": started,
        "python": sys.version.split()[0],
        "user": os.getuid(),
    }


app.include_router(books)
