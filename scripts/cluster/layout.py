"""Where everything is: directories, addresses and names."""

from pathlib import Path

NAME = "sightglass-cluster"
HERE = Path(__file__).resolve().parent

CACHE = Path.home() / ".cache" / "sightglass" / "cluster"
"""Binaries, kept from one cluster to the next."""
STATE = Path("/var/lib") / NAME
"""What goes with the cluster."""
RUN = Path("/run") / NAME
"""Sockets, whose paths must be short."""
NETWORK_NAMESPACE = NAME
CGROUP = NAME

PKI = STATE / "pki"
LOGS = STATE / "logs"
KUBECONFIG = PKI / "admin.conf"
CONTAINERD = RUN / "containerd.sock"

HOST_LINK, NODE_LINK = "sgc-host", "sgc-node"
HOST_ADDRESS, NODE_ADDRESS = "172.31.99.254", "172.31.99.1"
NODE = "node1"
POD_RANGE, NODE_POD_RANGE = "10.244.0.0/16", "10.244.0.0/24"
SERVICE_RANGE, API_SERVICE, DNS_SERVICE = "10.96.0.0/16", "10.96.0.1", "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443

IMAGES = "sightglass-cluster"
"""In front of the names of images that are made of one binary."""
