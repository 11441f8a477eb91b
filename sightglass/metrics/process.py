"""A worker's side of a scrape: it keeps its own registry, and answers whoever gathers with its families as data."""

import contextlib
import json
import logging
import marshal
import socket
import threading
import time
from collections.abc import Sequence

from prometheus_client import REGISTRY, CollectorRegistry

from sightglass.metrics.conflicts import Conflicts
from sightglass.metrics.container import CONTAINER as CONTAINER  # whatever tells its metrics tells of its container
from sightglass.metrics.families import Family, Totals, continued, from_registry
from sightglass.metrics.replica import REPLICA as REPLICA
from sightglass.metrics.requests import FAMILIES, RequestMetrics
from sightglass.metrics.slots import SlotDirectory

_SEND_SECONDS = 2.0  # longer than any gatherer waits
_PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)


class ProcessMetrics:
    """The process as one of a server's workers; slot 0 of its own when it serves alone."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.slot = 0
        self.directory: SlotDirectory | None = None
        self.metrics = RequestMetrics()
        self._registry = registry
        self._conflicts = Conflicts()
        self._inherited: Totals = {}
        self._lock = threading.Lock()  # one at a time asks the collectors
        self._writing = threading.Lock()
        self._listening = False

    def join(self, directory: SlotDirectory) -> None:
        """Lease a slot and continue its totals; once, after the fork.

        Raises:
            OSError: the directory cannot be used, or has no free slot.

        """
        self.slot = directory.lease()
        self.directory = directory
        self.metrics.worker = str(self.slot)
        self._inherited = directory.read_totals(self.slot)

    def listen(self) -> None:
        """Answer gatherers from a daemon thread for the rest of this process's life."""
        if self.directory is None or self._listening:
            return
        self._listening = True
        path = self.directory.socket(self.slot)
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        listener.listen()
        threading.Thread(target=self._answer, args=(listener,), name="metrics", daemon=True).start()

    def families(self) -> list[Family]:
        """Everything this worker has to tell, its predecessors' totals included.

        What is told is kept first: a scrape never sees a value that a successor could fall behind.
        """
        worker = str(self.slot)
        theirs: list[Family] = []
        passed: list[Family] = []
        with self._lock:
            for family, counted_here in self._conflicts.settle(from_registry(self._registry, worker)):
                (theirs if counted_here else passed).append(family)
            theirs += self._conflicts.families(worker)
            with self._writing:  # ours last: a scrape that hung has no old ones
                counted, state = self.metrics.families()
                counted, totals = continued(counted + theirs, self._inherited)
                if self.directory is not None:
                    self.directory.write_totals(self.slot, totals)
        return counted + state + passed

    def keep(self) -> None:
        """Hand on everything counted so far, without a scrape; what is ours first, as a collector may hang."""
        if self.directory is not None:
            # The directory is gone when the server was killed and another has started since.
            with contextlib.suppress(OSError):
                self._keep_ours(self.directory)
                self.families()

    def _keep_ours(self, directory: SlotDirectory) -> None:
        with self._writing:
            _, totals = continued(self.metrics.families()[0], self._inherited)
            kept = directory.read_totals(self.slot)
            directory.write_totals(self.slot, totals | {name: kept[name] for name in kept.keys() - FAMILIES.keys()})

    def publish_routes(self, table: Sequence[tuple[str, str]]) -> None:
        """Say what routes the app has, to whoever asks the exporter; without it nobody is told."""
        if self.directory is not None:
            self.directory.write_routes(json.dumps(table).encode())

    def _answer(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # no descriptor is left, which may pass
                time.sleep(_PAUSE_SECONDS)
                continue
            with connection:
                try:
                    data = marshal.dumps(self.families())
                except Exception as error:  # the next scrape may find what this one did not
                    logger.error("the metrics could not be told: %s", type(error).__name__)
                    continue
                with contextlib.suppress(OSError):  # a gatherer may give up at any time
                    connection.settimeout(_SEND_SECONDS)
                    connection.sendall(data)
                    # A child forked meanwhile may hold this connection too: closing alone would not end it.
                    connection.shutdown(socket.SHUT_RDWR)


this_process = ProcessMetrics()
