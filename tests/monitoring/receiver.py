"""Receives notifications as a container of the stack: webhooks on port 8080, mail on port 2525.

Prints a JSON line each: the path or ``mail``, and the body; and before a mail, its ``recipients``. Standard library
only: it runs in the API's image.
"""

import http.server
import json
import socketserver
import sys
import threading


def say(path: str, body: object) -> None:
    # One write: lines of several threads do not mix.
    sys.stdout.write(json.dumps({"path": path, "body": body}) + "\n")
    sys.stdout.flush()


class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        say(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Mail(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client needs to be rid of one message."""

    def handle(self) -> None:
        self.answer("220 ready")
        recipients: list[str] = []
        while line := self.rfile.readline().decode().strip():
            command = line.partition(" ")[0].upper()
            if command == "RCPT":
                recipients.append(line.partition("<")[2].partition(">")[0])
            if command == "DATA":
                self.answer("354 go on")
                lines = []
                while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                    lines.append(text)
                say("recipients", recipients)
                say("mail", "\n".join(lines))
            self.answer("221 bye" if command == "QUIT" else "250 fine")
            if command == "QUIT":
                return

    def answer(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


if __name__ == "__main__":
    mail = socketserver.ThreadingTCPServer(("", 2525), Mail)
    threading.Thread(target=mail.serve_forever, daemon=True).start()
    http.server.ThreadingHTTPServer(("", 8080), Webhook).serve_forever()
