"""Makes every image of the production stack present: pulled where a registry has it, else built from OS packages.

A locally built image has a name of its own (`sightglass-local/…`), which goes into `.env`, where Compose reads it; the
Compose file itself stays as it is. Standard library only: this runs before anything is installed.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "docker" / "images" / "Dockerfile"
LOCAL = "sightglass-local"
UNAVAILABLE = "unavailable"  # a profile nobody asks for
HOST_CA_BUNDLE = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
LENT_CA_BUNDLE = Path(".build/ca-certificates.crt")  # below the root: Compose's builder reads nothing outside
PULL_TIMEOUT = 600  # seconds, for one image


def main() -> int:
    """Pull or build what is missing and say so, a line an image.

    Returns:
        0; what no source has is said, what fails to build ends the program.

    """
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--env-file", type=Path, default=ROOT / ".env", help="what Compose is told (default: .env)")
    arguments.add_argument(
        "name", nargs="*", help="a service, or `python` for the API's base (default: what make up starts)"
    )
    options = arguments.parse_args()
    settings = read_env(options.env_file)
    chosen: dict[str, str] = {}
    dead_registries: set[str] = set()
    buildable = set(re.findall(r"^FROM \S+ AS (\S+)", RECIPES.read_text(), re.MULTILINE))
    for name, image in wanted(options.env_file, settings, options.name).items():
        prefix = name.replace("-", "_").upper()
        local = f"{LOCAL}/{name}:{recipe_id()}"
        if not image.startswith(LOCAL) and (present(image) or pull(image, dead_registries)):
            say(f"{name}: {image}")
            if settings.get(f"{prefix}_PROFILE") == UNAVAILABLE:
                chosen[f"{prefix}_PROFILE"] = "monitoring"
        elif name in buildable:
            if not present(local):
                build(name, local)
            say(f"{name}: {local}, built from Debian packages")
            chosen[f"{prefix}_IMAGE"] = local
        else:
            say(f"{name}: {image} can be neither pulled nor built here; the stack starts WITHOUT {name}")
            chosen[f"{prefix}_PROFILE"] = UNAVAILABLE
    if HOST_CA_BUNDLE.is_file() and settings.get("CA_BUNDLE") in (None, str(LENT_CA_BUNDLE)):
        lend_ca_bundle()
        chosen["CA_BUNDLE"] = str(LENT_CA_BUNDLE)
    write_env(options.env_file, chosen)
    return 0


def wanted(env_file: Path, settings: dict[str, str], names: list[str]) -> dict[str, str]:
    """Name each image the stack takes from elsewhere: those of the Compose file, and the API's base.

    Args:
        env_file: what Compose is told.
        settings: the same, read.
        names: which to name; none means those without a profile and of the profile monitoring.

    Returns:
        Service name (`python` for the base) to image reference.

    """
    default = re.search(r"^ARG PYTHON_IMAGE=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    if default is None:
        raise SystemExit("Dockerfile: no default for PYTHON_IMAGE")
    python = os.environ.get("PYTHON_IMAGE") or settings.get("PYTHON_IMAGE") or default[1]
    # The profile that stands for "not to be had here" is left out: the question is asked anew each time.
    environment = os.environ | {"GRAFANA_PROFILE": "monitoring"}
    compose = ("docker", "compose", "--file", "docker-compose.prod.yml", "--env-file", str(env_file))
    config = json.loads(checked(*compose, "--profile", "*", "config", "--format", "json", env=environment))
    services: dict[str, dict[str, Any]] = config["services"]
    own = {service["image"] for service in services.values() if "build" in service}
    others = {name: service for name, service in sorted(services.items()) if service["image"] not in own}
    default_names = ["python", *(n for n, s in others.items() if "monitoring" in s.get("profiles", ["monitoring"]))]
    images = {"python": python} | {name: str(service["image"]) for name, service in others.items()}
    return {name: images[name] for name in names or default_names}


def present(image: str) -> bool:
    """Say whether the engine has this image."""
    return run("docker", "image", "inspect", image).returncode == 0


def pull(image: str, dead_registries: set[str]) -> bool:
    """Pull, unless its registry has been found out of reach before; a registry that is, is remembered."""
    first, _, rest = image.partition("/")
    registry = first if rest and ("." in first or ":" in first) else "docker.io"
    if registry in dead_registries:
        return False
    say(f"pulling {image}")
    try:
        result = run("docker", "pull", "--quiet", image, timeout=PULL_TIMEOUT)
    except subprocess.TimeoutExpired:
        dead_registries.add(registry)
        return False
    if result.returncode != 0:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        say(f"cannot be pulled: {reason}")
        # "Not found" is an answer; anything else is a registry that gives none.
        if not re.search(r"not found|manifest unknown|denied|toomanyrequests", reason):
            dead_registries.add(registry)
    return result.returncode == 0


def build(name: str, tag: str) -> None:
    """Build one stand-in, its Debian base first.

    Raises:
        SystemExit: a tool is missing or a build failed, with its output.

    """
    base = f"{LOCAL}/debian:{recipe_id()}"
    if not present(base):
        bootstrap(base)
    say(f"building {tag}")
    # buildx: an older `docker build` is not BuildKit.
    build_arguments = ("--target", name, "--build-arg", f"DEBIAN_IMAGE={base}", "--tag", tag)
    checked("docker", "buildx", "build", "--load", "--quiet", *build_arguments, str(RECIPES.parent))


def bootstrap(tag: str) -> None:
    """Make the base of all stand-ins: a minimal Debian forky, from the mirror this machine's sources name."""
    mirror = checked(str(ROOT / "scripts" / "debian-mirror.sh")).strip()
    if run("sh", "-c", "command -v mmdebstrap").returncode != 0:
        if os.geteuid() != 0:
            raise SystemExit("mmdebstrap is missing. As root, run: apt-get install mmdebstrap")
        say("installing mmdebstrap")
        checked("apt-get", "-qq", "update")
        checked("apt-get", "-qqy", "install", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring")
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


def recipe_id() -> str:
    """Tag local images by what they are made from: a changed recipe is a new image, an unchanged one is kept."""
    return hashlib.sha256(RECIPES.read_bytes()).hexdigest()[:12]


def read_env(path: Path) -> dict[str, str]:
    """Read the assignments of a Compose `.env` file."""
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE)) if path.exists() else {}


def write_env(path: Path, chosen: dict[str, str]) -> None:
    """Set variables in a Compose `.env` file, in place where they stand; everything else stays as it is."""
    text = path.read_text() if path.exists() else ""
    for name, value in chosen.items():
        line = f"{name}={value}"
        text, replaced = re.subn(rf"^{name}=.*$", line, text, count=1, flags=re.MULTILINE)
        if not replaced:
            text = f"{text.rstrip()}\n{line}\n"
    if text != (path.read_text() if path.exists() else ""):
        path.write_text(text)


def say(message: str) -> None:
    """Print a progress line."""
    print(f"    {message}", flush=True)


def run(
    *command: str, timeout: float | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, whatever its status; what it prints is kept."""
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT, env=env)


def checked(*command: str, env: dict[str, str] | None = None) -> str:
    """Run a command that must succeed, for what it prints.

    Raises:
        SystemExit: it did not; with the last lines it printed.

    """
    result = run(*command, env=env)
    if result.returncode != 0:
        tail = "\n".join((result.stdout + result.stderr).strip().splitlines()[-20:])
        raise SystemExit(f"{' '.join(command)}: failed\n{tail}")
    return result.stdout


if __name__ == "__main__":
    sys.exit(main())
