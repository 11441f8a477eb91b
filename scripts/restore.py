"""Brings back what a backup holds, on a machine with nothing but this repository: then `make up` starts it.

A stack that runs is never touched; data, where it is stopped, only with --force. Standard library only.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a program, what is beside has no package

from scripts import environment
from scripts.commands import ROOT, CommandError, checked, say, step

RESTORED = ROOT / ".restored"
OF_THE_REPOSITORY = (
    "RESTIC_REPOSITORY", "BACKUP_DIR", "BACKUP_SSH_DIR",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION",
)  # fmt: skip
"""What says where the backup is: as it is here, whatever the `.env` in it says."""
PLACES = {"SITE_DIR": "site"} | dict.fromkeys(
    (
        "MODELS_DIR",
        "ALERT_SECRETS_DIR",
        "API_KEYS_FILE",
        "APP_ENV_FILE",
        "CA_BUNDLE",
        "GRAFANA_PASSWORD_FILE",
        "MLFLOW_DB_PASSWORD_FILE",
        "PIP_CONFIG_FILE",
        "STATE_SECRETS_DIR",
        "TLS_CERT",
        "TLS_KEY",
    ),
    "",
)
"""Settings that name files and directories of this machine, and their defaults."""
LINKED = (".env", "acme.env", "mlflow.env")
"""Files here that may be links to those in SITE_DIR, which is what the backup then has."""


class RestoreError(Exception):
    """Why nothing can be restored, for people."""


def main() -> int:
    """Restore.

    Returns:
        0; 1 with the reason on stderr.

    """
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--snapshot", default="latest", help="an id that make backups shows (default: %(default)s)")
    arguments.add_argument("--force", action="store_true", help="replace data that is there")
    options = arguments.parse_args()
    try:
        restore(options.snapshot, force=options.force)
    except (RestoreError, CommandError) as error:
        print(f"restore: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(RESTORED, ignore_errors=True)
    return 0


def restore(snapshot: str, *, force: bool) -> None:
    """Restore volumes first and then what is this machine's.

    Raises:
        RestoreError: it is refused.
        CommandError: a command failed.

    """
    password = the_password()
    if not (ROOT / ".env").exists():
        shutil.copy(ROOT / ".env.template", ROOT / ".env")
    os.environ |= environment.read(*OF_THE_REPOSITORY)
    step("restic")
    checked(sys.executable, "scripts/images.py", "restic")
    os.environ |= environment.read("RESTIC_IMAGE")

    step(f"what is in the backup: {snapshot}")
    shutil.rmtree(RESTORED, ignore_errors=True)
    RESTORED.mkdir(mode=0o700)
    refuse_running(ROOT / ".env")
    with lent(environment.read("COMPOSE_PROJECT_NAME")["COMPOSE_PROJECT_NAME"]):
        restic(ROOT / ".env", password, "files", snapshot)
    # Of a link, the backup has what it led to: the file in SITE_DIR.
    found = [path for path in (RESTORED / "project" / ".env", RESTORED / "host/SITE_DIR/.env") if path.is_file()]
    if not found:
        raise RestoreError(f"{snapshot}: there is no .env in it")
    settings = found[0]
    refuse_running(settings)

    step("the volumes")
    restic(settings, password, "volumes", snapshot, *(["force"] if force else []))

    step("the files")
    places = environment.read(*PLACES, env_file=settings)
    for source in sorted((RESTORED / "host").glob("*")):
        place(source, ROOT / Path(places.get(source.name) or PLACES[source.name]).expanduser())
    for source in sorted((RESTORED / "project").glob("*")):
        place(source, ROOT / source.name)
    site = ROOT / Path(places.get("SITE_DIR") or PLACES["SITE_DIR"]).expanduser()
    for name in LINKED:
        if (RESTORED / "host/SITE_DIR" / name).is_file() and not (RESTORED / "project" / name).exists():
            link(ROOT / name, site / name)
    say("done; now: make up")


def the_password() -> str:
    """Return the repository's password as the environment gives it; nothing where it is the one that is kept here."""
    file = os.environ.get("RESTIC_PASSWORD_FILE")
    try:
        return Path(file).expanduser().read_text().strip() if file else os.environ.pop("RESTIC_PASSWORD", "")
    except OSError as error:
        raise RestoreError(f"RESTIC_PASSWORD_FILE={file}: not allowed; expected a file ({error.strerror})") from None


def refuse_running(env_file: Path) -> None:
    """Refuse to restore below a stack that runs."""
    if checked(*compose(env_file), "--profile", "*", "ps", "--quiet"):
        raise RestoreError("the stack runs; expected it to be stopped: make down")


@contextmanager
def lent(project: str) -> Iterator[None]:
    """Take away what Compose makes meanwhile for a project, whose name may be another soon: networks and volumes."""
    before = {kind: belongings(kind, project) for kind in ("network", "volume")}
    try:
        yield
    finally:
        for kind, names in before.items():
            for name in sorted(belongings(kind, project) - names):
                checked("docker", kind, "rm", name)


def belongings(kind: str, project: str) -> set[str]:
    """Name what of a kind Compose has made for a project."""
    label = f"label=com.docker.compose.project={project}"
    return set(checked("docker", kind, "ls", "--filter", label, "--format", "{{.Name}}").split())


def compose(env_file: Path) -> tuple[str, ...]:
    """Return Compose's command by these settings."""
    return ("docker", "compose", "--env-file", str(env_file), "--file", "docker-compose.prod.yml")


def restic(env_file: Path, password: str, *arguments: str) -> None:
    """Run the service that restores, given the password where nobody sees it.

    Raises:
        RestoreError: it failed; with its last line.

    """
    command = [*compose(env_file), "--profile", "restore", "run", "--rm", "--no-deps", "--quiet-pull", "-T", "restore"]
    result = subprocess.run(
        [*command, *arguments], cwd=ROOT, input=f"{password}\n", capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
        raise RestoreError((lines or ["restic did not say why"])[-1].removeprefix("backup: "))
    for line in result.stdout.splitlines():
        say(line.removeprefix("backup: "))


def place(source: Path, target: Path) -> None:
    """Put a file or directory where it was; a file of other content that is there is kept beside, `.before-restore`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir(mode=source.stat().st_mode & 0o7777, exist_ok=True)
        checked("cp", "-a", f"{source}/.", str(target))
    else:
        if target.is_file() and target.read_bytes() != source.read_bytes():
            target.replace(target.with_name(f"{target.name}.before-restore"))
        checked("cp", "-a", str(source), str(target))
    say(str(target.relative_to(ROOT) if target.is_relative_to(ROOT) else target))


def link(path: Path, target: Path) -> None:
    """Have a path lead to a file, as it did; what is there is kept beside, `.before-restore`."""
    if path.resolve() != target.resolve():
        if path.is_file() and not path.is_symlink():
            path.replace(path.with_name(f"{path.name}.before-restore"))
        path.unlink(missing_ok=True)
        path.symlink_to(os.path.relpath(target, path.parent))


if __name__ == "__main__":
    sys.exit(main())
