"""An upstream that misbehaves as its request's path says, in this process, at the network's gateway."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.edge.containers import Network

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER
Behaviour = Callable[[socket.socket], None]


def says(answer: bytes, *, then: str = "close") -> Behaviour:
    """Send this and then `close` the connection, `reset` it, or be `silent` until the other side has enough."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(answer)
        if then == "silent":
            while connection.recv(65536):
                pass
        elif then == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    return behave


def reads_nothing(connection: socket.socket) -> None:
    """Leave what is sent where it is, until the test is over."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    OVER.wait(60)


OVER = threading.Event()
END = b"\r\n\r\n"


def read_head(connection: socket.socket) -> bytes:
    """Read a request's head and no byte more: what follows it stays unread."""
    head = b""
    while not head.endswith(END) and (seen := connection.recv(65536, socket.MSG_PEEK)):
        before, end, _ = (head + seen).partition(END)
        head += connection.recv(len(before + end) - len(head))
    return head


@contextmanager
def misbehaving(network: Network, behaviours: dict[str, Behaviour]) -> Iterator[str]:
    """Listen at the gateway and behave by the first word of the path; yields ADDRESS:PORT."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            path = read_head(connection).split(b" ")[1].decode()
            behaviours[path.rpartition("/")[2]](connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=[connection], daemon=True).start()

    address = network.gateway
    with socket.create_server((address, 0), backlog=64) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"{address}:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def full_backlog(network: Network) -> Iterator[str]:
    """Listen at the gateway, accept nothing, and take no more connections: SYNs are dropped; yields ADDRESS:PORT."""
    address = network.gateway
    with socket.create_server((address, 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
            yield f"{address}:{listener.getsockname()[1]}"
        finally:
            for one in waiting:
                one.close()
