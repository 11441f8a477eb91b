"""Which images are pulled, which are built, and what `.env` says then, with a `docker` that does as it is told."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from scripts import images
from scripts.images import encoded, recipe_id, text_of, without_own_lines, write_env
from scripts.pulling import Progress, registry_of

ROOT = Path(__file__).resolve().parent.parent.parent
LOCAL = f"sightglass-local/nginx:{recipe_id()}"
DEBIAN = f"sightglass-local/debian:{recipe_id()}"
PYTHON = next(
    line.partition("=")[2] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("ARG PYTHON_")
)

# Compose is the real one, on a small stack; `pull` and `image inspect` are answered by files; all is written down.
DOCKER = """#!/bin/sh
echo "$*" >> "$FAKE/calls"
case "$*" in
*"--file - config"*) exec "$REAL" "$@" ;;
compose*config*) exec "$REAL" compose --file "$FAKE/compose.yml" --env-file "$5" --profile "*" config --format json ;;
"image inspect "*) grep -qxF "$3" "$FAKE/present" ;;
"pull "*)
    name=${2##*/}; said="$FAKE/pull-${name%%:*}"; [ -e "$said" ] || said="$FAKE/pull"
    line=$(head -n 1 "$said"); sed -i 1d "$said"
    case $line in *Login*) printf '\\n%s\\nUsername: ' "$line"; exec sleep 600 ;; esac
    [ -z "$line" ] || { echo "Error response from daemon: $line" >&2; exit 1; } ;;
build*) [ ! -e "$FAKE/build-error" ] || { cat "$FAKE/build-error" >&2; exit 1; } ;;
esac
"""
COMPOSE = """
services:
  nginx: {image: "${NGINX_IMAGE:-nginx:1}"}
  grafana: {image: "${GRAFANA_IMAGE:-grafana/grafana:1}", profiles: ["${GRAFANA_PROFILE:-monitoring}"]}
  valkey: {image: "valkey/valkey:1", profiles: [valkey]}
  collector: {image: "${COLLECTOR_IMAGE:-otel/collector:1}", profiles: [telemetry]}
  api: {image: sightglass, build: .}
  setup: {image: sightglass}
"""
GONE = "dial tcp: lookup registry: no such host"
BUSY = "received unexpected HTTP status: 503 Service Unavailable"


class Machine:
    """A machine with this registry and these images."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.root = directory, ROOT
        self.env_file = directory / "env"
        self.this_run = directory / "this-run"
        (directory / "docker").write_text(DOCKER)
        (directory / "docker").chmod(0o755)
        (directory / "compose.yml").write_text(COMPOSE)
        self.has(PYTHON, DEBIAN)
        self.registry_says()

    def has(self, *images: str) -> None:
        (self.directory / "present").write_text("\n".join(images) + "\n")

    def registry_says(self, *errors: str, of: str | None = None) -> None:
        """Answer pulls, of one image if named, with these errors in turn, then with the image."""
        (self.directory / (f"pull-{of}" if of else "pull")).write_text("".join(f"{error}\n" for error in errors))

    def images(self, *arguments: str, passing: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the program, as `make up` does (`passing`) or as `make images` does."""
        with self.started(*arguments, passing=passing, **environment) as process:
            output, errors = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def started(self, *arguments: str, passing: bool = True, **environment: str) -> subprocess.Popen[str]:
        """Start it."""
        command = [sys.executable, str(self.root / "scripts" / "images.py"), "--env-file", str(self.env_file)]
        if passing:
            command += ["--this-run", str(self.this_run)]
        (self.directory / "calls").write_text("")
        real = shutil.which("docker")
        assert real is not None
        inherited = {n: v for n, v in os.environ.items() if n not in ("PYTHON_IMAGE", "COMPOSE_FILE")}
        own = {
            "SSL_CERT_FILE": "/nonexistent", "PATH": f"{self.directory}:{os.environ['PATH']}",
            "FAKE": str(self.directory), "REAL": real, "TMPDIR": str(self.directory),
        }  # fmt: skip
        return subprocess.Popen(
            [*command, "--back-off", "0", *arguments],
            env=inherited | own | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def calls(self, verb: str) -> list[str]:
        return [line for line in (self.directory / "calls").read_text().splitlines() if line.startswith(verb)]

    def pulled(self) -> list[str]:
        return [line.split()[-1] for line in self.calls("pull")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_with_a_registry_everything_is_pulled_and_env_is_left_alone(machine: Machine) -> None:
    assert machine.images().returncode == 0
    assert machine.pulled() == ["grafana/grafana:1", "nginx:1"]
    assert machine.calls("build") == []
    assert not machine.env_file.exists()
    assert machine.this_run.read_text() == ""


COLLECTOR = f"sightglass-local/collector:{recipe_id('Go modules')}"


def test_logs_and_traces_are_pulled_where_they_are_asked_for(machine: Machine) -> None:
    machine.env_file.write_text("GRAFANA_PROFILE=dashboards\nTELEMETRY=true\n")
    assert machine.images().returncode == 0
    assert machine.pulled() == ["otel/collector:1", "nginx:1"]
    machine.env_file.write_text("GRAFANA_PROFILE=dashboards\nTELEMETRY=false\n")
    machine.images()
    assert machine.pulled() == ["nginx:1"]


@pytest.mark.parametrize("line", ["QUEUE_URL=redis://valkey:6379/0", "COMPOSE_PROFILES=valkey"])
def test_what_a_setting_asks_for_is_pulled(machine: Machine, line: str) -> None:
    machine.env_file.write_text(f"GRAFANA_PROFILE=dashboards\n{line}\n")
    assert machine.images().returncode == 0
    assert machine.pulled() == ["nginx:1", "valkey/valkey:1"]


def test_without_a_registry_they_are_built_as_this_machine_fetches_go_modules(machine: Machine) -> None:
    machine.registry_says(*[GONE] * 9)
    machine.env_file.write_text("TELEMETRY=true\n")
    (machine.directory / "go").write_text("#!/bin/sh\necho https://modules.example,direct; echo sums.example\n")
    (machine.directory / "go").chmod(0o755)
    bundle = machine.directory / "bundle"
    bundle.write_text("certificates")
    said = machine.images("collector", SSL_CERT_FILE=str(bundle), CA_BUNDLE="docker/build/none").stdout
    (build,) = machine.calls("build")
    assert f"--target collector --build-arg=DEBIAN_IMAGE={DEBIAN} " in build
    assert "--build-arg=GOPROXY=https://modules.example,direct --build-arg=GOSUMDB=sums.example" in build
    assert f"--secret=id=ca_bundle,src={bundle}" in build
    assert build.endswith("docker/images/telemetry")
    assert f"collector: {COLLECTOR}, built from Go modules" in said
    assert f"COLLECTOR_IMAGE={COLLECTOR}\n" in machine.env_file.read_text()


def test_a_machine_without_go_says_in_its_environment_where_modules_are(machine: Machine) -> None:
    machine.registry_says(*[GONE] * 9)
    machine.env_file.write_text("TELEMETRY=true\n")
    programs = ":".join(p for p in os.environ["PATH"].split(":") if not (Path(p) / "go").exists())
    machine.images("collector", PATH=f"{machine.directory}:{programs}", GOPROXY="https://mine.example", GOSUMDB="")
    (build,) = machine.calls("build")
    assert "--build-arg=GOPROXY=https://mine.example" in build
    assert "GOSUMDB" not in build


def test_a_changed_sum_is_another_image() -> None:
    files = {path.name for path in (ROOT / "docker/images/telemetry").rglob("*")}
    assert {"go.mod", "go.sum", "main.go", "Dockerfile"} <= files
    assert recipe_id("Go modules") != recipe_id()


def test_the_line_about_a_plugin_goes_with_the_profile(machine: Machine) -> None:
    machine.env_file.write_text("# mine\nGRAFANA_PLUGINS_DIR=.build/grafana-plugins\n")
    machine.images()
    assert machine.env_file.read_text() == "# mine\n"
    machine.env_file.write_text("GRAFANA_PLUGINS_DIR=/srv/plugins\n")
    machine.images()
    assert machine.env_file.read_text() == "GRAFANA_PLUGINS_DIR=/srv/plugins\n"


def test_what_is_there_is_not_pulled(machine: Machine) -> None:
    machine.has(PYTHON, "nginx:1", "grafana/grafana:1")
    machine.images()
    assert machine.pulled() == []


def test_without_a_registry_stand_ins_are_built_and_named_in_env(machine: Machine) -> None:
    machine.registry_says(*[GONE] * 9)
    machine.env_file.write_text("# mine\nRATE_LIMIT=5\n")
    told = machine.images().stdout
    assert "the stack starts WITHOUT grafana" in told
    # The registry that gave no answer was asked about one image, twice, and about no other.
    assert machine.pulled() == ["grafana/grafana:1", "grafana/grafana:1"]
    assert f"--target nginx --build-arg=DEBIAN_IMAGE={DEBIAN}" in machine.calls("build")[0]
    assert machine.env_file.read_text() == (f"# mine\nRATE_LIMIT=5\nGRAFANA_PROFILE=unavailable\nNGINX_IMAGE={LOCAL}\n")


def test_a_second_run_builds_nothing_and_changes_nothing(machine: Machine) -> None:
    machine.registry_says(*[GONE] * 9)
    machine.images()
    before = machine.env_file.read_text()
    machine.has(PYTHON, LOCAL)
    machine.images()
    assert machine.calls("build") == []
    assert machine.env_file.read_text() == before


def test_what_another_program_is_making_is_waited_for_and_made_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.registry_says(*[GONE] * 9)
    monkeypatch.setattr(tempfile, "tempdir", str(machine.directory))
    monkeypatch.setattr(images, "present", lambda _: False)
    others: list[subprocess.Popen[str]] = []

    def make() -> None:
        other = machine.started("nginx")
        others.append(other)
        assert f"    {LOCAL} is being made; waiting for it\n" in iter(other.stdout or ())
        machine.has(PYTHON, DEBIAN, LOCAL)

    images.once(LOCAL, make)
    (other,) = others
    output, errors = other.communicate()
    assert other.returncode == 0, errors
    assert f"nginx: {LOCAL}, built from Debian packages\n" in output
    assert machine.calls("build") == []


def test_the_way_back_is_found_when_the_registry_is_there_again(machine: Machine) -> None:
    machine.env_file.write_text("# mine\nRATE_LIMIT=5\n")
    machine.registry_says(*[GONE] * 9)
    machine.images()
    machine.has(PYTHON, LOCAL)
    machine.registry_says()
    machine.images()
    assert machine.pulled() == ["grafana/grafana:1", "nginx:1"]
    assert machine.env_file.read_text() == "# mine\nRATE_LIMIT=5\n"


def test_an_image_of_the_users_own_is_asked_for_again_and_its_line_outlives_a_stand_in(machine: Machine) -> None:
    mine = "NGINX_IMAGE=registry.example/nginx:2\n"
    machine.env_file.write_text(mine)
    machine.registry_says(GONE, GONE, of="nginx")
    machine.images()
    assert machine.env_file.read_text() == f"{mine}NGINX_IMAGE={LOCAL}\n"
    machine.registry_says(of="nginx")
    machine.images()
    assert machine.pulled()[-1] == "registry.example/nginx:2"
    assert machine.env_file.read_text() == mine


@pytest.mark.parametrize(
    "fault",
    [
        BUSY,
        "received unexpected HTTP status: 500 Internal Server Error",
        "unauthorized: authentication required",
        "Login prior to pull:",  # the client waits for one
        "Please login prior to pull:",
        "toomanyrequests: slow down",
        "pull access denied for nginx, repository does not exist or may require 'docker login'",
        "pull access denied for nginx, repository does not exist or may require 'docker login': denied: access denied",
        "denied: requested access to the resource is denied",
        "received unexpected HTTP status: 403 Forbidden",
        "unexpected EOF",
        "read: connection reset by peer",
        "failed to register layer: no space left on device",
        'exec: "docker-credential-desktop": executable file not found in $PATH',
    ],
)
def test_what_passes_is_tried_again_and_leaves_nothing(machine: Machine, fault: str) -> None:
    times = 3 if fault == BUSY else 1
    machine.registry_says(*[fault] * times, of="grafana")
    assert machine.images(passing=False).returncode == 0
    assert machine.pulled() == [*["grafana/grafana:1"] * (times + 1), "nginx:1"]
    assert machine.calls("build") == []
    assert not machine.env_file.exists()


def test_what_does_not_pass_concerns_one_image_and_this_run(machine: Machine) -> None:
    machine.registry_says(*[BUSY] * 9, of="nginx")
    result = machine.images()
    assert result.returncode == 0
    assert machine.pulled() == ["grafana/grafana:1", *["nginx:1"] * 4]
    assert f"nginx: nginx:1 cannot be pulled: {BUSY}" in result.stdout
    assert not machine.env_file.exists()
    assert machine.this_run.read_text() == f"NGINX_IMAGE={LOCAL}\n"


def test_without_a_run_to_stand_in_for_it_is_an_error_that_says_why(machine: Machine) -> None:
    machine.registry_says(*[BUSY] * 9, of="grafana")
    result = machine.images(passing=False)
    assert result.returncode == 1
    assert result.stderr == f"grafana: grafana/grafana:1 cannot be pulled: {BUSY}; try again: make images\n"
    assert machine.pulled()[-1] == "nginx:1"
    assert not machine.env_file.exists()


def test_a_registry_that_has_answered_is_not_gone(machine: Machine) -> None:
    machine.registry_says(GONE, GONE, GONE, GONE, of="nginx")
    machine.images()
    assert not machine.env_file.exists()
    assert machine.this_run.read_text() == f"NGINX_IMAGE={LOCAL}\n"


def test_a_registry_that_cannot_be_reached_says_nothing_about_another(machine: Machine) -> None:
    machine.env_file.write_text("NGINX_IMAGE=registry.example/nginx:2\n")
    machine.registry_says(GONE, GONE, of="grafana")
    machine.images()
    assert machine.pulled() == ["grafana/grafana:1", "grafana/grafana:1", "registry.example/nginx:2"]


@pytest.mark.parametrize(
    "answer",
    [
        "manifest for nginx:1 not found: manifest unknown: manifest unknown",
        "manifest unknown",
        "no matching manifest for linux/s390x in the manifest list entries",
        "docker.io/library/nginx:1: not found",
        "no match for platform in manifest: not found",
    ],
)
def test_an_image_the_registry_does_not_have_is_asked_for_once_and_no_other_suffers(
    machine: Machine, answer: str
) -> None:
    machine.registry_says(answer, of="grafana")
    assert machine.images(passing=False).returncode == 0
    assert machine.pulled() == ["grafana/grafana:1", "nginx:1"]
    assert machine.env_file.read_text() == "GRAFANA_PROFILE=unavailable\n"


def test_where_no_stand_in_can_be_built_the_pulls_own_reason_is_said(machine: Machine) -> None:
    machine.registry_says(*[BUSY] * 9, of="nginx")
    machine.has(PYTHON)
    # No package sources that name a mirror of Debian's: Ubuntu.
    (machine.directory / "apt-get").write_text("#!/bin/sh\n")
    (machine.directory / "apt-get").chmod(0o755)
    result = machine.images(DEBIAN_MIRROR="")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"nginx: nginx:1 cannot be pulled: {BUSY}; try again: make up")
    assert "DEBIAN_MIRROR=: needed here" in line
    assert line.endswith("expected its address, in the environment, not in .env")
    assert not machine.env_file.exists()


def test_grafana_comes_back_when_its_image_can_be_had(machine: Machine) -> None:
    machine.env_file.write_text("GRAFANA_PROFILE=unavailable\n")
    machine.images()
    assert machine.env_file.read_text() == ""


def test_a_profile_of_the_users_own_stays(machine: Machine) -> None:
    machine.env_file.write_text("GRAFANA_PROFILE=dashboards\n")
    machine.images()
    assert machine.pulled() == ["nginx:1"]
    assert machine.env_file.read_text() == "GRAFANA_PROFILE=dashboards\n"


def test_a_stand_in_of_an_older_recipe_is_replaced(machine: Machine) -> None:
    machine.env_file.write_text("NGINX_IMAGE=sightglass-local/nginx:old\n")
    machine.has(PYTHON, "sightglass-local/nginx:old", "grafana/grafana:1", DEBIAN)
    machine.registry_says(GONE, GONE)
    machine.images()
    assert machine.env_file.read_text() == f"NGINX_IMAGE={LOCAL}\n"


def test_what_is_not_asked_about_stays_as_it_was(machine: Machine) -> None:
    machine.env_file.write_text(f"NGINX_IMAGE={LOCAL}\nGRAFANA_PROFILE=unavailable\nRATE_LIMIT=5")
    machine.images("grafana")
    assert machine.env_file.read_text() == f"RATE_LIMIT=5\nNGINX_IMAGE={LOCAL}\n"


@pytest.mark.parametrize(
    "text",
    [
        "RATE_LIMIT=5\r\nNGINX_IMAGE=mine:1\r\n",
        "export NGINX_IMAGE=mine:1\n",
        "NGINX_IMAGE='mine:1'  # a mirror\n",
        'NGINX_IMAGE = "mine:1"\n',
        "REGISTRY=mine\r\nNGINX_IMAGE=${REGISTRY}:1\r\n",
        "\ufeffNGINX_IMAGE=mine:1\n",
    ],
)
def test_env_is_read_as_compose_reads_it_and_kept_as_it_is(machine: Machine, text: str) -> None:
    machine.env_file.write_bytes(text.encode())
    assert machine.images().returncode == 0
    assert machine.pulled() == ["grafana/grafana:1", "mine:1"]
    assert machine.env_file.read_bytes() == text.encode()


@pytest.mark.parametrize("end", ["\n", "\r\n", "  # lent\r\n"])
def test_the_lent_bundle_is_recognised_whatever_ends_its_line(machine: Machine, tmp_path: Path, end: str) -> None:
    machine.root = tmp_path / "tree"  # where it is lent to
    for part in ("scripts", "docker/images"):
        shutil.copytree(ROOT / part, machine.root / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Dockerfile", machine.root)
    (tmp_path / "bundle").write_text("certificates")
    text = f"CA_BUNDLE=.build/ca-certificates.crt{end}".encode()
    machine.env_file.write_bytes(text)
    assert machine.images(SSL_CERT_FILE=str(tmp_path / "bundle")).returncode == 0
    assert (machine.root / ".build" / "ca-certificates.crt").read_text() == "certificates"
    assert machine.env_file.read_bytes() == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1\n# B=2", "A=1\n# B=2\nB=y\n"),
        ("A=1\r\n", "A=1\r\nB=y\r\n"),
        ("", "B=y\n"),
    ],
)
def test_write_env_adds_lines_of_the_files_own_kind(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "env"
    path.write_bytes(text.encode())
    write_env(path, text, {"B": "y"})
    assert path.read_bytes() == expected.encode()


def test_bytes_of_another_encoding_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b"NAME=caf\xe9\nNGINX_IMAGE=sightglass-local/nginx:1")
    assert encoded(without_own_lines(text_of(path))) == b"NAME=caf\xe9\n"


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("nginx:1.30.6", "docker.io"),
        ("prom/prometheus:v3", "docker.io"),
        ("127.0.0.1:5000/nginx", "127.0.0.1:5000"),
        ("localhost/nginx", "localhost"),
        ("ghcr.io/a/b@sha256:00", "ghcr.io"),
        ("registry:5000/nginx:1", "registry:5000"),
    ],
)
def test_the_registry_of_a_reference(image: str, registry: str) -> None:
    assert registry_of(image) == registry


def test_progress_is_counted_once_however_often_it_is_drawn() -> None:
    progress = Progress()
    for line in ("0123456789ab: Downloading [=>  ]  1.5MB/3MB", "ba9876543210: Already exists"):
        progress.note(line)
    moved = progress.moved
    progress.note("0123456789ab: Downloading [=>  ]  1.5MB/3MB")
    assert progress.moved == moved
    assert str(progress) == "1 of 2 layers, 1.5 MB"
    progress.note("0123456789ab: Pull complete")
    assert str(progress) == "2 of 2 layers, 3.0 MB"
