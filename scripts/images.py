"""Makes every image of the production stack present: pulled where a registry has it, else built from OS packages.

A locally built image has a name of its own (`sightglass-local/…`), which goes into `.env`, where Compose reads it; the
Compose file itself stays as it is. Each run judges anew: a stand-in of an earlier one is left as soon as its official
image can be had. What a registry that answers fails to give just now is no lasting reason, and is never written there.
Standard library only: this runs before anything is installed.
"""

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import building, environment, plugin, profiles, pulling
from scripts.commands import ROOT, CommandError, checked, replace_file, run, say
from scripts.pulling import Outcome

IMAGES = ROOT / "docker" / "images"
APT = ROOT / "scripts" / "apt.sh"
DEBIAN_PACKAGES = "Debian packages"
RECIPES = {
    DEBIAN_PACKAGES: IMAGES / "Dockerfile",
    "Go modules": IMAGES / "telemetry" / "Dockerfile",
    "a Debian package": IMAGES / "postgres" / "Dockerfile",
}
"""What describes stand-ins, by what they are made from; the first has the base of all."""
LOCAL = "sightglass-local"
UNAVAILABLE = "unavailable"  # a profile nobody asks for
# What this program has written into `.env`; everything else there is the user's.
OWN_LINE = re.compile(
    rf"^(?:\w+_IMAGE={LOCAL}/\S*|\w+_PROFILE={UNAVAILABLE}|GRAFANA_PLUGINS_DIR={re.escape(str(plugin.DIRECTORY))})"
    r"\r?(?:\n|\Z)",
    re.MULTILINE,
)
HOST_CA_BUNDLE = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
LENT_CA_BUNDLE = Path(".build/ca-certificates.crt")  # below the root: Compose's builder reads nothing outside


@dataclass
class Choice:
    """What Compose has to be told, and what is missing.

    Attributes:
        lasting: variables for `.env`.
        passing: variables for this run alone.
        missing: a line for each image that is neither there nor replaced.

    """

    lasting: dict[str, str] = field(default_factory=dict)
    passing: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def main() -> int:
    """Pull or build what is missing and say so, a line an image.

    Returns:
        0; 1 with the reasons on stderr where an image could be had neither way.

    """
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--env-file", type=Path, default=ROOT / ".env", help="what Compose is told (default: .env)")
    arguments.add_argument(
        "--this-run", type=Path, metavar="FILE",
        help="where variables go that hold for this run alone: stand-ins for what a registry fails to give just now;"
        " without it, such an image is an error",
    )  # fmt: skip
    arguments.add_argument(
        "--standstill", type=float, default=pulling.STANDSTILL_SECONDS, metavar="SECONDS",
        help="a pull without any progress is given up after (default: %(default)s)",
    )  # fmt: skip
    arguments.add_argument(
        "--back-off", type=float, default=pulling.BACK_OFF_SECONDS, metavar="SECONDS",
        help="pause before a second attempt, doubled for each further one (default: %(default)s)",
    )  # fmt: skip
    arguments.add_argument(
        "name", nargs="*", help="a service, or `python` for the API's base (default: what make up starts)"
    )
    options = arguments.parse_args()
    said = text_of(options.env_file)
    own = without_own_lines(said)
    with tempfile.NamedTemporaryFile("wb", suffix=".env") as official:
        official.write(encoded(own))
        official.flush()
        settings = environment.read("PYTHON_IMAGE", "CA_BUNDLE", *profiles.VARIABLES, env_file=Path(official.name))
        chosen = profiles.chosen(settings)
        images = wanted(Path(official.name), settings.get("PYTHON_IMAGE"), options.name, chosen)
    bundle = settings.get("CA_BUNDLE")
    registries = pulling.Registries(say, options.standstill, options.back_off)
    choice = choose(images, registries, stand_ins_may_pass=options.this_run is not None)
    if HOST_CA_BUNDLE.is_file() and bundle in (None, "", str(LENT_CA_BUNDLE)):
        lend_ca_bundle()
        if not bundle:
            choice.lasting["CA_BUNDLE"] = str(LENT_CA_BUNDLE)
    # Asked about each time the profile runs; a run about certain images says nothing of it.
    if "telemetry" in chosen and not options.name and "GRAFANA_PROFILE" not in choice.lasting | choice.passing:
        offer_plugin(choice)
    kept = dict(line.strip().split("=", 1) for line in OWN_LINE.findall(said) if not concerns(line, images))
    write_env(options.env_file, own, kept | choice.lasting)
    if options.this_run:
        options.this_run.write_text("".join(f"{name}={value}\n" for name, value in choice.passing.items()))
    for line in choice.missing:
        print(line, file=sys.stderr)
    return 1 if choice.missing else 0


def choose(images: dict[str, str], registries: pulling.Registries, *, stand_ins_may_pass: bool) -> Choice:
    """Make each image present, the official one or its stand-in, and note what Compose has to be told.

    Args:
        images: name to official reference.
        registries: who pulls.
        stand_ins_may_pass: whether an image that its registry fails to give just now may be replaced for this run.

    """
    choice = Choice()
    for name, image in images.items():
        if present(image):
            say(f"{name}: {image}")
            continue
        pull = registries.pull(image)
        if pull.outcome is Outcome.PULLED:
            say(f"{name}: {image}")
            continue
        passes = pull.outcome is Outcome.FAILED
        told, prefix = choice.passing if passes else choice.lasting, name.replace("-", "_").upper()
        failure = f"{name}: {image} cannot be pulled: {pull.reason}"
        if passes and not stand_ins_may_pass:
            choice.missing.append(f"{failure}; try again: make images")
        elif origin := origin_of(name):
            say(failure)
            try:
                local = build(name, origin)
            except BuildError as error:
                choice.missing.append(f"{failure}; try again: make up. Nor can a stand-in be built: {error}")
                continue
            say(f"{name}: {local}, built from {origin}" + (", until the next make up" if passes else ""))
            told[f"{prefix}_IMAGE"] = local
        else:
            say(f"{failure}; it cannot be built here: the stack starts WITHOUT {name}")
            told[f"{prefix}_PROFILE"] = UNAVAILABLE
    return choice


def offer_plugin(choice: Choice) -> None:
    """Fetch Grafana's plugin for log lines, and tell Compose; without it links lead to VictoriaLogs' own pages."""
    try:
        choice.lasting["GRAFANA_PLUGINS_DIR"] = str(plugin.fetch())
        say(f"grafana's plugin: {plugin.NAME} {plugin.VERSION}")
    except plugin.PluginError as error:
        say(f"grafana's plugin for log lines cannot be had: {error}; links lead to VictoriaLogs' own pages")


def wanted(env_file: Path, python: str | None, names: list[str], asked: Iterable[str]) -> dict[str, str]:
    """Name each image the stack takes from elsewhere: those of the Compose file, and the API's base.

    Args:
        env_file: what Compose is told, without the lines of this program.
        python: the API's base, where it is not the Dockerfile's default.
        names: which to name; none means those without a profile, and …
        asked: … those of these profiles.

    Returns:
        Service name (`python` for the base) to image reference.

    """
    default = re.search(r"^ARG PYTHON_IMAGE=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    if default is None:
        raise SystemExit("Dockerfile: no default for PYTHON_IMAGE")
    compose = ("docker", "compose", "--file", "docker-compose.prod.yml", "--env-file", str(env_file))
    config = json.loads(checked(*compose, "--profile", "*", "config", "--format", "json"))
    services: dict[str, dict[str, Any]] = config["services"]
    own = {service["image"] for service in services.values() if "build" in service}
    others = {name: service for name, service in sorted(services.items()) if service["image"] not in own}
    of = set(asked)
    default_names = ["python", *(n for n, s in others.items() if of & set(s.get("profiles", of)))]
    images = {"python": python or default[1]} | {name: str(service["image"]) for name, service in others.items()}
    chosen = names or default_names
    called: dict[str, str] = {}  # of the services that share an image, by that which has a stand-in, else the first
    for name in sorted(chosen, key=lambda name: origin_of(name) is None):
        called.setdefault(images[name], name)
    return {name: images[name] for name in chosen if called[images[name]] == name}


def present(image: str) -> bool:
    """Say whether the engine has this image."""
    return run("docker", "image", "inspect", image).returncode == 0


class BuildError(Exception):
    """Why a stand-in cannot be built, for people."""


def origin_of(name: str) -> str | None:
    """Say what a stand-in is made from; None where there is none of this name."""
    target = re.compile(rf"^FROM \S+ AS {re.escape(name)}$", re.MULTILINE)
    return next((origin for origin, recipes in RECIPES.items() if target.search(recipes.read_text())), None)


def by_digest(image: str) -> list[str]:
    """Return the names by digest under which registries have an image that is here; none of an image of no registry."""
    found: list[str] = json.loads(checked("docker", "image", "inspect", image))[0].get("RepoDigests") or []
    return found


def digest(image: str) -> str | None:
    """Return the digest that an image's own registry gave it; None where it is of another, or of none."""
    # Docker's own registry is not named in what it lists.
    short = repository(image).removeprefix("docker.io/").removeprefix("library/")
    return next((of for name, _, of in (one.partition("@") for one in by_digest(image)) if name == short), None)


def repository(image: str) -> str:
    """Return an image's name without its tag."""
    return re.sub(r":[\w.-]+$", "", image)


def once(image: str, make: Callable[[], object]) -> None:
    """Make an image that is not here; while another program of this user makes it, wait for that one's."""
    if present(image):
        return
    with alone(image, f"{image} is being made; waiting for it"):
        if not present(image):
            make()


@contextmanager
def alone(name: str, waiting: str) -> Iterator[None]:
    """Do what this user's programs, whichever installation's, do one after the other; who has to wait says so."""
    path = Path(tempfile.gettempdir(), f"sightglass-{os.getuid()}-{re.sub(r'[^a-z0-9.-]', '-', name)}.lock")
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)  # the file stays: another may wait at it


def build(name: str, origin: str = DEBIAN_PACKAGES) -> str:
    """Build one stand-in that is not here, its Debian base first; returns its name.

    Raises:
        BuildError: a tool is missing or a build failed, with its output.

    """
    tag = f"{LOCAL}/{name}:{recipe_id(origin)}"
    once(tag, lambda: _build(name, tag, origin))
    return tag


def _build(name: str, tag: str, origin: str) -> None:
    recipes = RECIPES[origin]
    try:
        # buildx: an older `docker build` is not BuildKit.
        command = ["docker", "buildx", "build", "--load", "--target", name, f"--build-arg=DEBIAN_IMAGE={debian()}"]
        if recipes.parent != IMAGES:
            command += ["--progress", "plain", *lent_to_go()]
        say(f"building {tag}")
        building.run([*command, "--tag", tag, str(recipes.parent)], say)
    except CommandError as error:
        raise BuildError(str(error)) from None


def lent_to_go() -> list[str]:
    """Return the arguments of a build that fetches Go modules as this machine would: its proxy, its CA bundle."""
    arguments = [f"--build-arg={name}={value}" for name, value in go_environment().items() if value]
    if HOST_CA_BUNDLE.is_file():
        arguments.append(f"--secret=id=ca_bundle,src={HOST_CA_BUNDLE}")
    return arguments


def go_environment() -> dict[str, str]:
    """Return where this machine has Go modules from, as its Go says, or, where it has none, its environment."""
    names = ("GOPROXY", "GOSUMDB")
    if shutil.which("go") is None:
        return {name: os.environ.get(name, "") for name in names}
    return dict(zip(names, checked("go", "env", *names).splitlines(), strict=True))


def debian() -> str:
    """Make the base of all stand-ins present; returns its name.

    Raises:
        BuildError: a tool is missing, or there is no mirror.
        CommandError: making it failed.

    """
    tag = f"{LOCAL}/debian:{recipe_id()}"
    once(tag, lambda: _bootstrap(tag))
    return tag


def _bootstrap(tag: str) -> None:
    """Make a minimal Debian forky, from the mirror this machine's sources name."""
    found = run(str(ROOT / "scripts" / "debian-mirror.sh"))
    if found.returncode != 0:
        raise BuildError(found.stderr.strip())
    mirror = found.stdout.strip()
    if run("sh", "-c", "command -v mmdebstrap").returncode != 0:
        if os.geteuid() != 0:
            raise BuildError("mmdebstrap is missing. As root, run: apt-get install mmdebstrap")
        say("installing mmdebstrap")
        checked(str(APT), "update")
        checked(str(APT), "install", "mmdebstrap", "debian-archive-keyring")
    say(f"bootstrapping {tag}")
    with tempfile.TemporaryDirectory() as directory:
        archive = f"{directory}/debian.tar"
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{path}/*" for path in ("doc", "man", "locale", "info")]
        checked(
            "mmdebstrap", "--quiet", "--variant=minbase", *excluded,
            '--aptopt=Acquire::Check-Valid-Until "false"',  # a mirror may be past its date
            "--keyring=/usr/share/keyrings/debian-archive-keyring.gpg", "forky", archive, mirror,
        )  # fmt: skip
        checked("docker", "import", archive, tag)


def lend_ca_bundle() -> None:
    """Copy this machine's CA bundle to where image builds can borrow it: a TLS-inspecting proxy's CA is in it."""
    lent = ROOT / LENT_CA_BUNDLE
    lent.parent.mkdir(exist_ok=True)
    if not lent.is_file() or lent.read_bytes() != HOST_CA_BUNDLE.read_bytes():
        lent.write_bytes(HOST_CA_BUNDLE.read_bytes())


def recipe_id(origin: str = DEBIAN_PACKAGES) -> str:
    """Tag local images by what they are made from: a changed recipe is a new image, an unchanged one is kept."""
    recipes = RECIPES[origin]
    files = [recipes] if recipes.parent == IMAGES else sorted(p for p in recipes.parent.rglob("*") if p.is_file())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def text_of(path: Path) -> str:
    """Read a Compose `.env` file as it is, line ends and stray bytes included; a missing one is empty."""
    return path.read_bytes().decode(errors="surrogateescape") if path.exists() else ""


def encoded(text: str) -> bytes:
    """Give back the bytes that `text_of` has read."""
    return text.encode(errors="surrogateescape")


def without_own_lines(text: str) -> str:
    """Drop what this program has written into a `.env` file."""
    return OWN_LINE.sub("", text)


def concerns(line: str, images: dict[str, str]) -> bool:
    """Say whether a line of this program is about one of these images."""
    if line.startswith("GRAFANA_PLUGINS_DIR="):
        return "grafana" in images
    return any(re.match(rf"{name.replace('-', '_').upper()}_(IMAGE|PROFILE)=", line) for name in images)


def write_env(path: Path, text: str, added: dict[str, str]) -> None:
    """Write a Compose `.env` file, unless it is so already.

    Args:
        path: the file.
        text: what of it stays.
        added: variables to add, with the file's own kind of line end; where a name stands twice, the last line counts.

    """
    end = "\r\n" if "\r\n" in text else "\n"
    if added and text and not text.endswith("\n"):
        text += end
    text += "".join(f"{name}={value}{end}" for name, value in added.items())
    if text != text_of(path):
        replace_file(path, encoded(text))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CommandError as error:
        sys.exit(str(error))
