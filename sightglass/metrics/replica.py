"""When this process was started, under its container's name, which a new address does not change.

Docker's own DNS (RFC 1035, PTR) knows containers by name; their host name is but an id. Where no such name is to be
had, the host name is one: a pod's in Kubernetes is its own.
"""

import os
import re
import socket
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_DNS = ("127.0.0.11", 53)  # Docker's, in every container on a network of its own
_SECONDS = 0.3  # it answers from memory
_ATTEMPTS = 5  # unless the machine is busy
_ID = re.compile(r"[0-9a-f]{12}")
_OF_COMPOSE = re.compile(r".*-(?=\w+-[0-9]+$)")  # the project
_PTR, _IN, _RECURSE = 12, 1, 0x0100
_POINTER = 0xC0


class Replica(Collector):
    """One series a process: what `process_start_time_seconds` says, with a name that stays."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names only: registering asks nobody."""
        help_text = "When the process was started, in seconds since the epoch, by its container's name."
        yield GaugeMetricFamily("sightglass_process_start_time_seconds", help_text, labels=["container"])

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Read /proc; absent outside of Linux."""
        try:
            started = _started()
        except (OSError, LookupError, ValueError):
            return
        for family in self.describe():
            family.add_metric([name()], started)
            yield family


@cache
def name(server: tuple[str, int] = _DNS) -> str:
    """Return the container's name by Docker's DNS, as Compose counts them ("api-1"), else the host's."""
    host = socket.gethostname()
    if not _ID.fullmatch(host):
        return host
    for _ in range(_ATTEMPTS):
        try:
            return _OF_COMPOSE.sub("", _asked(socket.gethostbyname(host), server)) or host
        except TimeoutError:
            continue
        except (OSError, IndexError, UnicodeError, struct.error):
            break
    return host


def _asked(address: str, server: tuple[str, int]) -> str:
    """Return the first label of an address' name; "" where it has none."""
    parts = [*reversed(address.split(".")), "in-addr", "arpa"]
    question = b"".join(bytes([len(part)]) + part.encode() for part in parts) + b"\0" + struct.pack(">2H", _PTR, _IN)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(_SECONDS)
        connection.connect(server)
        connection.send(struct.pack(">6H", 1, _RECURSE, 1, 0, 0, 0) + question)
        answer = connection.recv(512)
    if struct.unpack(">H", answer[6:8]) == (0,):
        return ""
    at = 12 + len(question)
    while _POINTER > answer[at] > 0:
        at += 1 + answer[at]
    at += (2 if answer[at] >= _POINTER else 1) + 10  # type, class, time to live, length
    return answer[at + 1 : at + 1 + answer[at]].decode("ascii")


def _started() -> float:
    """proc(5): the 22nd field of stat, counted from behind the name, in ticks since the boot."""
    (boot,) = re.findall(r"^btime (\d+)$", Path("/proc/stat").read_text(), re.MULTILINE)
    ticks = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()[19]
    return int(boot) + int(ticks) / os.sysconf("SC_CLK_TCK")


REPLICA = Replica()
REGISTRY.register(REPLICA)
