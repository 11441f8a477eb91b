"""etcd, the API server, the controllers and the scheduler."""

from scripts.cluster.layout import API_PORT, NODE_ADDRESS, PKI, POD_RANGE, SERVICE_RANGE, STATE
from scripts.cluster.processes import start, succeeds, until


def start_all() -> None:
    """Start them and wait until pods could be made.

    Raises:
        ClusterError: it takes too long.

    """
    clients, peers = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    start(
        *("etcd", "etcd", "--data-dir", f"{STATE}/etcd", "--unsafe-no-fsync"),
        *("--listen-client-urls", clients, "--advertise-client-urls", clients, "--listen-peer-urls", peers),
    )
    start(
        "apiserver",
        "kube-apiserver",
        f"--etcd-servers={clients}",
        f"--advertise-address={NODE_ADDRESS}",
        f"--bind-address={NODE_ADDRESS}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        f"--client-ca-file={PKI}/ca.crt",
        f"--service-account-key-file={PKI}/service-account.key",
        f"--service-account-signing-key-file={PKI}/service-account.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--kubelet-client-certificate={PKI}/admin.crt",
        f"--kubelet-client-key={PKI}/admin.key",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={PKI}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={PKI}/front-proxy.crt",
        f"--proxy-client-key-file={PKI}/front-proxy.key",
        "--allow-privileged=true",
    )
    until("the API server", lambda: succeeds("kubectl", "get", "--raw", "/readyz"), 90)
    start(
        "controller-manager",
        "kube-controller-manager",
        *_configured("controller-manager"),
        f"--service-account-private-key-file={PKI}/service-account.key",
        f"--root-ca-file={PKI}/ca.crt",
        "--use-service-account-credentials",
        "--allocate-node-cidrs",
        f"--cluster-cidr={POD_RANGE}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--cluster-signing-cert-file={PKI}/ca.crt",
        f"--cluster-signing-key-file={PKI}/ca.key",
        "--horizontal-pod-autoscaler-sync-period=2s",
    )
    start("scheduler", "kube-scheduler", *_configured("scheduler"))
    until("a service account", lambda: succeeds("kubectl", "get", "serviceaccount", "default"), 60)


def _configured(name: str) -> tuple[str, ...]:
    options = ("--kubeconfig", "--authentication-kubeconfig", "--authorization-kubeconfig")
    return (*(f"{option}={PKI}/{name}.conf" for option in options), "--leader-elect=false")
