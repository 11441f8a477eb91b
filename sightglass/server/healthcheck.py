"""The container's health check: is `/ready`, or another path of another port, answered with 200? Exit status 0 or 1.

Run by file (`python -IS sightglass/server/healthcheck.py`), so that little else is imported: it runs every ten seconds.
"""

import os
import socket
import sys


def main(port: str = "", path: str = "/ready") -> int:
    """Ask once; anything but a 200 within four seconds is a failure.

    Args:
        port: whom to ask, on this host; empty for ``SIGHTGLASS_PORT`` or ``PORT``.
        path: what for.

    Returns:
        0 if ready, 1 if not.

    """
    address = ("127.0.0.1", int(port or os.environ.get("SIGHTGLASS_PORT") or os.environ.get("PORT") or 8000))
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection(address, timeout=4) as connection:
            connection.sendall(request)
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError as error:
        print(error)  # noqa: T201 - what `docker inspect` shows
        return 1
    head, _, body = answer.partition(b"\r\n\r\n")
    print(body[:500].decode(errors="replace"))  # noqa: T201
    return 0 if b" 200 " in head.split(b"\r\n", 1)[0] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
