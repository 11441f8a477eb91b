"""`pip install .` gives the library alone, and it works in an application outside this tree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.stack import ROOT

APP = """
import asyncio
from prometheus_client import Counter
from sightglass import health, instrument

GREETED = Counter("greeted", "Greetings.")

async def greet(scope, receive, send):
    GREETED.inc()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

app = instrument(greet)
health.add_check("database", lambda: "gone")

async def ask(path):
    sent = []
    async def receive(): return {"type": "http.request", "body": b""}
    async def send(message): sent.append(message)
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    await app(scope, receive, send)
    return sent[0]["status"], sent[1]["body"].decode()

assert asyncio.run(ask("/")) == (200, "hello")
assert asyncio.run(ask("/ready")) == (503, '{"ready":false,"reasons":["database: gone"]}')
metrics = asyncio.run(ask("/metrics"))[1]
assert 'http_requests_total{method="GET",route="(unmatched)",status="200",worker="0"} 1' in metrics, metrics
assert 'greeted_total{worker="0"} 1' in metrics, metrics
"""


def run(*command: str, cwd: Path) -> str:
    variables = os.environ | {"TMPDIR": str(cwd)}  # a build leaves files there
    result = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_installed_library_instruments_an_application_outside_this_tree(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):  # a build leaves files in its source
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / "sightglass", source / "sightglass")
    shutil.copytree(ROOT / "api", source / "api")
    uv = str(Path(sys.executable).with_name("uv"))
    environment = tmp_path / "environment"
    python = str(environment / "bin" / "python")
    run(uv, "venv", "--quiet", "--python", sys.executable, str(environment), cwd=tmp_path)
    run(uv, "pip", "install", "--quiet", "--native-tls", "--python", python, str(source), cwd=tmp_path)
    (site,) = environment.glob("lib/python*/site-packages")
    assert (site / "sightglass" / "py.typed").exists()
    assert not (site / "api").exists()
    installed = run(uv, "pip", "list", "--python", python, "--format", "freeze", cwd=tmp_path)
    assert "fastapi" not in installed
    assert "opentelemetry" not in installed
    (tmp_path / "app.py").write_text(APP)
    run(python, "app.py", cwd=tmp_path)
