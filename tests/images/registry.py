"""A container registry on loopback that serves images the tests assemble, and fails as it is told.

What a `docker pull` asks for and a `docker push` sends, after the OCI distribution specification 1.1: the API's
version, manifests and blobs. Docker's engine speaks plain HTTP with registries in 127.0.0.0/8. Standard
library only.
"""

import gzip
import hashlib
import io
import json
import platform
import socket
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OTHER_ARCHITECTURE = "s390x"
TLS_HANDSHAKE = b"\x16"  # the first byte of a connection that begins with one (RFC 8446, section 5.1)
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
SLOW_SECONDS, SLOW_PIECES = 9.0, 60


@dataclass
class Fault:
    """What is wrong with the answers to one repository's requests, and how often before it is over.

    Attributes:
        kind: a status (503, 401, 429, 404), `drop` (the connection ends amid a layer), `stall` (nothing more comes
            of a layer), `silent` (no answer at all) or `slow` (a layer takes SLOW_SECONDS, never still for long).
        times: how many requests it meets; None for all.
        part: which requests: `manifests` or `blobs`.

    """

    kind: int | str
    times: int | None = None
    part: str = "manifests"


@dataclass
class Registry:
    """The server, what it holds and what it was asked."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    packed: dict[str, bytes] = field(default_factory=dict)  # layers that several images share are packed once
    uploads: dict[str, bytes] = field(default_factory=dict)  # what is being sent, by its path
    over: threading.Event = field(default_factory=threading.Event)  # ends every stall
    address: str = ""

    def add(self, name: str, tag: str, *layers: bytes, architecture: str | None = None, **config: Any) -> str:
        """Hold an image of these layers (tar archives); `config` is what its containers run by.

        Returns:
            The digest of its index, by which it can be asked for too.

        """
        described = {
            "architecture": architecture or ARCHITECTURE,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        }
        packed = [self._packed(layer) for layer in layers]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._hold(CONFIG, json.dumps(described).encode()),
            "layers": [self._hold(LAYER, blob) for blob in packed],
        }
        described_manifest = self._hold(MANIFEST, json.dumps(manifest).encode())
        built_for = {"os": "linux", "architecture": architecture or ARCHITECTURE}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**described_manifest, "platform": built_for}]}
        body = json.dumps(index).encode()
        manifest_body = self.blobs[described_manifest["digest"]]
        self.manifests[name, described_manifest["digest"]] = (MANIFEST, manifest_body)
        self.manifests[name, tag] = self.manifests[name, digest(body)] = (INDEX, body)
        return digest(body)

    def add_saved(self, name: str, tag: str, archive: Path) -> str:
        """Hold an image that `docker save` wrote, as another engine would pull it; returns its digest."""
        with tarfile.open(archive) as saved:

            def read(member: str) -> bytes:
                file = saved.extractfile(member)
                assert file is not None, member
                return file.read()

            (listed,) = json.loads(read("manifest.json"))
            config = json.loads(read(listed["Config"]))
            return self.add(name, tag, *(read(layer) for layer in listed["Layers"]), **config["config"])

    def fail(self, name: str, kind: int | str, times: int | None = None, part: str = "manifests") -> None:
        """Let requests for a repository fail."""
        self.faults[name] = Fault(kind, times, part)

    def heal(self) -> None:
        """Answer everything again."""
        self.faults.clear()

    def ref(self, name: str, tag: str) -> str:
        """Return an image's reference, for Docker."""
        return f"{self.address}/{name}{'' if tag.startswith('@') else ':'}{tag}"

    def fault(self, name: str, part: str) -> Fault | None:
        """Return what is wrong with a request, which counts against the fault."""
        found = self.faults.get(name)
        if found is None or found.part != part or found.times == 0:
            return None
        if found.times is not None:
            found.times -= 1
        return found

    def _packed(self, layer: bytes) -> bytes:
        key = digest(layer)
        if key not in self.packed:
            self.packed[key] = gzip.compress(layer, compresslevel=1, mtime=0)
        return self.packed[key]

    def _hold(self, media_type: str, blob: bytes) -> dict[str, Any]:
        self.blobs[digest(blob)] = blob
        return {"mediaType": media_type, "digest": digest(blob), "size": len(blob)}


class Handler(BaseHTTPRequestHandler):
    """Answers what `docker pull` asks, and takes what `docker push` sends."""

    protocol_version = "HTTP/1.1"
    registry: Registry

    def handle(self) -> None:
        """Answer what comes; to TLS, in plain HTTP, by which an engine knows that there is none."""
        if self.connection.recv(1, socket.MSG_PEEK) == TLS_HANDSHAKE:
            self.connection.recv(65536)
            self.wfile.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        else:
            super().handle()

    def do_GET(self) -> None:
        """Answer, or fail as told."""
        self.registry.asked.append(self.path)
        if self.path in ("/v2", "/v2/"):
            self._answer(200, "application/json", b"{}")
            return
        name, part, reference = self.path.removeprefix("/v2/").rsplit("/", 2)
        fault = self.registry.fault(name, part)
        if fault and isinstance(fault.kind, int):
            self._refuse(fault.kind)
        elif fault and fault.kind == "silent":
            self.registry.over.wait()
            self.close_connection = True
        elif part == "manifests" and (name, reference) in self.registry.manifests:
            media_type, body = self.registry.manifests[name, reference]
            self._answer(200, media_type, body)
        elif part == "blobs" and reference in self.registry.blobs:
            body = self.registry.blobs[reference]
            self._broken(fault.kind, body) if fault else self._answer(200, "application/octet-stream", body)
        else:
            self._refuse(404)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        """Begin an upload, or refuse it as told."""
        name, _ = self.path.removeprefix("/v2/").split("/blobs/uploads/")
        fault = self.registry.fault(name, "blobs")
        if fault and isinstance(fault.kind, int):
            self._refuse(fault.kind)
            return
        place = f"/v2/{name}/blobs/uploads/{uuid.uuid4().hex}"
        self.registry.uploads[place] = b""
        self._answer(202, "text/plain", b"", Location=place)

    def do_PATCH(self) -> None:
        """Take a part of a blob."""
        self.registry.uploads[self.path] += self._body()
        end = len(self.registry.uploads[self.path]) - 1
        self._answer(202, "text/plain", b"", Location=self.path, Range=f"0-{end}")

    def do_PUT(self) -> None:
        """Take the last part of a blob, or a manifest."""
        place, _, _ = self.path.partition("?")
        if place in self.registry.uploads:
            blob = self.registry.uploads.pop(place) + self._body()
            self.registry.blobs[digest(blob)] = blob
        else:
            name, _, reference = self.path.removeprefix("/v2/").rsplit("/", 2)
            body = self._body()
            for one in (reference, digest(body)):
                self.registry.manifests[name, one] = (self.headers["Content-Type"], body)
        self._answer(201, "text/plain", b"", Location=place)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, media_type: str, body: bytes, **headers: str) -> None:
        self._head(status, media_type, len(body), {"Docker-Content-Digest": digest(body), **headers})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int) -> None:
        codes = {401: "UNAUTHORIZED", 404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS", 403: "DENIED"}
        messages = {401: "authentication required", 404: "manifest unknown", 429: "slow down", 403: "access denied"}
        error = {"code": codes.get(status, "UNAVAILABLE"), "message": messages.get(status, "try later")}
        body = json.dumps({"errors": [error]}).encode()
        self._answer(status, "application/json", body, **({"Retry-After": "1"} if status in (429, 503) else {}))

    def _broken(self, kind: int | str, body: bytes) -> None:
        """Begin an answer that does not end, or only after a while."""
        self._head(200, "application/octet-stream", len(body), {})
        if kind == "slow" and len(body) < 100_000:
            self.wfile.write(body)
            return
        if kind == "slow":  # never still for long, though all of it takes several times as long as that
            for n in range(SLOW_PIECES):
                self.wfile.write(body[n * len(body) // SLOW_PIECES : (n + 1) * len(body) // SLOW_PIECES])
                self.wfile.flush()
                time.sleep(SLOW_SECONDS / SLOW_PIECES)
            return
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        if kind == "stall":
            self.registry.over.wait()
        self.close_connection = True

    def _head(self, status: int, media_type: str, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: what was asked is in the registry's list."""


@contextmanager
def running_registry() -> Iterator[Registry]:
    """Run an empty registry on a port of its own."""
    registry = Registry()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"registry": registry}))
    server.daemon_threads = True
    registry.address = f"127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield registry
    finally:
        registry.over.set()
        server.shutdown()
        server.server_close()


def layer(**files: bytes) -> bytes:
    """Return a tar archive with these files, the same for the same files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def digest(content: bytes) -> str:
    """Return the digest a registry knows this by."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
