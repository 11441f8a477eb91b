"""A CA that takes no more: every new account is one too many. Run in a container; each request is a line of its log."""

import json
import ssl
from http.server import BaseHTTPRequestHandler, HTTPServer

PORT = 14000
PROBLEM = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many registrations", "status": 429}


class Handler(BaseHTTPRequestHandler):
    """ACME's directory, nonces, and 429 (RFC 8555, section 6.6)."""

    def do_GET(self) -> None:
        """Give the directory."""
        self.count()
        there = f"https://limited.example:{PORT}"
        self.answer(200, {name: f"{there}/{name}" for name in ("newNonce", "newAccount", "newOrder", "revokeCert")})

    def do_HEAD(self) -> None:
        """Give a nonce."""
        self.count()
        self.answer(200, {})

    def do_POST(self) -> None:
        """Refuse."""
        self.count()
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(429, PROBLEM)

    def count(self) -> None:
        """Print a line."""
        print("asked", self.command, self.path, flush=True)

    def answer(self, status: int, body: object) -> None:
        """Answer in JSON."""
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/problem+json" if status == 429 else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Replay-Nonce", "bm9uY2U")
        if status == 429:
            self.send_header("Retry-After", "3600")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


if __name__ == "__main__":
    server = HTTPServer(("", PORT), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/etc/pebble/tls.crt", "/etc/pebble/tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
