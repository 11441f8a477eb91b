"""All that can be switched on, at once: up by `make up` alone, within its memory; it holds when killed and attacked.

Beside it, all the time, is an installation of somebody else's application, which notices nothing.
"""

import os
import signal
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from monitoring.live import Prometheus
from scripts.running import nameless
from tests.acme.conftest import named as named
from tests.acme.pebble import DIRECTORY, Pebble, trust
from tests.attacks.inputs.documents import BODIES
from tests.attacks.memory import Memory
from tests.attacks.sending import Attackers, addresses
from tests.attacks.test_documents import ANSWERS, by_turns, post
from tests.attacks.victim import victim
from tests.e2e.test_jobs import finish
from tests.edge.load import Load
from tests.edge.outside import outside
from tests.long.test_drills import OF_WHAT_HAPPENED, pages
from tests.stack import Stack, docker, eventually, free_ports, running_stack, say
from tests.support.switched_on import PROFILES, SETTINGS

pytestmark = pytest.mark.timeout(3000)

NAME = "shop.example"
MEBIBYTE = 1 << 20
AT_REST_MEBIBYTES = 1500
"""What all its containers hold at most when nobody asks anything; docs/install.md says what was seen."""
LIMITS = {"RATE_LIMIT": "100000", "RATE_BURST": "100000", "CONNECTION_LIMIT": "1000"}
JOBS = "/api/v1/jobs"
TEXT = {"Content-Type": "text/plain"}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A second installation on the same machine, of somebody's application."""
    code = tmp_path_factory.mktemp("foreign")
    code.chmod(0o755)
    (code / "hello.py").write_text("from fastapi import FastAPI\n\napp = FastAPI()\n")
    with running_stack(profiles=[], APP="hello:app", APP_DIR=str(code), JOBS_REPLICAS="0", **LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def whole(named: None, foreign: Stack) -> Iterator[Stack]:
    """The stack with everything, as `make up` starts it, and a CA that certifies its name."""
    with tempfile.TemporaryDirectory(prefix="sightglass-") as directory:
        stack = Stack(
            Path(directory), profiles=PROFILES, API_REPLICAS="2", MLFLOW_PORT=str(free_ports(1)[0]), SERVER_NAME=NAME,
            ACME_EMAIL="ops@shop.example", ACME_SERVER=DIRECTORY, TLS_CHECK_SECONDS="1", DEPLOY_JUDGE_SECONDS="15",
            **SETTINGS, **LIMITS,
        )  # fmt: skip
        trust(stack)
        pebble = None
        try:
            say(f"{stack.project}: make up, with everything")
            up = stack.run("make", "up")
            assert up.returncode == 0, up.stdout[-3000:] + up.stderr[-3000:]
            say(up.stdout)
            pebble = Pebble(stack, [NAME])
            stack.compose("restart", "lego")  # which else tries again after a while of its own
            (stack.directory / "certificate.pem").write_text(pebble.root())
            eventually(lambda: answers(stack), lambda: stack.logs("lego"), deadline=300)
            yield stack
        finally:
            if pebble:
                pebble.close()
            stack.down()


def client(stack: Stack) -> httpx.Client:
    """Return a client that trusts that CA and no other."""
    return stack.client(base_url=url(stack))


def url(stack: Stack) -> str:
    return f"https://{NAME}:{stack.settings['HTTPS_PORT']}"


def answers(stack: Stack) -> bool:
    """Say whether the edge shows a certificate of the CA's."""
    try:
        with client(stack) as asking:
            return asking.get("/ready").status_code == 200
    except httpx.ConnectError:
        return False


def unhealthy(stack: Stack) -> list[str]:
    """Name the containers that are not well."""
    return [
        one["Name"]
        for one in stack.inspect()
        if not (one["State"]["Running"] and one["State"].get("Health", {}).get("Status", "healthy") == "healthy")
    ]


@contextmanager
def watched(stack: Stack) -> Iterator[None]:
    """Ask an edge for its health again and again during a `with` block: every answer is 200."""
    answered: Counter[str] = Counter()
    over = threading.Event()

    def ask() -> None:
        with stack.client(timeout=60) as asking:
            while not over.wait(0.1):
                try:
                    answered[str(asking.get("/health").status_code)] += 1
                except httpx.HTTPError as error:
                    answered[repr(error)] += 1

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    say(f"meanwhile, of the foreign application: {dict(answered)}")
    assert set(answered) == {"200"}


def test_every_service_is_healthy(whole: Stack) -> None:
    services = {container["Config"]["Labels"]["com.docker.compose.service"] for container in whole.inspect()}
    assert services >= {
        "api", "nginx", "jobs", "prometheus", "alertmanager", "operators", "collector", "victoria-logs", "jaeger",
        "telemetry-door", "lego", "restic", "mlflow", "mlflow-door", "postgres", "database-exporter", "valkey",
    }  # fmt: skip
    eventually(lambda: unhealthy(whole) == [], lambda: str(unhealthy(whole)))
    eventually(lambda: whole.value("count(up)") == whole.value("sum(up)"), lambda: str(whole.query("up == 0")))


def test_it_stays_within_its_memory_at_rest(whole: Stack, foreign: Stack) -> None:
    with Memory(whole) as memory, Memory(foreign) as beside:
        whole.wait_for_scrape()
    held = {service: seen.most // MEBIBYTE for service, seen in memory.held.items()}
    say(f"at rest, MiB, one container of each: {held}; {memory.whole // MEBIBYTE} in all")
    say(f"and the foreign application beside it: {beside.whole // MEBIBYTE} MiB")
    assert memory.whole <= AT_REST_MEBIBYTES * MEBIBYTE


def test_one_request_is_found_everywhere_by_its_id(whole: Stack) -> None:
    with client(whole) as asking:
        answer = asking.post(JOBS, content="Mail anna@example.com", headers=TEXT)
        assert answer.status_code == 202, answer.text
        assert finish(asking, answer.headers["location"])["status"] == "succeeded"
        assert asking.get(f"{answer.headers['location']}/result").text == "Mail [EMAIL_ADDRESS]"
    request_id = answer.headers["x-request-id"]

    def told() -> str:
        return whole.run("make", "--silent", "find", f"ID={request_id}").stdout

    eventually(lambda: all(part in told() for part in ("nginx", "api", "jobs")), told)


def test_the_certificate_the_backup_and_the_model_are_there(whole: Stack) -> None:
    backed_up = whole.run("make", "backup")
    assert backed_up.returncode == 0, backed_up.stdout + backed_up.stderr
    measured = whole.run("make", "--silent", "evaluate", "DATA=examples/labelled.jsonl")
    assert measured.returncode == 0, measured.stderr
    assert "MLflow: experiment sightglass" in measured.stdout
    eventually(lambda: bool(whole.value("max(backup_last_success_timestamp_seconds)")))
    eventually(lambda: whole.value('max(model_quality{metric="f1",entity_type="EMAIL_ADDRESS"})') == 1)


def test_a_foreign_application_stays_up_beside_a_judged_deploy(whole: Stack, foreign: Stack) -> None:
    """It notices nothing of it; nor do clients."""
    with Load(url(whole)) as load, watched(foreign):
        eventually(lambda: load.total() > 100, lambda: str(load.sent))
        deployed = whole.run("python3", "scripts/deploy.py", "--no-build")
        assert deployed.returncode == 0, deployed.stderr
        assert "verdict: as_good" in deployed.stdout
    assert load.failures == []
    say(f"{load.total()} requests here, none failed")


def test_everything_killed_at_once_comes_back_by_itself(whole: Stack, foreign: Stack) -> None:
    prometheus = Prometheus(whole.prometheus_url)
    eventually(lambda: pages(prometheus) == set(), lambda: pages(prometheus), deadline=600)
    with client(whole) as asking:
        accepted = [
            asking.post(JOBS, content=f"{number} Mail ada@example.org", headers=TEXT).headers["location"]
            for number in range(20)
        ]
    with watched(foreign):
        for container in whole.inspect():
            os.kill(container["State"]["Pid"], signal.SIGKILL)
        eventually(lambda: unhealthy(whole) != [], longest_pause=0.1)
        eventually(lambda: unhealthy(whole) == [], lambda: whole.compose("ps").stdout, deadline=600)
        eventually(lambda: answers(whole), lambda: whole.logs("nginx"))
    with client(whole) as asking:
        for where in accepted:
            assert finish(asking, where)["status"] == "succeeded"
    eventually(lambda: pages(prometheus) <= OF_WHAT_HAPPENED, lambda: pages(prometheus), deadline=600)


def test_attacks_cost_another_client_nothing(whole: Stack, foreign: Stack) -> None:
    """Nor the application beside it."""
    whole.set(RATE_LIMIT="10", RATE_BURST="20", CONNECTION_LIMIT="100")
    with outside() as cable, addresses(cable.host, 20) as made, watched(foreign):
        port = int(whole.settings["HTTPS_PORT"])
        attackers = Attackers(cable.host, port, made, NAME)
        inside = ["ip", "netns", "exec", cable.namespace]
        with Memory(whole) as memory, victim(inside, cable.host, port, name=NAME) as seen:
            statuses = by_turns(attackers, 4, BODIES, lambda one, name: post(one, BODIES[name], BODIES[name].make()))
    say(f"{len(statuses)} hostile bodies; the other client: {seen.answers.statuses}")
    assert set(statuses.values()) <= ANSWERS | {0}
    assert 200 in statuses.values()  # they do reach the API: by another name, the edge itself refuses
    assert seen.answers.failures == []
    assert {service for service, held in memory.held.items() if held.killed} == set()
    eventually(lambda: unhealthy(whole) == [], lambda: whole.compose("ps").stdout)


def test_down_leaves_nothing_but_its_data(whole: Stack) -> None:
    label = f"--filter=label=com.docker.compose.project={whole.project}"
    uploads = nameless(docker("ps", "--all", "--quiet", label).split())
    assert uploads
    down = whole.run("make", "down")
    assert down.returncode == 0, down.stderr
    assert not set(uploads) & set(docker("volume", "ls", "--quiet").split())
    assert docker("ps", "--all", "--quiet", label) == ""
    whole.compose("--profile", "*", "down", "--volumes")
    left = subprocess.run(["docker", "volume", "ls", "--quiet", label], capture_output=True, text=True, check=True)
    assert left.stdout == ""
