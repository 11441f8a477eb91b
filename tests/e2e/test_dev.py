"""`make dev`: the API alone, plain HTTP, taking up code as it is written."""

import os
import signal
import subprocess
from pathlib import Path

import httpx

from tests.stack import Stack, eventually, free_ports


def test_dev_serves_and_reloads(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "tree", profiles=[])
    port = free_ports(1)[0]
    environment = os.environ | {"DEV_PORT": str(port), "COMPOSE_PROJECT_NAME": stack.project}
    with (tmp_path / "log").open("w+") as log:
        dev = subprocess.Popen(
            ["make", "dev"], cwd=stack.directory, env=environment, stdout=log, stderr=log, start_new_session=True
        )

        def said() -> str:
            log.seek(0)
            return log.read()

        def answered(path: str) -> str:
            try:
                return httpx.get(f"http://127.0.0.1:{port}{path}").text
            except httpx.TransportError:
                return ""

        try:
            eventually(lambda: '"ready":true' in answered("/ready"), said)
            # Nothing is production's, which may run in the project of this name.
            assert stack.run("docker", "compose", "ps", "--all", "--quiet").stdout == ""
            services = stack.run("docker", "compose", "-f", "docker-compose.dev.yml", "config", "--services").stdout
            assert services.split() == ["dev"]
            assert "http_requests_total" in answered("/metrics")
            assert '"level"' not in said()  # text, for people
            with (stack.directory / "api" / "main.py").open("a") as code:
                code.write('\n\n@app.get("/new")\nasync def new() -> str:\n    return "reloaded"\n')
            eventually(lambda: "reloaded" in answered("/new"), said)
        finally:
            os.killpg(dev.pid, signal.SIGINT)
            dev.wait(60)
            compose = ("docker", "compose", "--project-name", f"{stack.project}-dev", "-f", "docker-compose.dev.yml")
            stack.run(*compose, "down", "--volumes", **environment)
            stack.run("docker", "image", "rm", stack.project)
