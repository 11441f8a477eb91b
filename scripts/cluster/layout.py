"""Where everything is: directories, addresses and names."""

from dataclasses import dataclass
from pathlib import Path

NAME = "sightglass-cluster"
HERE = Path(__file__).resolve().parent

CACHE = Path.home() / ".cache" / "sightglass" / "cluster"
"""Binaries, kept from one cluster to the next."""
STATE = Path("/var/lib") / NAME
"""What goes with the cluster."""
RUN = Path("/run") / NAME
"""Sockets, whose paths must be short."""
CGROUP = NAME

PKI = STATE / "pki"
LOGS = STATE / "logs"
KUBECONFIG = PKI / "admin.conf"

HOST_LINK, HOST_ADDRESS = "sgc-host", "172.31.99.254"


@dataclass(frozen=True)
class Node:
    """One node: a network namespace, a containerd and a kubelet of its own. All but the first are behind the first."""

    name: str
    address: str
    gateway: str
    pods: str
    network_namespace: str
    state: Path
    run: Path
    cgroup: str

    @property
    def containerd(self) -> Path:
        """Its containerd's socket."""
        return self.run / "containerd.sock"


FIRST = Node("node1", "172.31.99.1", HOST_ADDRESS, "10.244.0.0/24", NAME, STATE, RUN, CGROUP)
SECOND = Node(
    *("node2", "172.31.98.2", "172.31.98.1", "10.244.1.0/24"),
    *(f"{NAME}-2", STATE / "node2", RUN / "node2", f"{CGROUP}/node2"),
)
NODES = (FIRST, SECOND)
NODE_ADDRESS = FIRST.address
POD_RANGE = "10.244.0.0/16"
SERVICE_RANGE, API_SERVICE, DNS_SERVICE = "10.96.0.0/16", "10.96.0.1", "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443

IMAGES = "sightglass-cluster"
"""In front of the names of images that are made of one binary."""
