"""Slots: the small numbers that name workers across restarts, and the files behind them.

One directory on a tmpfs, for one server: `leases`, in which byte N is locked by the worker in slot N and the byte after
the last slot's by the server, and for each slot `N.sock`, where its worker answers, and `N.totals`, what its workers
have counted so far. `routes.json` is the table of the app's routes, the same from every worker.
"""

import fcntl
import marshal
import os
from pathlib import Path

from sightglass.metrics.families import Totals, is_number

_MOST = 1024
_LEASES = "leases"
_ROUTES = "routes.json"
_SOCKET_PATH_BYTES = 107  # sun_path holds 108 bytes and ends in a zero, unix(7)


class SlotDirectory:
    """The shared directory of a server's workers.

    Raises:
        ValueError: the path leaves no room for the name of a socket.

    """

    def __init__(self, path: Path) -> None:
        if len(os.fsencode(path / f"{_MOST}.sock")) > _SOCKET_PATH_BYTES:
            raise ValueError(f"{path}: too long for unix sockets in it")
        self.path = path

    def create(self) -> None:
        """Make the directory, for its owner only."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def claim(self) -> None:
        """Mark the directory as that of the server this process runs, for the rest of its life."""
        draft = self.path / f"{_LEASES}.draft"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _MOST)
        draft.rename(self.path / _LEASES)

    def abandoned(self) -> bool:
        """Whether the server that claimed the directory is gone; asked of other servers' only."""
        try:
            descriptor = os.open(self.path / _LEASES, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False  # not claimed yet, or another user's
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _MOST)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def lease(self) -> int:
        """Take the smallest free slot for the rest of this process's life.

        The kernel frees it when the process ends, however it ends. It would also do so when this process closed any
        other descriptor of the file: it is opened here, once, and never closed.

        Raises:
            OSError: every slot is taken.

        """
        descriptor = os.open(self.path / _LEASES, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for slot in range(_MOST):
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
            except OSError:
                continue
            return slot
        raise OSError(f"{self.path}: all {_MOST} slots are taken")

    def socket(self, slot: int) -> Path:
        """Where the worker in this slot answers."""
        return self.path / f"{slot}.sock"

    def used(self) -> list[int]:
        """Every slot that has ever had a listening worker or totals, in order."""
        return sorted({int(path.stem) for path in self.path.iterdir() if path.suffix in (".sock", ".totals")})

    def read_totals(self, slot: int) -> Totals:
        """Return what the workers of this slot have counted, as of the last `write_totals`.

        Empty for a new slot, and for a file that is none of ours; what is no number is left out.
        """
        try:
            totals: Totals = marshal.loads((self.path / f"{slot}.totals").read_bytes())  # noqa: S302 - our own file
            return {
                name: (kind, documentation, unit, {key: value for key, value in values.items() if is_number(value)})
                for name, (kind, documentation, unit, values) in totals.items()
            }
        except (FileNotFoundError, EOFError, ValueError, TypeError, AttributeError):
            return {}

    def write_totals(self, slot: int, totals: Totals) -> None:
        """Replace the totals of this slot in one step, so that a kill at any moment leaves them whole."""
        draft = self.path / f"{slot}.draft"
        draft.write_bytes(marshal.dumps(totals))
        draft.replace(self.path / f"{slot}.totals")

    def write_routes(self, table: bytes) -> None:
        """Replace the table of the app's routes in one step."""
        draft = self.path / f"routes.{os.getpid()}.draft"
        draft.write_bytes(table)
        draft.replace(self.path / _ROUTES)

    def read_routes(self) -> bytes | None:
        """Return the table of the app's routes as JSON, None until a worker has loaded the app."""
        try:
            return (self.path / _ROUTES).read_bytes()
        except FileNotFoundError:
            return None
