"""All workers' families at once, within a deadline, whatever state the workers are in."""

import marshal
import selectors
import socket
from time import monotonic

from sightglass.metrics.families import Family, Sample, are_families, as_families, series
from sightglass.metrics.slots import SlotDirectory

UP = "sightglass_worker_up"
DEADLINE_SECONDS = 1.0
"""Seconds a worker has to answer; well below Prometheus's scrape timeout."""


def gather(directory: SlotDirectory, deadline: float = DEADLINE_SECONDS) -> list[Family]:
    """Ask every slot's worker, and add `sightglass_worker_up`.

    A worker that does not answer in time, or answers nonsense, is 0 there and is represented by what is known of its
    totals. A slot without a worker has no `sightglass_worker_up`, and its totals stay, or the sum over workers would
    fall when a worker leaves. Nothing is added up across workers: one that is missing would look like a counter reset.

    Args:
        directory: of the slots.
        deadline: seconds that the workers have to answer.

    """
    slots = directory.used()
    answers = _ask(directory, slots, deadline)
    families: list[Family] = []
    kept: list[Family] = []
    up: list[Sample] = []
    for slot in slots:
        answer = answers.get(slot)
        if answer is not None:
            up.append((series(UP, [], str(slot)), int(bool(answer)), ""))
        if answer:
            families += answer
        else:
            kept += as_families(directory.read_totals(slot))
    # Last: where versions of an application disagree about a family's type, the one that runs now is told.
    families += kept
    families.append(
        (
            UP,
            "gauge",
            "Whether the gunicorn worker in this slot answered the scrape in time.",
            "",
            up,
        )
    )
    return families


def _ask(directory: SlotDirectory, slots: list[int], deadline: float) -> dict[int, list[Family]]:
    """Return the families of each living worker; none of one that did not answer in time."""
    end = monotonic() + deadline
    answers: dict[int, list[Family]] = {}
    with selectors.DefaultSelector() as selector:
        for slot in slots:
            connection = _connect(str(directory.socket(slot)))
            if connection is not None:
                answers[slot] = []
                selector.register(connection, selectors.EVENT_READ, (slot, connection, bytearray()))
        while selector.get_map() and (left := end - monotonic()) > 0:
            for key, _ in selector.select(left):
                slot, connection, received = key.data
                if not _receive(connection, received):
                    selector.unregister(connection)
                    connection.close()
                    answers[slot] = _decode(bytes(received))
        for key in list(selector.get_map().values()):
            key.data[1].close()
    return answers


def _connect(path: str) -> socket.socket | None:
    """Return a connection to the worker, whether it accepts or not; None when no process listens there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        connection.connect(path)
    except BlockingIOError:
        pass  # its queue is full: it lives and does not answer
    except OSError:
        connection.close()
        return None
    return connection


def _receive(connection: socket.socket, received: bytearray) -> bool:
    """Read what is there; False at the end."""
    try:
        chunk = connection.recv(1 << 20)
    except BlockingIOError:
        return True
    except OSError:
        return False
    received += chunk
    return bool(chunk)


def _decode(received: bytes) -> list[Family]:
    try:
        families: list[Family] = marshal.loads(received)  # noqa: S302 - from our own workers, over a private socket
    except (EOFError, ValueError, TypeError):
        return []  # it died while answering
    return families if are_families(families) else []
