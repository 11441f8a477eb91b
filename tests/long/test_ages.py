"""Releases of other years, each in an environment of its own: served, counted and named as those of today are.

The edge's part of it is the table it is given: what it would call a request that the application never saw.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.apps.cases import OTHERS, RELEASED, WRITTEN
from tests.server.server import ROOT, Server
from tests.support.floors import install
from tests.support.waiting import eventually

APPS = ROOT / "tests" / "apps"
CASES = WRITTEN | RELEASED | OTHERS
# By application and year: what is installed.
RELEASES = {
    "notes:create_app": {"2021": ["flask==2.0.1", "werkzeug==2.0.1"], "2022": ["flask==2.2.2", "werkzeug<3"]},
    "polls.wsgi:application": {"2021": ["django==3.2.4"], "2023": ["django==4.2"]},
    "polls.asgi:application": {"2021": ["django==3.2.4"], "newest": ["django"]},
    "radicale:application": {"2020": ["radicale==3.0.6", "setuptools<81"], "newest": ["radicale"]},
    "packages:app": {"2022": ["pypiserver==1.5.1", "setuptools<81"], "newest": ["pypiserver"]},
    "tables:app": {"2022": ["datasette==0.61.1", "setuptools<81"], "newest": ["datasette"]},
    "httpbin:app": {"newest": ["httpbin"]},
    "index:create_app": {"newest": ["simple-repository-server"]},
    "of_falcon:app": {"2021": ["falcon==3.0.1"], "newest": ["falcon"]},
    "of_litestar:app": {"2024": ["litestar==2.11.0", "sniffio"], "newest": ["litestar"]},
    "of_quart:app": {"2022": ["quart==0.18.0", "flask<2.3", "werkzeug<2.3"], "newest": ["quart"]},
}


@pytest.fixture(scope="module")
def served_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the released applications serve, made as their image makes it."""
    directory = tmp_path_factory.mktemp("released")
    subprocess.run(["cp", "-r", f"{APPS / 'released'}/.", str(directory)], check=True)
    subprocess.run([sys.executable, "prepare.py"], cwd=directory, check=True)
    return directory


@pytest.mark.parametrize(("app", "age"), [(app, age) for app, ages in RELEASES.items() for age in ages])
def test_it_is_counted_by_the_names_it_has_at_the_edge(app: str, age: str, served_files: Path, tmp_path: Path) -> None:
    python = install(tmp_path / "venv", sys.executable, "highest", *RELEASES[app][age])
    own = APPS / app.split(".")[0].split(":")[0]
    path = own if own.is_dir() else served_files
    configuration = tmp_path / "radicale.conf"
    configuration.write_text(f"[auth]\ntype = none\n[storage]\nfilesystem_folder = {tmp_path / 'collections'}\n")
    with Server(
        tmp_path, path=path, python=python, APP=app, environment={"RADICALE_CONFIG": str(configuration)}
    ) as server:
        expected: Counter[tuple[str, str]] = Counter()
        for number, (path_asked, route, status) in enumerate(CASES[app], 1):
            for _ in range(number):
                assert (server.get(path_asked).status_code, path_asked) == (status, path_asked)
            expected[route, str(status)] += number
        eventually(lambda: counts(server) == expected, lambda: f"{counts(server)}, not {expected}")
        table = httpx.get(f"http://127.0.0.1:{server.metrics_port}/routes").json()
        for path_asked, route, _ in CASES[app]:
            asked = f"GET localhost {path_asked}"
            assert next((template for regex, template in table if re.search(regex, asked)), "(unmatched)") == route


def counts(server: Server) -> Counter[tuple[str, str]]:
    """Return the requests by route and status."""
    found: Counter[tuple[str, str]] = Counter()
    for line in server.get("/metrics").text.splitlines():
        if line.startswith("http_requests_total{") and 'route="/ready"' not in line:
            route, status = re.findall(r'(?:route|status)="([^"]*)"', line)
            found[route, status] += int(float(line.split()[-1]))
    return found
