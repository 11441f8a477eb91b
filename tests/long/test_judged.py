"""Real deploys that are judged, under load: those that are as good serve, those that are worse are taken back."""

import base64
import re
from collections.abc import Iterator

import pytest

from tests.edge.load import Load
from tests.stack import Stack, docker, eventually, running_stack, say
from tests.support.waiting import DEADLINE

SETTINGS = {
    "RATE_LIMIT": "100000", "RATE_BURST": "100000", "CONNECTION_LIMIT": "1000", "GUNICORN_TIMEOUT": "20",
    "JOBS_REPLICAS": "0", "API_REPLICAS": "2", "DEPLOY_JUDGE_SECONDS": "20",
}  # fmt: skip
# The shipped service, worse as its own variable says.
APPLICATION = """
import asyncio, os, random, sys
from fastapi.responses import PlainTextResponse
sys.path.append("/opt/service")
from api.main import app
@app.middleware("http")
async def worse(request, call_next):
    kind = os.environ.get("WORSE")
    if kind == "fails" and random.random() < 0.3:
        return PlainTextResponse("the new release fails", 500)
    if kind == "slow":
        await asyncio.sleep(0.5)
    if kind == "ends" and random.random() < 0.1:
        os._exit(1)
    return await call_next(request)
"""
OWN_FAILURE = re.compile(r".*'50[02], retry after .*")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(profiles=[], **SETTINGS) as running:
        name = f"{running.project}-judged"
        encoded = base64.b64encode(APPLICATION.encode()).decode()
        dockerfile = running.directory / "docker" / "judged"
        dockerfile.write_text(
            f"FROM {running.project}\nLABEL org.opencontainers.image.title=app\nUSER root\n"
            f"RUN echo {encoded} | base64 -d >/opt/sightglass/judged.py\nUSER 10001:10001\n"
        )
        docker("build", "--quiet", "--tag", name, "--file", str(dockerfile), str(running.directory / "docker/empty"))
        with running.env_file.open("a") as env:
            env.write("APP=judged:app\n")
        yield running
        docker("image", "rm", "--force", name)


@pytest.mark.timeout(max(3600, DEADLINE * 10))
def test_the_verdicts_are_those_of_what_is_deployed(stack: Stack) -> None:
    image = f"{stack.project}-judged"
    app_env = stack.directory / "app.env"
    told: list[tuple[str, int, list[str]]] = []
    with Load(stack.https_url) as load:
        eventually(lambda: load.total() > 100, lambda: str(load.failures[-3:]))
        for kind in ("", "fails", "", "slow", "ends", ""):
            load.phase = kind or "as good"
            failed = len(load.failures)
            app_env.write_text(f"WORSE={kind}\nRELEASE={len(told)}\n")
            before = set(stack.compose("ps", "--quiet", "api").stdout.split())
            deployed = stack.run("python3", "scripts/deploy.py", "--image", image)
            verdict = re.findall(r"verdict: (\w+)", deployed.stdout)
            say(f"{load.phase}: {deployed.returncode}, {verdict}; {deployed.stderr.strip()[:300]}")
            told.append((kind, deployed.returncode, verdict))
            after = set(stack.compose("ps", "--quiet", "api").stdout.split())
            assert (after == before) is bool(kind)
            assert len(after) == 2
            new = load.failures[failed:]
            # Beyond what the new one itself fails, nothing.
            assert {failure for failure in new if not OWN_FAILURE.match(failure)} == set()
            assert not new or kind in ("fails", "ends")
        load.phase = "after"
        failed, sent = len(load.failures), load.total()
        eventually(lambda: load.total() > sent + 500, lambda: str(load.sent))
        assert len(load.failures) == failed
    assert told == [(kind, 3, ["worse"]) if kind else (kind, 0, ["as_good"]) for kind, *_ in told]
