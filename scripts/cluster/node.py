"""A node: its network, cgroups, containerd, kubelet and kube-proxy, and the images it has."""

import json
import shutil
import tempfile
from pathlib import Path

from scripts.cluster import parts
from scripts.cluster.layout import (
    CGROUP,
    CLUSTER_DOMAIN,
    CONTAINERD,
    DNS_SERVICE,
    HERE,
    HOST_ADDRESS,
    HOST_LINK,
    IMAGES,
    NETWORK_NAMESPACE,
    NODE,
    NODE_ADDRESS,
    NODE_LINK,
    NODE_POD_RANGE,
    PKI,
    POD_RANGE,
    RUN,
    SERVICE_RANGE,
    STATE,
)
from scripts.cluster.processes import IN_NAMESPACE, run, start, succeeds, until

CGROUPS = Path("/sys/fs/cgroup")
UNIFIED = (CGROUPS / "cgroup.controllers").exists()


def make_network() -> None:
    """Make the network namespace and its link to this machine."""
    run("ip", "netns", "add", NETWORK_NAMESPACE)
    run("ip", "link", "add", HOST_LINK, "type", "veth", "peer", "name", NODE_LINK)
    run("ip", "link", "set", NODE_LINK, "netns", NETWORK_NAMESPACE)
    run("ip", "address", "add", f"{HOST_ADDRESS}/24", "dev", HOST_LINK)
    run("ip", "link", "set", HOST_LINK, "up")
    inside = ("ip", "-n", NETWORK_NAMESPACE)
    run(*inside, "address", "add", f"{NODE_ADDRESS}/24", "dev", NODE_LINK)
    run(*inside, "link", "set", NODE_LINK, "up")
    run(*inside, "link", "set", "lo", "up")
    run(*inside, "route", "add", SERVICE_RANGE, "dev", NODE_LINK)  # kube-proxy changes where it goes, not whether
    # /proc/sys/net is that of the namespace of whoever opens it; `ip netns exec` would mount another /sys.
    for name in ("ipv4/ip_forward", "bridge/bridge-nf-call-iptables"):
        run(*IN_NAMESPACE, "sh", "-c", f"echo 1 >/proc/sys/net/{name}")


def cgroup_directories() -> list[Path]:
    """Return the cluster's own groups, one or, in version 1, one in each hierarchy."""
    if UNIFIED:
        return [CGROUPS / CGROUP]
    return [path / CGROUP for path in sorted(CGROUPS.iterdir()) if path.is_dir() and not path.is_symlink()]


def make_cgroups() -> None:
    """Make the group that all pods are in."""
    for directory in cgroup_directories():
        directory.mkdir(exist_ok=True)
    if UNIFIED:
        (CGROUPS / "cgroup.subtree_control").write_text("+cpu +cpuset +memory +pids")
        return
    for name in ("cpuset.cpus", "cpuset.mems"):
        (CGROUPS / "cpuset" / CGROUP / name).write_text((CGROUPS / "cpuset" / name).read_text())


def start_containerd() -> None:
    """Start containerd with its network plugins, and give it the image that every pod has."""
    networks = STATE / "cni"
    networks.mkdir(parents=True)
    address_management = {
        "type": "host-local",
        "ranges": [[{"subnet": NODE_POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": f"{STATE}/ipam",
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
    (networks / "10-test.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "test", "plugins": plugins}))
    configuration = (HERE / "containerd.toml").read_text()
    for name, value in {
        "STATE": STATE,
        "RUN": RUN,
        "SOCKET": CONTAINERD,
        "PAUSE": image("pause"),
        "PLUGINS": parts.debian() / "usr/lib/cni",
    }.items():
        configuration = configuration.replace(f"@{name}@", str(value))
    (STATE / "containerd.toml").write_text(configuration)
    start("containerd", "containerd", "-c", f"{STATE}/containerd.toml")
    until("containerd", lambda: succeeds("ctr", "version"), 30)
    import_binary("pause")


def image(name: str) -> str:
    """Name the image that is made of a binary."""
    return f"docker.io/{IMAGES}/{name}:1"


def import_binary(name: str) -> None:
    """Give containerd an image that holds one program and nothing else."""
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "tmp").mkdir()
        shutil.copy2(parts.directory(name) / name, Path(work) / name)
        archive = shutil.make_archive(f"{work}/../{name}-{IMAGES}", "tar", work)
    try:
        run("docker", "import", "-c", f'ENTRYPOINT ["/{name}"]', archive, f"{IMAGES}/{name}:1")
        import_image(f"{IMAGES}/{name}:1")
    finally:
        Path(archive).unlink()
        succeeds("docker", "rmi", "-f", f"{IMAGES}/{name}:1")


def import_image(name: str) -> None:
    """Give containerd an image that Docker has.

    Raises:
        ClusterError: it has none of that name.

    """
    # Through a file, as either end of a pipe may fail.
    with tempfile.NamedTemporaryFile(dir=STATE, suffix=".tar") as archive:
        run("docker", "save", "-o", archive.name, name, seconds=300)
        run("ctr", "images", "import", archive.name, seconds=300)


def start_kubelet() -> None:
    """Start kubelet and kube-proxy, and wait until the node is ready."""
    (STATE / "kubelet.yaml").write_text(f"""apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /{CGROUP}
failSwapOn: false
containerRuntimeEndpoint: unix://{CONTAINERD}
address: {NODE_ADDRESS}
port: 10250
healthzPort: 10248
readOnlyPort: 0
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {PKI}/ca.crt}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {PKI}/kubelet.crt
tlsPrivateKeyFile: {PKI}/kubelet.key
clusterDNS: [{DNS_SERVICE}]
clusterDomain: {CLUSTER_DOMAIN}
resolvConf: /dev/null
podLogsDir: {STATE}/pod-logs
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
maxPods: 60
shutdownGracePeriod: 0s
""")
    start(
        *("kubelet", "kubelet", f"--config={STATE}/kubelet.yaml", f"--kubeconfig={PKI}/kubelet.conf"),
        *(f"--root-dir={STATE}/kubelet", f"--hostname-override={NODE}", f"--node-ip={NODE_ADDRESS}"),
    )
    (STATE / "proxy.yaml").write_text(f"""apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: {POD_RANGE}
hostnameOverride: {NODE}
bindAddress: 0.0.0.0
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
clientConnection: {{kubeconfig: {PKI}/proxy.conf}}
conntrack: {{maxPerCore: 0}}
""")
    start("proxy", "kube-proxy", f"--config={STATE}/proxy.yaml")
    ready = ("kubectl", "wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=5s")
    until("the node", lambda: succeeds(*ready), 120)
