"""Deploys, scaling, reloads and certificate changes under load, seen by nobody; bad ones refused and rolled back."""

import base64
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.load import Load
from tests.stack import Stack, eventually, say

AT_LEAST = 10_000  # requests in all
KINDS = ("keep-alive", "predict", "upload", "long upload", "new connection", "HTTP/2")

# What Compose's ordinary commands make of a request, as docs/edge.md says: a problem that names a time to try again.
NOT_READY = re.compile(r"_(predict|upload) in .*'503, retry after \d+: \{\"type\":.*The model is not ready")
UNAVAILABLE = re.compile(r"_\w+ in .*'50[234], retry after \d+: \{\"type\":")


@pytest.fixture(scope="module")
def small_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The production stack without monitoring, its rate limit out of the way; a drain is 17 seconds.

    A replica that is healthy shows it sooner than every ten seconds: a deploy waits for that each time.
    """
    settings = {"RATE_LIMIT": "100000", "RATE_BURST": "100000", "CONNECTION_LIMIT": "1000", "GUNICORN_TIMEOUT": "20"}
    stack = Stack(tmp_path_factory.mktemp("deploys"), profiles=[], **settings)
    for service in ("api", "jobs"):
        stack.check_every(4, service, retries=8)  # it has as long as before until it counts as unhealthy
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


def deploy(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/deploy.py", "--no-build", *arguments]
    return subprocess.run(command, cwd=stack.directory, capture_output=True, text=True, check=False)


def variables(stack: Stack) -> set[str]:
    (container,) = stack.inspect("api")
    return set(container["Config"]["Env"])


def replicas(stack: Stack) -> set[str]:
    return set(stack.compose("ps", "--quiet", "api").stdout.split())


def enter(load: Load, phase: str) -> None:
    say(f"{phase}, after {load.total()} requests, {len(load.failures)} of them failed: {load.failures[-3:]}")
    load.phase = phase


@pytest.mark.timeout(1800)  # six replacements, each with its drain
def test_nothing_fails_while_everything_is_replaced(small_stack: Stack) -> None:
    stack = small_stack
    with Load(stack.https_url, long_upload=20) as load:
        eventually(lambda: load.total() > 100, lambda: str(load.sent))

        enter(load, "deploy")
        before = replicas(stack)
        assert stack.run("python3", "scripts/releases.py", "--note").returncode == 0  # as make up does
        settings = stack.env_file.read_text()
        stack.env_file.write_text(f"{settings}ENVIRONMENT=staging\n")
        (stack.directory / "app.env").write_text("COLOUR=blue\n")
        deployed = deploy(stack)
        assert deployed.returncode == 0, deployed.stderr
        assert len(replicas(stack)) == len(before)
        assert not replicas(stack) & before
        assert {"SIGHTGLASS_ENVIRONMENT=staging", "COLOUR=blue"} <= variables(stack)

        enter(load, "rollback")
        before = replicas(stack)
        back = stack.run("make", "rollback")
        assert back.returncode == 0, back.stderr
        assert len(replicas(stack)) == len(before)
        assert not replicas(stack) & before
        assert not {"SIGHTGLASS_ENVIRONMENT=staging", "COLOUR=blue"} & variables(stack)
        assert not (stack.directory / "app.env").exists()
        listed = stack.run("make", "releases").stdout
        assert re.findall(r"^(.) +(\d+) .*", listed, re.MULTILINE) == [("*", "1"), (" ", "2")]
        assert "settings changed: COLOUR, ENVIRONMENT" in listed
        assert "blue" not in listed
        # What the next make up starts is what runs.
        kept = replicas(stack)
        assert "as the last make rollback left it" in stack.run("python3", "scripts/build.py").stdout
        stack.run("docker", "compose", "up", "--detach", "--no-deps", "api")
        assert replicas(stack) == kept

        enter(load, "scale to 4")
        before = replicas(stack)
        assert deploy(stack, "--scale-only", "--replicas", "4").returncode == 0
        assert len(replicas(stack)) == 4
        assert before < replicas(stack)

        enter(load, "scale to 1")
        assert deploy(stack, "--scale-only", "--replicas", "1").returncode == 0
        assert replicas(stack) == before

        enter(load, "reload")
        stack.compose("exec", "-T", "nginx", "sh", "/etc/sightglass/nginx/reload.sh")

        enter(load, "certificate")
        old = stack.compose("exec", "-T", "nginx", "cksum", "/run/tls/tls.crt").stdout
        stack.compose(
            "run", "--rm", "--no-deps", "-T", "setup", "sh", "-c",
            "rm /run/tls/tls.*; exec sh /etc/sightglass/setup.sh",
        )  # fmt: skip
        assert stack.compose("exec", "-T", "nginx", "cksum", "/run/tls/tls.crt").stdout != old
        shown = stack.directory / "certificate.pem"
        shown.write_text(stack.compose("exec", "-T", "nginx", "cat", "/run/tls/tls.crt").stdout)
        eventually(lambda: trusts(stack, shown), lambda: "the old certificate is still shown")

        enter(load, "bad application")
        before = replicas(stack)
        settings = stack.env_file.read_text()
        stack.env_file.write_text(f"{settings}APP=nowhere:app\n")
        refused = deploy(stack)
        assert refused.returncode == 1
        assert "nowhere" in refused.stderr
        assert replicas(stack) == before
        assert set(stack.compose("ps", "--all", "--quiet", "api").stdout.split()) == before
        stack.env_file.write_text(settings)  # to the letter: an APP set to nothing is a change to Compose

        enter(load, "bad configuration")
        gzip = stack.directory / "docker" / "nginx" / "http" / "gzip.conf"
        good = gzip.read_text()
        gzip.write_text(good + "gzips on;\n")
        refused = deploy(stack)
        assert refused.returncode == 1
        assert 'unknown directive "gzips"' in refused.stderr
        assert replicas(stack) == before
        gzip.write_text(good)

        enter(load, "after")
        eventually(lambda: load.total() >= AT_LEAST, lambda: str(load.sent))
    say(f"{dict(load.sent)}")
    assert load.failures == []
    assert load.sent["HTTP/2, sent again"] < 20  # a reload each, not a habit
    assert all(load.sent[kind] for kind in KINDS)


# The shipped service, all of whose own answers fail.
WORSE = """
import sys
from fastapi.responses import PlainTextResponse
sys.path.append("/opt/service")
from api.main import app
@app.middleware("http")
async def fail(request, call_next):
    return PlainTextResponse("the new release fails", 500)
"""
FAILED = re.compile(r".*'500, retry after None: the new release fails'")


def test_a_release_is_judged_and_a_worse_one_taken_back(small_stack: Stack) -> None:
    stack = small_stack
    settings = stack.env_file.read_text()
    worse = f"{stack.project}-worse"
    (container, *_) = stack.inspect("api")
    encoded = base64.b64encode(WORSE.encode()).decode()
    written = f"USER root\nRUN echo {encoded} | base64 -d >/opt/sightglass/worse.py\nUSER 10001:10001\n"
    dockerfile = f"FROM {container['Config']['Image']}\n{written}"
    subprocess.run(["docker", "build", "--quiet", "--tag", worse, "-"], input=dockerfile, text=True, check=True)
    try:
        assert deploy(stack, "--scale-only", "--replicas", "2").returncode == 0
        with Load(stack.https_url) as load:
            eventually(lambda: load.total() > 100, lambda: str(load.sent))

            enter(load, "as good")
            before = replicas(stack)
            stack.env_file.write_text(f"{settings}DEPLOY_JUDGE_SECONDS=15\n")
            deployed = deploy(stack)
            assert deployed.returncode == 0, deployed.stderr
            assert "verdict: as_good" in deployed.stdout
            assert not replicas(stack) & before
            assert load.failures == []

            enter(load, "worse")
            before = replicas(stack)
            tried = f"{settings}DEPLOY_JUDGE_SECONDS=60\nSERVED_IMAGE={worse}\nAPP=worse:app\n"
            stack.env_file.write_text(tried)
            refused = deploy(stack)
            assert refused.returncode == 3, refused.stderr + refused.stdout
            assert re.search(r"clearly worse, the old ones serve: 5xx .*: \d+ of \d+", refused.stderr)
            assert replicas(stack) == before
            assert len(before) == 2
            assert stack.env_file.read_text() == tried
            stack.env_file.write_text(settings)

            enter(load, "after")
            failed = len(load.failures)
            sent = load.total()
            eventually(lambda: load.total() > sent + 200, lambda: str(load.sent))
        assert len(load.failures) == failed
        assert {failure for failure in load.failures if not FAILED.match(failure)} == set()
        metrics = stack.compose("exec", "-T", "nginx", "curl", "-fsS", "http://127.0.0.1:9113/metrics").stdout
        judged = re.findall(r'^sightglass_deploy_judged_timestamp_seconds\{verdict="(\w+)"\} ', metrics, re.MULTILINE)
        assert sorted(judged) == ["as_good", "worse"]
        assert deploy(stack, "--scale-only", "--replicas", "1").returncode == 0
    finally:  # where a container still has it, the stack takes it along
        subprocess.run(["docker", "image", "rm", worse], capture_output=True, check=False)


def test_what_the_ordinary_commands_do_to_clients(small_stack: Stack) -> None:
    stack = small_stack
    with Load(stack.https_url) as load:
        eventually(lambda: load.total() > 100, lambda: str(load.sent))

        def failures_during(*command: str, replicas: int) -> list[str]:
            before = len(load.failures)
            enter(load, " ".join(command))
            with stack.uploads_forgotten():  # of one that goes: Compose leaves them
                stack.compose("up", "--detach", *command)
            eventually(lambda: healthy(stack, replicas), lambda: stack.compose("ps").stdout)
            sent = load.total()
            eventually(lambda: load.total() > sent + 500, lambda: str(load.sent))
            return load.failures[before:]

        # One that is not ready yet is met by POSTs only: nobody sends those again.
        assert {f for f in failures_during("--scale", "api=2", replicas=2) if not NOT_READY.match(f)} == set()
        # Those under way, and those sent to an address that Docker's DNS gives a moment too long.
        assert {f for f in failures_during("--scale", "api=1", replicas=1) if not UNAVAILABLE.match(f)} == set()
        # All at once, which is what a new image is to `up --build`.
        outage = failures_during("--no-deps", "--force-recreate", "api", replicas=1)
        assert outage
        assert {f for f in outage if not UNAVAILABLE.match(f)} == set()


def healthy(stack: Stack, count: int) -> bool:
    states = [container["State"]["Health"]["Status"] for container in stack.inspect("api")]
    return states == ["healthy"] * count


def trusts(stack: Stack, certificate: Path) -> bool:
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{stack.settings['HTTPS_PORT']}", "-CAfile", str(certificate),
         "-verify_return_error"],
        input="", capture_output=True, text=True, check=False,
    )  # fmt: skip
    return result.returncode == 0
