"""A client outside Docker and outside the host's own network: a network namespace on a cable to the host."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

# Where a machine's IPv6 is switched off, even ::1 is missing.
SWITCHES = [Path("/proc/sys/net/ipv6/conf", device, "disable_ipv6") for device in ("lo", "default")]
HAS_IPV6 = all(switch.exists() and switch.read_text().strip() == "0" for switch in SWITCHES)

# Sends `count` requests a source address, taking turns, each on a connection of its own; prints [status, body] of each.
CLIENT = """
import http.client, json, ssl, sys
host, port, count, sources = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
unverified = ssl._create_unverified_context()
answers = {source: [] for source in sources}
for _ in range(count):
    for source in sources:
        connection = http.client.HTTPSConnection(host, port, timeout=60, context=unverified, source_address=(source, 0))
        connection.request("GET", "/echo", headers={"Host": "localhost"})
        answer = connection.getresponse()
        answers[source].append([answer.status, json.loads(answer.read())])
        connection.close()
print(json.dumps(answers))
"""


class Outside(NamedTuple):
    """The cable's ends: the host's addresses and those of the clients."""

    namespace: str
    host: str
    clients: list[str]
    host_ipv6: str
    clients_ipv6: list[str]

    def get(self, host: str, port: int, sources: Sequence[str], count: int = 1) -> dict[str, list[list[Any]]]:
        """Ask /echo from each of these addresses in turn; returns statuses and bodies by address."""
        inside = ["ip", "netns", "exec", self.namespace]
        return ask([*inside, sys.executable, "-c", CLIENT], host, port, sources, count)


def from_the_host(host: str, port: int, source: str) -> dict[str, Any]:
    """Ask /echo from the machine itself; returns the body."""
    ((_, body),) = ask([sys.executable, "-c", CLIENT], host, port, [source], 1)[source]
    answer: dict[str, Any] = body
    return answer


def ask(command: list[str], host: str, port: int, sources: Sequence[str], count: int) -> dict[str, list[list[Any]]]:
    """Run the client."""
    whole = [*command, host, str(port), str(count), *sources]
    answers: dict[str, list[list[Any]]] = json.loads(subprocess.run(whole, capture_output=True, check=True).stdout)
    return answers


@contextmanager
def outside() -> Iterator[Outside]:
    """Lay the cable and take it away again; skips the test where that is not permitted."""
    if shutil.which("ip") is None:
        pytest.skip("iproute2 is missing: no client outside Docker can be made")
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root: no client outside Docker can be made")
    name = uuid.uuid4().hex[:6]
    octets = f"198.18.{int(name[:2], 16)}"  # RFC 2544: of nobody's network
    prefix = f"fd00:5167:{int(name[2:], 16):x}:1"  # without leading zeros, as Docker prints addresses (RFC 5952)
    made = Outside(
        f"edge-{name}", f"{octets}.1", [f"{octets}.2", f"{octets}.3"], f"{prefix}::1", [f"{prefix}::2", f"{prefix}::3"]
    )
    here, there = f"e{name}h", f"e{name}c"
    commands = [
        f"link add {here} type veth peer name {there} netns {made.namespace}",
        *(f"address add {address}/{bits} dev {here} {flags}"
          for address, bits, flags in ((made.host, 24, ""), (made.host_ipv6, 64, "nodad"))[: 1 + HAS_IPV6]),
        f"link set {here} up",
        *(f"-netns {made.namespace} address add {address}/{bits} dev {there} {flags}"
          for addresses, bits, flags in ((made.clients, 24, ""), (made.clients_ipv6, 64, "nodad"))[: 1 + HAS_IPV6]
          for address in addresses),
        f"-netns {made.namespace} link set {there} up",
    ]  # fmt: skip
    added = ip(f"netns add {made.namespace}")
    if added.returncode != 0:
        pytest.skip(f"network namespaces are not permitted here: {added.stderr.strip()}")
    try:
        for command in commands:
            result = ip(command)
            assert result.returncode == 0, f"ip {command}: {result.stderr}"
        yield made
    finally:
        ip(f"link delete {here}")  # the other end goes with it
        ip(f"netns delete {made.namespace}")


def ip(command: str) -> subprocess.CompletedProcess[str]:
    """Run iproute2's ip."""
    return subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
