"""uvicorn's HTTP protocol, whose own errors are problems, too (RFC 9457)."""

import re
from typing import TYPE_CHECKING, Any

import orjson
from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    _Base: Any = object
else:
    _Base = AutoHTTPProtocol

_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Protocol(_Base):  # type: ignore[misc]  # httptools' or h11's, whichever is installed
    """Answers what is no HTTP, a control character in a header's value for one, as everything else is refused."""

    def send_400_response(self, msg: str) -> None:
        """Answer with a problem and close."""
        problem = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": msg}
        # NGINX's come before the client's own.
        request_id = dict(getattr(self, "headers", None) or ()).get(b"x-request-id", b"")
        if _ID.fullmatch(request_id):
            problem["request_id"] = request_id.decode()
        body = orjson.dumps(problem)
        head = (
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
