"""Grafana's plugin: fetched once, by its checksum, and readable by Grafana's user."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from scripts import plugin


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as written:
        program = zipfile.ZipInfo(f"{plugin.NAME}/program")
        program.external_attr = 0o700 << 16
        written.writestr(program, "#!/bin/sh\n")
        written.writestr(f"{plugin.NAME}/plugin.json", "{}")
    return content.getvalue()


@contextmanager
def serving(content: bytes, status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/plugin.zip"
    finally:
        server.shutdown()
        server.server_close()


def test_it_is_fetched_once_and_grafanas_user_can_start_it(tmp_path: Path) -> None:
    content = archive()
    checksum = hashlib.sha256(content).hexdigest()
    with serving(content) as address:
        assert plugin.fetch(tmp_path, address, checksum) == plugin.DIRECTORY
    directory = tmp_path / plugin.DIRECTORY / plugin.NAME
    assert (directory / "program").stat().st_mode & 0o777 == 0o755
    assert (directory / "plugin.json").stat().st_mode & 0o777 == 0o644
    plugin.fetch(tmp_path, address, checksum)  # nobody is asked again


def test_another_content_than_was_pinned_is_refused_and_what_is_there_stays(tmp_path: Path) -> None:
    content = archive()
    checksum = hashlib.sha256(content).hexdigest()
    with serving(content) as address:
        plugin.fetch(tmp_path, address, checksum)
    with serving(b"something else") as address, pytest.raises(plugin.PluginError, match="its SHA-256 is"):
        plugin.fetch(tmp_path, address, "0" * 64)
    assert (tmp_path / plugin.DIRECTORY / plugin.NAME / "program").is_file()


@pytest.mark.parametrize("status", [404, 403, 503])
def test_where_it_cannot_be_had_the_reason_is_one_line(tmp_path: Path, status: int) -> None:
    with serving(b"", status) as address, pytest.raises(plugin.PluginError) as raised:
        plugin.fetch(tmp_path, address)
    assert str(status) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_nobody_there_is_a_reason_too(tmp_path: Path) -> None:
    with serving(b"") as address:
        pass
    with pytest.raises(plugin.PluginError, match="refused"):
        plugin.fetch(tmp_path, address)
