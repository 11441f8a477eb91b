"""A node: its network, cgroups, containerd, kubelet and kube-proxy, and the images it has."""

import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from scripts.cluster import parts
from scripts.cluster.layout import (
    CGROUP,
    CLUSTER_DOMAIN,
    DNS_SERVICE,
    FIRST,
    HERE,
    HOST_ADDRESS,
    HOST_LINK,
    IMAGES,
    NAME,
    PKI,
    POD_RANGE,
    SERVICE_RANGE,
    STATE,
    Node,
)
from scripts.cluster.processes import in_network, run, start, succeeds, until

CGROUPS = Path("/sys/fs/cgroup")
UNIFIED = (CGROUPS / "cgroup.controllers").exists()
_LINK = "sgc-node"


def make_network(node: Node = FIRST) -> None:
    """Make a node's network namespace and its link: the first one's to this machine, another's to the first."""
    run("ip", "netns", "add", node.network_namespace)
    inside = ("ip", "-n", node.network_namespace)
    if node is FIRST:
        run("ip", "link", "add", HOST_LINK, "type", "veth", "peer", "name", _LINK, "netns", node.network_namespace)
        run("ip", "address", "add", f"{HOST_ADDRESS}/24", "dev", HOST_LINK)
        run("ip", "link", "set", HOST_LINK, "up")
    else:
        first = ("ip", "-n", FIRST.network_namespace)
        near = f"sgc-{node.name}"
        run(*first, "link", "add", near, "type", "veth", "peer", "name", _LINK, "netns", node.network_namespace)
        run(*first, "address", "add", f"{node.gateway}/24", "dev", near)
        run(*first, "link", "set", near, "up")
        run(*first, "route", "add", node.pods, "via", node.address)
    run(*inside, "address", "add", f"{node.address}/24", "dev", _LINK)
    run(*inside, "link", "set", _LINK, "up")
    run(*inside, "link", "set", "lo", "up")
    if node is not FIRST:
        run(*inside, "route", "add", "default", "via", node.gateway)
    run(*inside, "route", "add", SERVICE_RANGE, "dev", _LINK)  # kube-proxy changes where it goes, not whether
    # /proc/sys/net is that of the namespace of whoever opens it.
    for name in ("ipv4/ip_forward", "bridge/bridge-nf-call-iptables"):
        run(*in_network(node), "sh", "-c", f"echo 1 >/proc/sys/net/{name}")


def cgroup_directories() -> list[Path]:
    """Return the cluster's own groups, one or, in version 1, one in each hierarchy."""
    if UNIFIED:
        return [CGROUPS / CGROUP]
    return [path / CGROUP for path in sorted(CGROUPS.iterdir()) if path.is_dir() and not path.is_symlink()]


def members(node: Node = FIRST, container: str | None = None) -> list[int]:
    """Give the processes of a node's pods, or of one container; the first node has the others' too."""
    found: set[int] = set()
    for hierarchy in cgroup_directories():
        for group, _, _ in os.walk(hierarchy.parent / node.cgroup):  # which passes over what ends meanwhile
            if container in (None, Path(group).name):
                with suppress(OSError):
                    found.update(map(int, (Path(group) / "cgroup.procs").read_text().split()))
    return sorted(found)


def make_cgroups(node: Node = FIRST) -> None:
    """Make the group that all pods of a node are in; the first one's has the others'."""
    for directory in cgroup_directories():
        (directory.parent / node.cgroup).mkdir(exist_ok=True)
    parent = Path(node.cgroup).parent
    if UNIFIED:
        (CGROUPS / parent / "cgroup.subtree_control").write_text("+cpu +cpuset +memory +pids")
        return
    for name in ("cpuset.cpus", "cpuset.mems"):
        (CGROUPS / "cpuset" / node.cgroup / name).write_text((CGROUPS / "cpuset" / parent / name).read_text())


def start_containerd(node: Node = FIRST) -> None:
    """Start containerd with its network plugins, and give it the image that every pod has."""
    networks = node.state / "cni"
    networks.mkdir(parents=True)
    address_management = {
        "type": "host-local",
        "ranges": [[{"subnet": node.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": f"{node.state}/ipam",
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": address_management,
    }
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    (networks / "10-net.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": NAME, "plugins": plugins}))
    configuration = (HERE / "containerd.toml").read_text()
    for name, value in {
        "STATE": node.state,
        "RUN": node.run,
        "SOCKET": node.containerd,
        "PAUSE": image("pause"),
        "PLUGINS": parts.debian() / "usr/lib/cni",
    }.items():
        configuration = configuration.replace(f"@{name}@", str(value))
    (node.state / "containerd.toml").write_text(configuration)
    start(f"containerd-{node.name}", "containerd", "-c", f"{node.state}/containerd.toml", node=node)
    until("containerd", lambda: succeeds("ctr", "version", node=node), 90)
    import_part("pause", node)


def image(name: str) -> str:
    """Name the image that is made of a part."""
    return f"docker.io/{IMAGES}/{name}:1"


def import_part(name: str, node: Node = FIRST) -> None:
    """Give a node an image that holds a part's programs and nothing else."""
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "tmp").mkdir()
        for program in filter(Path.is_file, parts.directory(name).iterdir()):
            shutil.copy2(program, work)
        archive = shutil.make_archive(f"{work}/../{name}-{IMAGES}", "tar", work)
    try:
        run("docker", "import", "-c", f'ENTRYPOINT ["/{name}"]', archive, f"{IMAGES}/{name}:1", seconds=300)
        import_images(f"{IMAGES}/{name}:1", node=node)
    finally:
        Path(archive).unlink()
        succeeds("docker", "rmi", "-f", f"{IMAGES}/{name}:1", seconds=60)


def import_images(*names: str, node: Node = FIRST) -> None:
    """Give a node images that Docker has; what several of them share is copied once.

    Raises:
        ClusterError: it has none of that name.

    """
    # Through a file, as either end of a pipe may fail.
    with tempfile.NamedTemporaryFile(dir=STATE, suffix=".tar") as archive:
        run("docker", "save", "-o", archive.name, *names, seconds=600)
        run("ctr", "images", "import", archive.name, seconds=600, node=node)


def start_kubelet(node: Node = FIRST) -> None:
    """Start kubelet and kube-proxy, and wait until the node is ready."""
    keys = f"{PKI}/kubelet-{node.name}"
    (node.state / "kubelet.yaml").write_text(f"""apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /{node.cgroup}
failSwapOn: false
containerRuntimeEndpoint: unix://{node.containerd}
address: {node.address}
port: 10250
healthzPort: 10248
readOnlyPort: 0
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {PKI}/ca.crt}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {keys}.crt
tlsPrivateKeyFile: {keys}.key
clusterDNS: [{DNS_SERVICE}]
clusterDomain: {CLUSTER_DOMAIN}
resolvConf: /dev/null
podLogsDir: {node.state}/pod-logs
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
maxPods: 60
syncFrequency: 3s
shutdownGracePeriod: 0s
""")
    start(
        *(f"kubelet-{node.name}", "kubelet", f"--config={node.state}/kubelet.yaml", f"--kubeconfig={keys}.conf"),
        *(f"--root-dir={node.state}/kubelet", f"--hostname-override={node.name}", f"--node-ip={node.address}"),
        "--housekeeping-interval=5s",  # how old what it says of usage may be
        node=node,
    )
    (node.state / "proxy.yaml").write_text(f"""apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: {POD_RANGE}
hostnameOverride: {node.name}
bindAddress: 0.0.0.0
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
clientConnection: {{kubeconfig: {PKI}/proxy.conf}}
conntrack: {{maxPerCore: 0}}
""")
    start(f"proxy-{node.name}", "kube-proxy", f"--config={node.state}/proxy.yaml", node=node)
    ready = ("kubectl", "wait", "--for=condition=Ready", f"node/{node.name}", "--timeout=5s")
    until(node.name, lambda: succeeds(*ready), 180)


def enforce_policies(node: Node = FIRST) -> None:
    """Have NetworkPolicies enforced on a node, by kube-router; for tests: it is old."""
    start(
        *(f"router-{node.name}", "env", f"LD_LIBRARY_PATH={parts.libraries()}", "kube-router"),
        *(f"--kubeconfig={PKI}/admin.conf", f"--hostname-override={node.name}", "--run-firewall=true"),
        *("--run-router=false", "--run-service-proxy=false", f"--service-cluster-ip-range={SERVICE_RANGE}"),
        node=node,
    )
    chains = (*in_network(node), "iptables-save", "--table=filter")
    until("policies", lambda: "KUBE-ROUTER-FORWARD" in run(*chains), 120)


def join(node: Node, *images: str) -> None:
    """Start one more node, with images that Docker has.

    Raises:
        ClusterError: it did not come up.

    """
    node.state.mkdir()
    node.run.mkdir()
    make_network(node)
    make_cgroups(node)
    start_containerd(node)
    import_images(*images, node=node)
    start_kubelet(node)
