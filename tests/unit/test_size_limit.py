"""Bodies on their way: whole when they come, on disk while they are awaited, and never longer than allowed."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from api.privacy.size_limit import IN_MEMORY, RequestSizeLimit
from api.problem import ProblemError

LIMIT = 4 * IN_MEMORY


def read(parts: list[bytes], directory: Path, *, leaves: bool = False, path: str = "/whole") -> list[Message]:
    """Return what the application is given of a body that comes in these parts."""
    got: list[Message] = []
    coming = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    coming[-1]["more_body"] = leaves

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not got or got[-1].get("more_body", False):
            got.append(await receive())

    async def receive() -> Message:
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        raise AssertionError

    limited = RequestSizeLimit(app, default=LIMIT, paths={"/whole": LIMIT}, directory=directory)
    asyncio.run(limited({"type": "http", "path": path, "headers": []}, receive, send))
    return got


@given(parts=st.lists(st.binary(max_size=9) | st.just(b"x" * (IN_MEMORY // 2)), min_size=1, max_size=8))
def test_in_any_parts_it_comes_as_one(parts: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    got = read(parts, tmp_path_factory.getbasetemp())
    assert got == [{"type": "http.request", "body": b"".join(parts), "more_body": False}]


@pytest.mark.parametrize("size", [1, IN_MEMORY, IN_MEMORY + 1, LIMIT])
def test_up_to_its_limit(tmp_path: Path, size: int) -> None:
    assert read([b"x", b"x" * (size - 1)], tmp_path)[0]["body"] == b"x" * size
    with pytest.raises(ProblemError) as refused:
        read([b"x" * (LIMIT + 1 - size), b"x" * size], tmp_path)
    assert refused.value.status_code == 413


def test_who_leaves_is_gone(tmp_path: Path) -> None:
    assert read([b"x", b"y"], tmp_path, leaves=True) == [{"type": "http.disconnect"}]


def test_a_stream_stays_one(tmp_path: Path) -> None:
    assert [message["body"] for message in read([b"x", b"y"], tmp_path, path="/other")] == [b"x", b"y"]


def test_what_is_long_is_on_disk_and_no_room_there_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nowhere = tmp_path / "nowhere"
    assert read([b"x" * IN_MEMORY, b""], nowhere)[0]["body"] == b"x" * IN_MEMORY
    with pytest.raises(ProblemError) as refused:
        read([b"x" * IN_MEMORY, b"x"], nowhere)
    assert refused.value.status_code == 507
    assert [record.getMessage() for record in caplog.records] == ["no room for a body: No such file or directory"]
