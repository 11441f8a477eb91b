"""Pulls an image: shows how far it is, gives up where nothing moves, tries again what may pass, and says what will not.

Standard library only: this runs before anything is installed.
"""

import enum
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

STANDSTILL_SECONDS = 120.0  # without any movement, after which a pull is given up
BACK_OFF_SECONDS = 2.0  # before the second attempt, doubled for each further one
ATTEMPTS = 4
ATTEMPTS_TO_REACH = 2  # of a registry that does not answer at all
SAY_EVERY_SECONDS = 10.0  # between two lines of progress

# What Docker says where no answer came: name resolution, connection, proxy, TLS.
UNREACHABLE = re.compile(
    r"no such host|name resolution|server misbehaving|connection refused|network is unreachable|no route to host"
    r"|i/o timeout|timeout awaiting|Client\.Timeout|context deadline exceeded|TLS handshake|x509:|tls: |proxyconnect"
    r"|server gave HTTP response",
    re.IGNORECASE,
)
# What it says where the answer is that there is no such image, for this machine at least; asking again changes nothing.
# "repository does not exist or may require 'docker login'" is none of these: it is what Docker makes of any 403.
ABSENT = re.compile(
    r"manifest unknown|not found(:|$)|no matching manifest|no match for platform|invalid reference",
    re.IGNORECASE,
)
# How a current client takes a 401: it asks for a name and a password, and waits, whoever is there to answer.
LOGIN = re.compile(r"^(?:Please l|L)ogin prior to pull")
CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
LAYER = re.compile(r"^([0-9a-f]{12}): (.*)$")
SIZE = re.compile(r"^Downloading\b.*?([\d.]+) ?([kMGT]?B)(?:/([\d.]+) ?([kMGT]?B))?")
DOWNLOADED = re.compile(r"^(Verifying|Download complete|Extracting|Pull complete)")
UNITS = {"B": 1e-6, "kB": 1e-3, "MB": 1.0, "GB": 1e3, "TB": 1e6}  # in MB


class Outcome(enum.Enum):
    """How a pull ended."""

    PULLED = "pulled"
    UNREACHABLE = "unreachable"  # the registry gave no answer at all
    ABSENT = "absent"  # it has no such image
    FAILED = "failed"  # it answers, but not with the image: may pass


@dataclass
class Pull:
    """How a pull ended and, if it failed, Docker's own reason."""

    outcome: Outcome
    reason: str = ""


@dataclass
class Registries:
    """Pulls images, and knows which registries have answered and which cannot be reached.

    Attributes:
        say: prints a line.
        standstill: seconds without movement after which a pull is given up.
        back_off: seconds before the second attempt.

    """

    say: Callable[[str], None]
    standstill: float = STANDSTILL_SECONDS
    back_off: float = BACK_OFF_SECONDS
    _answered: set[str] = field(default_factory=set)
    _unreachable: dict[str, str] = field(default_factory=dict)

    def pull(self, image: str) -> Pull:
        """Pull one image, with further attempts where one may help."""
        registry = registry_of(image)
        if registry in self._unreachable:
            return Pull(Outcome.UNREACHABLE, self._unreachable[registry])
        attempt = 1
        while True:
            self.say(f"pulling {image} (given up after {self.standstill:.0f} s without progress)")
            result = pull_once(image, self.standstill, self.say)
            if result.outcome is Outcome.UNREACHABLE and registry in self._answered:
                result.outcome = Outcome.FAILED  # a registry that has answered is there
            if result.outcome is not Outcome.UNREACHABLE:
                self._answered.add(registry)
            if result.outcome in (Outcome.PULLED, Outcome.ABSENT):
                return result
            if attempt >= (ATTEMPTS_TO_REACH if result.outcome is Outcome.UNREACHABLE else ATTEMPTS):
                if result.outcome is Outcome.UNREACHABLE:
                    self._unreachable[registry] = result.reason
                return result
            pause = self.back_off * 2 ** (attempt - 1)
            self.say(f"{result.reason}; again in {pause:.0f} s")
            time.sleep(pause)
            attempt += 1


def registry_of(image: str) -> str:
    """Return the registry a reference names, Docker's default where it names none."""
    first, _, rest = image.partition("/")
    return first if rest and ("." in first or ":" in first or first == "localhost") else "docker.io"


@dataclass
class Progress:
    """What a running pull has told: how far each layer is, and when anything last moved."""

    layers: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, tuple[float, float]] = field(default_factory=dict)  # what has come and what will, in MB
    last_line: str = ""
    moved: float = field(default_factory=time.monotonic)

    def note(self, line: str) -> None:
        """Take up a line; one drawn again is no movement."""
        if (layer := LAYER.match(line)) is None:
            self.last_line, self.moved = line, time.monotonic()
        elif self.layers.get(layer[1]) != layer[2]:
            self.layers[layer[1]], self.moved = layer[2], time.monotonic()
            self._measure(*layer.groups())

    def _measure(self, layer: str, status: str) -> None:
        if found := SIZE.match(status):
            come = float(found[1]) * UNITS[found[2]]
            self.sizes[layer] = (come, float(found[3]) * UNITS[found[4]] if found[3] else come)
        elif DOWNLOADED.match(status) and layer in self.sizes:
            self.sizes[layer] = (self.sizes[layer][1], self.sizes[layer][1])

    def __str__(self) -> str:
        complete = sum(status.startswith(("Pull complete", "Already exists")) for status in self.layers.values())
        return f"{complete} of {len(self.layers)} layers, {sum(come for come, _ in self.sizes.values()):.1f} MB"


def pull_once(image: str, standstill: float, say: Callable[[str], None]) -> Pull:
    """Run one `docker pull`; one that stands still is ended."""
    # On a terminal of its own: only there Docker tells how far each layer is.
    terminal, its_end = pty.openpty()
    command = ("docker", "pull", image)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=its_end, stderr=its_end)
    os.close(its_end)
    progress, said = Progress(), time.monotonic()
    try:
        for line in lines(terminal, lambda: progress.moved + standstill):
            if LOGIN.match(line):
                process.terminate()
                return Pull(Outcome.FAILED, "unauthorized: the registry wants a login")
            progress.note(line)
            if progress.layers and progress.moved - said > SAY_EVERY_SECONDS:
                said = progress.moved
                say(f"{image}: {progress}")
    except TimeoutError:
        process.terminate()
        reason = f"no progress for {standstill:.0f} s"
        return Pull(Outcome.FAILED if progress.layers else Outcome.UNREACHABLE, reason)
    finally:
        os.close(terminal)
        process.wait()
    if process.returncode == 0:
        return Pull(Outcome.PULLED)
    reason = progress.last_line.removeprefix("Error response from daemon: ") or "docker pull gave no reason"
    if UNREACHABLE.search(reason) and not progress.layers:
        return Pull(Outcome.UNREACHABLE, reason)
    return Pull(Outcome.ABSENT if ABSENT.search(reason) else Outcome.FAILED, reason)


def lines(terminal: int, deadline: Callable[[], float]) -> Iterator[str]:
    """Yield what a program writes to its terminal, line by line, without control sequences.

    Raises:
        TimeoutError: nothing more came until the deadline, which moves with what has come.

    """
    rest = ""
    while True:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline() - time.monotonic()))
        if not ready:
            raise TimeoutError
        try:
            read = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            read = b""
        *whole, rest = re.split(r"[\r\n]+", rest + read.decode(errors="replace"))
        yield from filter(None, (CONTROL.sub("", line).strip() for line in (whole if read else [*whole, rest])))
        if not read:
            return
        if time.monotonic() > deadline():
            raise TimeoutError
