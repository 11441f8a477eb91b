"""A replica's name, from a DNS as Docker's is, and when it was started."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import REGISTRY

from sightglass.metrics import replica

ID = "0123456789ab"


def named(question: bytes, *, pointer: bool = False) -> bytes:
    """Answer as Docker's DNS does, which repeats the question's name, or as others do, which point to it."""
    data = b"\x0cshop-x-api-1\x05x_app\0"
    name = b"\xc0\x0c" if pointer else question[12:-4]
    header = question[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0)
    return header + question[12:] + name + struct.pack(">2HIH", 12, 1, 600, len(data)) + data


ANSWERS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "repeated": (named, "api-1"),
    "pointed to": (lambda question: named(question, pointer=True), "api-1"),
    "no such name": (lambda question: question[:2] + struct.pack(">5H", 0x8183, 1, 0, 0, 0) + question[12:], ID),
    "cut": (lambda question: named(question)[:40], ID),
    "nothing": (lambda _: b"", ID),
    "not ASCII": (lambda question: named(question).replace(b"api-1", b"\xc3\xa4pi1"), ID),
}


@contextmanager
def dns(answer: Callable[[bytes], bytes]) -> Iterator[tuple[str, int]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            question, client = server.recvfrom(512)
            server.sendto(answer(question), client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()
        thread.join()


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_container_has_the_name_that_docker_gave_it(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    answer, expected = ANSWERS[kind]
    monkeypatch.setattr(socket, "gethostname", lambda: ID)
    monkeypatch.setattr(socket, "gethostbyname", lambda _: "172.18.0.3")
    with dns(answer) as server:
        assert replica.name(server) == expected


def test_a_dns_that_is_late_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: ID)
    monkeypatch.setattr(socket, "gethostbyname", lambda _: "172.18.0.3")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            server.recvfrom(512)  # the first is lost
            while (received := server.recvfrom(512))[0]:
                server.sendto(named(received[0]), received[1])

        thread = threading.Thread(target=serve)
        thread.start()
        assert replica.name(server.getsockname()) == "api-1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"", server.getsockname())
        thread.join()


@pytest.mark.parametrize("host", ["web-5d8f7", "laptop", "0123456789abc", "0123456789AB"])
def test_a_host_with_a_name_keeps_it(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert replica.name(("192.0.2.1", 1)) == host
    replica.name.cache_clear()


def test_the_start_is_the_processs_own() -> None:
    (sample,) = next(iter(replica.REPLICA.collect())).samples
    assert sample.value == pytest.approx(REGISTRY.get_sample_value("process_start_time_seconds") or 0, abs=1)
    assert sample.labels == {"container": replica.name()}
