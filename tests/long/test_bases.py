"""Images as projects make them: with Debian's own Python and packages, by Poetry, by uv, of Python 3.14; for any user.

An image of Alpine's cannot be had without a container registry. What decides whether the stack goes with one is which
wheels there are for its Python, which pip, run by that Python, installs (docker/overlay/install.py): that is asked of
the package index, for each Python, C library and processor.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.apps.asking import agree
from tests.apps.cases import WRITTEN
from tests.apps.conftest import Unmodified
from tests.stack import ROOT, docker
from tests.support.floors import HOST_CA_BUNDLE, UV

PROJECT = """[project]
name = "notes"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["flask==3.0.3"]
"""
CERTIFICATES = (
    "--mount=type=secret,id=ca_bundle [ ! -s /run/secrets/ca_bundle ] || export PIP_CERT=/run/secrets/ca_bundle "
    "SSL_CERT_FILE=/run/secrets/ca_bundle REQUESTS_CA_BUNDLE=/run/secrets/ca_bundle;"
)
BEGINNING = """ARG PYTHON_IMAGE=python:3.13-slim
FROM ${PYTHON_IMAGE}
USER 0
WORKDIR /code
COPY pyproject.toml ./
"""
END = """COPY notes notes
LABEL org.opencontainers.image.version="7.1"
CMD ["python3", "-c", "raise SystemExit('not what is to run')"]
"""
FORKY = (
    "sed -i s/trixie/forky/ /etc/apt/sources.list.d/* 2>/dev/null;"
    " apt-get update -q && apt-get install -qy --no-install-recommends"
)
# By its base: how the environment is made, API_PYTHON, and who it is to run as.
BASES = {
    "Debian's Python": (
        "RUN apt-get update -q && apt-get install -qy --no-install-recommends python3 python3-flask\nUSER 12345\n",
        "/usr/bin/python3", "12345",
    ),
    "Poetry": (  # pip installs into what it makes: of an index Poetry wants JSON, which not every mirror has
        f"RUN {CERTIFICATES} python3 -m venv /poetry && /poetry/bin/pip install --quiet poetry"
        " && POETRY_VIRTUALENVS_IN_PROJECT=true /poetry/bin/poetry run pip install --quiet flask==3.0.3\n"
        "USER 12345:23456\n",
        "", "12345:23456",
    ),
    "uv": (
        f"RUN {CERTIFICATES} python3 -m venv /uv && /uv/bin/pip install --quiet uv"
        ' && /uv/bin/uv sync --quiet --no-cache --no-install-project --python "$(command -v python3)"\n',
        "", "10001:10001",
    ),
    "Python 3.14": (
        f"RUN {FORKY} python3.14-venv\n"
        f"RUN {CERTIFICATES} python3.14 -m venv .venv && .venv/bin/pip install --quiet flask==3.0.3\nUSER nobody\n",
        "", "nobody",
    ),
}  # fmt: skip

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unmodified]:
    """A stack whose application's image is built anew for each."""
    stack = Unmodified(
        tmp_path_factory.mktemp("bases"), profiles=[], API_CONTEXT="./theirs", APP="notes:create_app",
        JOBS_REPLICAS="0", RATE_LIMIT="1000", RATE_BURST="1000",
    )  # fmt: skip
    context = stack.directory / "theirs"
    shutil.copytree(stack.directory / "tests" / "apps" / "notes", context)
    (context / "pyproject.toml").write_text(PROJECT)
    write(stack, "uv")
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


def write(stack: Unmodified, base: str) -> None:
    environment, python, _ = BASES[base]
    (stack.directory / "theirs" / "Dockerfile").write_text(BEGINNING + environment + END)
    with stack.env_file.open("a") as file:
        file.write(f"API_PYTHON={python}\n")


def installed(image: str, python: str) -> str:
    """Return an image's packages as `pip freeze` lists them, and the digest of each file of a package."""
    freeze = (
        "import sys; from importlib.metadata import distributions as all; print(*sys.version_info[:2]);"
        "print(*sorted(f'{one.metadata[\"Name\"]}=={one.version}' for one in all()), sep='\\n')"
    )
    places = "find / -xdev -path '*-packages/*' -type f -not -path '/opt/sightglass/*' -exec sha256sum {} + | sort"
    command = f'{python} -IBc "$0" && {places}'
    return docker("run", "--rm", "--network=none", "--user=0", "--entrypoint=sh", image, "-c", command, freeze)


@pytest.mark.parametrize("base", BASES)
def test_it_is_served_and_stays_as_it_is(stack: Unmodified, base: str) -> None:
    write(stack, base)
    built = stack.run("python3", "scripts/build.py")
    assert built.returncode == 0, built.stderr
    stack.compose("up", "--detach", "--wait")
    agree(stack, WRITTEN["notes:create_app"])
    (api,) = stack.inspect("api")
    _, python, user = BASES[base]
    assert api["Config"]["User"] == user
    theirs, ours = (
        installed(image, python or "/code/.venv/bin/python")
        for image in (stack.settings["API_IMAGE"], api["Config"]["Image"])
    )
    assert "\nFlask==" in theirs
    assert "flask/app.py" in theirs
    assert (base != "Python 3.14") or theirs.startswith("3 14\n")
    assert ours == theirs


def choose(platform: str, python: str, *what: str, asked: str = "") -> subprocess.CompletedProcess[str]:
    """Have uv choose packages of which there are wheels for such a Python."""
    command = (
        UV, "pip", "compile", "--quiet", "--native-tls", "--no-header", "--only-binary", ":all:",
        "--python-platform", platform, "--python-version", python, *what,
    )  # fmt: skip
    given = {"SSL_CERT_FILE": HOST_CA_BUNDLE} | os.environ
    return subprocess.run(command, env=given, input=asked, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("library", ["gnu", "musl"])
@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_there_is_a_wheel_of_each_package(processor: str, library: str, python: str) -> None:
    extras = ("--extra", "server", "--extra", "tracing", "--extra", "docs")
    chosen = choose(f"{processor}-unknown-linux-{library}", python, *extras, str(ROOT / "pyproject.toml"))
    assert chosen.returncode == 0, chosen.stderr
    assert "uvloop==" in chosen.stdout


def test_a_wheel_that_there_is_not_is_missed() -> None:
    chosen = choose("x86_64-unknown-linux-musl", "3.14", "-", asked="orjson==3.9.0\n")
    assert chosen.returncode == 1
    assert "orjson==3.9.0 has no usable wheels" in chosen.stderr
