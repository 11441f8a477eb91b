"""The cluster's own authority, and what each part shows of who it is."""

from pathlib import Path

from scripts.cluster.layout import API_PORT, API_SERVICE, NODE_ADDRESS, NODES, PKI
from scripts.cluster.processes import run

_API_NAMES = (
    f"IP:127.0.0.1,IP:{API_SERVICE},IP:{NODE_ADDRESS},DNS:localhost,"
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
)
# By name: the subject, and the names and addresses it may be asked by.
_CERTIFICATES = {
    "apiserver": ("/CN=kube-apiserver", _API_NAMES),
    "admin": ("/O=system:masters/CN=admin", ""),
    "controller-manager": ("/CN=system:kube-controller-manager", ""),
    "scheduler": ("/CN=system:kube-scheduler", ""),
    **{
        f"kubelet-{node.name}": (f"/O=system:nodes/CN=system:node:{node.name}", f"IP:{node.address},DNS:{node.name}")
        for node in NODES
    },
    "proxy": ("/CN=system:kube-proxy", ""),
    "front-proxy": ("/CN=front-proxy-client", ""),
}
_WITHOUT_CONFIGURATION = {"apiserver", "front-proxy"}


def make() -> None:
    """Write keys, certificates and the configurations that name them."""
    PKI.mkdir(parents=True, mode=0o700)
    _openssl(
        "req",
        "-x509",
        *_NEW_KEY,
        "-days",
        "30",
        "-subj",
        "/CN=sightglass-cluster",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
    )
    for name, (subject, names) in _CERTIFICATES.items():
        extensions = "extendedKeyUsage=serverAuth,clientAuth\n" + (f"subjectAltName={names}\n" if names else "")
        (PKI / f"{name}.ext").write_text(extensions)
        _openssl("req", *_NEW_KEY, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        _openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.crt"),
        )
        if name not in _WITHOUT_CONFIGURATION:
            (PKI / f"{name}.conf").write_text(_configuration(name))
    _openssl("genrsa", "-out", "service-account.key", "2048")


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")


def _openssl(*arguments: str) -> None:
    in_place = [str(PKI / a) if Path(a).suffix in {".key", ".crt", ".csr", ".ext"} else a for a in arguments]
    run("openssl", *in_place)


def _configuration(user: str) -> str:
    server = f"https://{NODE_ADDRESS}:{API_PORT}"
    return f"""apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "{server}", certificate-authority: {PKI}/ca.crt}}}}]
users: [{{name: {user}, user: {{client-certificate: {PKI}/{user}.crt, client-key: {PKI}/{user}.key}}}}]
contexts: [{{name: test, context: {{cluster: test, user: {user}}}}}]
current-context: test
"""
