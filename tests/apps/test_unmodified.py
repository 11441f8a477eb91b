"""Applications that know nothing of this, in an image of their own: through TLS, counted, named, by one id."""

import itertools
import json
import re
import subprocess
from collections import Counter

import pytest

from tests.apps.asking import API, EDGE, agree, counted, grown, latencies, samples, told
from tests.apps.cases import RELEASED, WRITTEN
from tests.apps.conftest import OWN, Unmodified
from tests.stack import Stack, docker
from tests.support.talking import talk

CASES = RELEASED | WRITTEN
TALK = "/books/{number}/talk"


@pytest.fixture(scope="module", params=CASES)
def served(request: pytest.FixtureRequest, unmodified: Stack) -> tuple[Stack, str]:
    """The stack with one application after the other."""
    if unmodified.settings["APP"] != request.param:
        unmodified.set(APP=request.param)
    return unmodified, request.param


def test_each_request_is_counted_under_its_template_and_has_one_id(served: tuple[Stack, str]) -> None:
    stack, app = served
    agree(stack, CASES[app])


def test_it_is_healthy_and_tells_its_images_version(served: tuple[Stack, str]) -> None:
    stack, _ = served
    with stack.client() as client:
        health = client.get("/health").json()
        assert (health["status"], health["version"]) == ("healthy", "7.1")
        assert client.get("/ready").json() == {"ready": True}
        assert client.get("/metrics").status_code == 404
    told = {(labels["version"], labels["revision"]) for labels, _ in samples(stack, "app_info")}
    assert told == {("7.1", "0123456789abcdef")}


def test_no_tracked_file_was_touched(unmodified: Unmodified) -> None:
    assert len(unmodified.as_copied) > 100
    assert unmodified.tracked() == unmodified.as_copied


@pytest.fixture(scope="module")
def catalogue(unmodified: Stack) -> Stack:
    """The stack with the FastAPI application."""
    if unmodified.settings["APP"] != "catalogue.main:app":
        unmodified.set(APP="catalogue.main:app")
    return unmodified


def test_it_runs_on_its_own_packages_and_variables(catalogue: Stack) -> None:
    with catalogue.client() as client:
        about = client.get("/about").json()
    assert (about["versions"]["fastapi"], about["versions"]["starlette"]) == ("0.115.6", "0.41.3")
    expected = {name: OWN.get(name, "absent") for name in about["environment"]}
    assert about["environment"] == expected | {"GREETING": "from its image"}
    assert about["lifespan"] == ["yes"]
    assert about["user"] == 10001


def test_its_documentation_loads_nothing_from_elsewhere(catalogue: Stack) -> None:
    with catalogue.client() as client:
        page = client.get("/docs").text
        (script,) = re.findall(r'<script src="([^"]+)"', page)
        assert "//" not in script
        assert client.get(f"/{script}").status_code == 200


def test_websockets_are_counted_alike_and_are_no_latency(catalogue: Stack) -> None:
    """Those that end as they should, and those whose client is gone."""
    before, measured = {side: counted(catalogue, side) for side in (API, EDGE)}, latencies(catalogue, TALK)
    url = f"{catalogue.https_url.replace('https', 'wss')}/books/7/talk"
    ids = set()
    for ends in [True, False] * 5:
        with talk(url, catalogue.tls) as socket:
            assert socket.response is not None
            assert "x-sightglass-route" not in socket.response.headers
            ids.add(socket.response.headers["x-request-id"])
            if ends:
                socket.send("hello")
                assert socket.recv() == "hello"
            else:
                socket.socket.close()
    assert len(ids) == 10
    for side in (API, EDGE):
        grown(catalogue, side, before[side], Counter({(TALK, "101"): 10}))
        told(catalogue, side, dict.fromkeys(ids, (TALK, 101)))
    assert latencies(catalogue, TALK) == measured


def installed(image: str) -> str:
    """Return an image's packages as `pip freeze` lists them, and the digest of each of their files."""
    environment = "/code/.venv"
    freeze = (
        "from importlib.metadata import distributions as all;"
        "print(*sorted(f'{one.metadata[\"Name\"]}=={one.version}' for one in all()), sep='\\n')"
    )
    command = f'{environment}/bin/python -IBc "$0" && find {environment} -type f -exec sha256sum {{}} + | sort'
    return docker("run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", command, freeze)


def test_its_packages_are_the_same_before_and_after(catalogue: Stack) -> None:
    after = catalogue.inspect("api")[0]["Config"]["Image"]
    before = installed(catalogue.settings["API_IMAGE"])
    assert "fastapi==0.115.6" in before
    assert installed(after) == before
    # What it has is not there twice.
    site = docker("run", "--rm", "--network=none", "--entrypoint=ls", after, "/opt/sightglass/site").split()
    assert "gunicorn" in site
    assert not {"starlette", "fastapi", "pydantic", "anyio", "uvicorn", "bin"} & set(site)


def test_its_uploads_may_be_as_long_as_the_edge_allows(catalogue: Stack) -> None:
    """Beyond what the container may have in memory for it, on a disk of its own user's, which a restart empties."""
    size = 290 * 1024 * 1024
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="scan"\r\n\r\n'
    blocks = itertools.chain([head], itertools.repeat(b"." * 1024 * 1024, 290), [b"\r\n--x--\r\n"])
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(size + len(head) + 9)}
    with catalogue.client(timeout=120) as client:
        answer = client.post("/books/7/scan", content=blocks, headers=headers)
    assert (answer.status_code, answer.text) == (200, f'{{"number":7,"size":{size}}}')
    look = "touch /tmp/left && stat -f -c %T /tmp && stat -c %a /tmp"
    kind, mode = catalogue.compose("exec", "-T", "api", "sh", "-c", look).stdout.split()
    assert kind != "tmpfs"
    assert mode == "1777"
    catalogue.compose("restart", "api")
    catalogue.compose("up", "--detach", "--wait")
    assert catalogue.compose("exec", "-T", "api", "ls", "/tmp").stdout == ""


def test_its_image_stays_what_it_was(catalogue: Stack) -> None:
    (theirs,) = json.loads(docker("image", "inspect", catalogue.settings["API_IMAGE"]))
    assert theirs["Config"]["Entrypoint"] == ["/code/.venv/bin/uvicorn"]
    refused = catalogue.run("docker", "compose", "build", "api")
    assert refused.returncode != 0
    assert "built by make up" in refused.stderr
    assert json.loads(docker("image", "inspect", catalogue.settings["API_IMAGE"]))[0]["Id"] == theirs["Id"]


def built(stack: Stack, **settings: str) -> tuple[int, list[str], str]:
    """Return the status and stderr of a build, and what is to be served."""
    kept = stack.env_file.read_text()
    try:
        result = stack.run("python3", "scripts/build.py", **settings)
        served = [line for line in stack.env_file.read_text().splitlines() if line.startswith("SERVED_IMAGE=")]
        return result.returncode, result.stderr.splitlines(), "".join(served)
    finally:
        stack.env_file.write_text(kept)


def test_a_second_build_serves_the_same_image(catalogue: Stack) -> None:
    (running,) = {one["Config"]["Image"] for one in catalogue.inspect("api")}
    assert built(catalogue) == (0, [], f"SERVED_IMAGE={running}")


def test_an_image_without_a_context_is_never_built_over(catalogue: Stack) -> None:
    image = catalogue.settings["API_IMAGE"]
    before = json.loads(docker("image", "inspect", image))[0]["Id"]
    status, said, served = built(catalogue, API_CONTEXT="")
    assert (status, said) == (0, [])
    assert served.startswith("SERVED_IMAGE=sightglass-local/app:")
    assert json.loads(docker("image", "inspect", image))[0]["Id"] == before
    plain = catalogue.run("docker", "compose", "build", "api", API_CONTEXT="", SERVED_IMAGE="")
    assert plain.returncode != 0
    assert json.loads(docker("image", "inspect", image))[0]["Id"] == before


def test_an_image_that_is_nowhere_is_one_line(catalogue: Stack) -> None:
    status, said, _ = built(catalogue, API_CONTEXT="", API_IMAGE="127.0.0.1:9/team/absent:1.0")
    assert status == 1
    (line,) = said
    assert line.startswith("API_IMAGE=127.0.0.1:9/team/absent:1.0: not allowed; expected the name of an image")


WRONG = {
    "RUN cd .venv/lib/python3*/site-packages && rm -r starlette*"
    " && mkdir starlette-0.20.4.dist-info && printf 'Metadata-Version: 2.1\\nName: starlette\\nVersion: 0.20.4\\n'"
    " > starlette-0.20.4.dist-info/METADATA": "starlette==0.20.4: not allowed; expected >=",
    "RUN rm -r .venv && rm /usr/local/bin/python* /usr/bin/python*": "API_IMAGE: not allowed; expected a Python app",
    "RUN chmod 700 /code": "API_IMAGE: not allowed; expected a Python that user 10001:10001 may run",
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_does_not_go_together_is_one_line_at_build_time(catalogue: Stack, fault: str) -> None:
    context = catalogue.directory / "wrong"
    context.mkdir(exist_ok=True)
    (context / "Containerfile").write_text(f"FROM {catalogue.settings['API_IMAGE']}\nUSER 0\n{fault}\n")
    image = f"{catalogue.project}-wrong"
    try:
        status, said, _ = built(catalogue, API_CONTEXT="./wrong", API_DOCKERFILE="Containerfile", API_IMAGE=image)
    finally:
        subprocess.run(["docker", "image", "rm", image], capture_output=True, check=False)
    assert status == 1
    (line,) = said
    assert line.startswith(WRONG[fault])


def test_a_package_of_its_own_that_no_index_has_stays(catalogue: Stack) -> None:
    """As one that was compiled for an image of Alpine's is, where there is no wheel."""
    renamed = "mv click-*.dist-info click-8.99.dist-info && sed -i 's/^Version: .*/Version: 8.99/' click-*/METADATA"
    context = catalogue.directory / "own"
    context.mkdir()
    (context / "Dockerfile").write_text(
        f"FROM {catalogue.settings['API_IMAGE']}\nRUN cd .venv/lib/python3*/site-packages && {renamed}\n"
    )
    image = f"{catalogue.project}-own"
    status, said, served = built(catalogue, API_CONTEXT="./own", API_IMAGE=image)
    try:
        assert (status, said) == (0, [])
        after = served.removeprefix("SERVED_IMAGE=")
        site = docker("run", "--rm", "--network=none", "--entrypoint=ls", after, "/opt/sightglass/site").split()
        assert "gunicorn" in site
        assert "click" not in site
    finally:
        subprocess.run(["docker", "image", "rm", served[13:], image], capture_output=True, check=False)


def test_a_start_that_fails_says_why_and_the_next_one_works(catalogue: Stack) -> None:
    """Two workers fail, over and over; what is mended is taken up at once, whatever Docker waits for."""
    code = catalogue.directory / "late"
    code.mkdir()
    (code / "late.py").write_text("import prices_4711\n")
    settings = {"APP": "late:app", "APP_DIR": "late", "WEB_CONCURRENCY": "2"}
    try:
        failed = catalogue.run("python3", "scripts/start.py", **settings)
        assert failed.returncode == 1
        reason = "APP=late:app: importing it raised ModuleNotFoundError: No module named 'prices_4711'"
        assert failed.stderr.count(reason) == 1
        assert "setup" not in failed.stderr
        (code / "late.py").write_text("from catalogue.main import app\n")
        again = catalogue.run("python3", "scripts/start.py", **settings)
        assert again.returncode == 0, again.stderr
    finally:
        catalogue.compose("up", "--detach", "--wait")
