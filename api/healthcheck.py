"""The container's health check: is `/ready` answered with 200? Exit status 0 or 1.

Run by file (`python -IS api/healthcheck.py`), so that little else is imported: it runs every ten seconds.
"""

import os
import socket
import sys


def main() -> int:
    """Ask once; anything but a 200 within four seconds is a failure.

    Returns:
        0 if ready, 1 if not.

    """
    port = int(os.environ.get("PORT") or 8000)
    request = b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=4) as connection:
            connection.sendall(request)
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError as error:
        print(error)  # noqa: T201 - what `docker inspect` shows
        return 1
    head, _, body = answer.partition(b"\r\n\r\n")
    print(body.decode(errors="replace"))  # noqa: T201
    return 0 if b" 200 " in head.split(b"\r\n", 1)[0] else 1


if __name__ == "__main__":
    sys.exit(main())
