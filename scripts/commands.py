"""Runs commands in the project's directory, and says what goes on: for the programs beside this file.

Standard library only: they run before anything is installed.
"""

import errno
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class CommandError(Exception):
    """A command failed.

    Args:
        command: what was run.
        written: what it wrote about it.

    """

    def __init__(self, command: Sequence[str], written: str) -> None:
        lines = written.strip().splitlines()[-20:] or ["it did not say why"]
        super().__init__(f"{' '.join(command)}: failed\n" + "\n".join(lines))
        self.written = written
        self.line = f"{' '.join(command[:4])} …: {lines[-1]}"
        """The same in one line, with the last it wrote, which tends to say what went wrong."""


def run(*command: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command, whatever its status, with what it is given on standard input; what it writes is kept.

    It has a session of its own: a terminal's ^C is for the program that runs it to handle.
    """
    return subprocess.run(
        command, cwd=ROOT, input=given, capture_output=True, text=True, check=False, start_new_session=True
    )


def checked(*command: str, given: str | None = None) -> str:
    """Run a command that must succeed, for what it prints.

    Raises:
        CommandError: it did not.

    """
    result = run(*command, given=given)
    if result.returncode != 0:
        raise CommandError(command, result.stderr or result.stdout)
    return result.stdout


def last_line(text: str) -> str:
    """Return the last line of what was written."""
    return (text.strip().splitlines() or ["it did not say why"])[-1]


def replace_file(path: Path, content: bytes) -> None:
    """Put content in a file's place in one step, with its owner and mode; a link stays one.

    Raises:
        OSError: it cannot be; the file is as it was.

    """
    target = path.resolve()
    if not target.exists():
        target.write_bytes(content)
        return
    was, new = target.stat(), target.with_name(f"{target.name}.new")
    try:
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_bytes(content)
        os.chown(new, was.st_uid, was.st_gid)
        new.chmod(was.st_mode & 0o7777)
        new.replace(target)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EBUSY):
            raise
        target.write_bytes(content)  # somebody else's, who lets this user write, or a mount point
    finally:
        new.unlink(missing_ok=True)


def step(message: str) -> None:
    """Print a line that begins a step."""
    print(f"==> {message}", flush=True)


def say(message: str) -> None:
    """Print a line of progress within a step."""
    print(f"    {message}", flush=True)
