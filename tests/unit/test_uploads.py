"""Uploads whose room on disk is missing: told in the log and answered as what they are; old ones go at the start."""

import logging
import resource
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, UploadFile
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from sightglass import instrument
from sightglass.server.__main__ import empty

MEBIBYTE = 1024 * 1024


@pytest.fixture
def full_beyond_two_mebibytes() -> Iterator[None]:
    """No file of this process's may grow beyond it: the kernel refuses the write, as on a full disk."""
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MEBIBYTE, most))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))


def of_fastapi() -> FastAPI:
    app = FastAPI()

    @app.post("/")
    async def size(file: UploadFile) -> int:
        return len(await file.read())

    return app


def of_fastapi_mounted() -> FastAPI:
    app = FastAPI()
    app.mount("/", of_fastapi())
    return app


def of_starlette() -> Starlette:
    async def size(request: Request) -> PlainTextResponse:
        async with request.form() as form:
            file = form["file"]
            assert not isinstance(file, str)
            return PlainTextResponse(str(len(await file.read())))

    return Starlette(routes=[Route("/", size, methods=["POST"])])


async def upload(app: ASGIApp, size: int, boundary: str = "x") -> httpx.Response:
    transport = httpx.ASGITransport(instrument(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        body = head + b"." * size + b"\r\n--x--\r\n"
        return await client.post(
            "/", content=body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"}
        )


@pytest.mark.parametrize("make", [of_fastapi, of_fastapi_mounted, of_starlette])
@pytest.mark.usefixtures("full_beyond_two_mebibytes")
async def test_a_disk_that_is_full_is_507_and_a_line(make: object, caplog: pytest.LogCaptureFixture) -> None:
    assert callable(make)
    with caplog.at_level(logging.ERROR):
        answer = await upload(make(), 3 * MEBIBYTE)
    assert answer.status_code == 507
    told = [(one.name, one.getMessage()) for one in caplog.records if one.name.startswith("sightglass")]
    assert told == [("sightglass.uploads", "no room for an upload: File too large")]


@pytest.mark.parametrize("make", [of_fastapi, of_fastapi_mounted, of_starlette])
@pytest.mark.usefixtures("full_beyond_two_mebibytes")
async def test_what_fits_is_taken(make: object) -> None:
    assert callable(make)
    answer = await upload(make(), 3 * MEBIBYTE // 2)
    assert (answer.status_code, answer.text) == (200, str(3 * MEBIBYTE // 2))


async def test_a_form_that_is_broken_stays_the_clients_fault(caplog: pytest.LogCaptureFixture) -> None:
    answer = await upload(of_fastapi(), 10, boundary="another")
    assert answer.status_code == 400
    assert not [one for one in caplog.records if one.name.startswith("sightglass")]


def test_a_scratch_directory_is_emptied(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    scratch = tmp_path / "scratch"
    (scratch / "deep" / "er").mkdir(parents=True)
    (scratch / "deep" / "er" / "file").write_text("x")
    (scratch / "file").write_text("x")
    (scratch / "link").symlink_to(outside)
    (scratch / "dangling").symlink_to(tmp_path / "nowhere")
    empty(scratch)
    assert list(scratch.iterdir()) == []
    assert (outside / "kept").read_text() == "kept"
