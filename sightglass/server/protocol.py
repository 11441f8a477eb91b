"""uvicorn's HTTP protocol, whose own errors are problems, too (RFC 9457)."""

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from sightglass.context import current_request
from sightglass.identity import identify
from sightglass.problem import MEDIA_TYPE, problem_body

if TYPE_CHECKING:
    _Base: Any = object
else:
    _Base = AutoHTTPProtocol


class Protocol(_Base):  # type: ignore[misc]  # httptools' or h11's, whichever is installed
    """Answers what is no HTTP, a control character in a header's value for one, as everything else is refused."""

    def send_400_response(self, msg: str) -> None:
        """Answer with a problem and close."""
        # Of the headers that were read; NGINX's come before the client's own.
        token = current_request.set(identify(getattr(self, "headers", None) or []))
        body = problem_body(400, msg)
        current_request.reset(token)
        head = (
            f"HTTP/1.1 400 Bad Request\r\nContent-Type: {MEDIA_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
