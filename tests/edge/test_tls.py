"""TLS as Mozilla's intermediate recommendation has it, and a new certificate without a restart."""

import socket
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.edge.containers import ROOT, Edge, docker, eventually

INTERMEDIATE = {
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
}  # fmt: skip
REFUSED = [
    "AES128-GCM-SHA256", "AES256-SHA", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-AES128-CCM8",
]  # fmt: skip


def handshake(edge: Edge, context: ssl.SSLContext, name: str | None = "localhost") -> tuple[str, str, bytes]:
    """Return protocol, cipher and certificate."""
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", edge.https_port), timeout=60) as raw,
        context.wrap_socket(raw, server_hostname=name) as connection,
    ):
        cipher, certificate = connection.cipher(), connection.getpeercert(binary_form=True)
        assert cipher is not None
        assert certificate is not None
        return str(connection.version()), cipher[0], certificate


def served(edge: Edge) -> int:
    """Return the serial number of the certificate shown."""
    return x509.load_der_x509_certificate(handshake(edge, ssl.create_default_context())[2]).serial_number


def only(version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers(ciphers)
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_two_protocols_are_spoken(edge: Edge, version: ssl.TLSVersion) -> None:
    assert handshake(edge, only(version))[0] == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_ones_are_not(edge: Edge, version: ssl.TLSVersion) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(edge, only(version))


@pytest.mark.parametrize("cipher", sorted(INTERMEDIATE))
def test_strong_ciphers_are_spoken(edge: Edge, cipher: str) -> None:
    assert handshake(edge, only(ssl.TLSVersion.TLSv1_2, cipher))[1] == cipher


@pytest.mark.parametrize("cipher", REFUSED)
def test_weak_ciphers_are_not(edge: Edge, cipher: str) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(edge, only(ssl.TLSVersion.TLSv1_2, f"{cipher}:@SECLEVEL=0"))


def test_no_session_tickets(edge: Edge) -> None:
    context = only(ssl.TLSVersion.TLSv1_2)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", edge.https_port), timeout=60) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        assert connection.session is not None
        assert not connection.session.has_ticket


def test_hsts_over_tls_only_and_only_if_wanted(edge: Edge, start_edge: Callable[..., Edge]) -> None:
    with edge.client() as client:
        assert client.get("/echo").headers["strict-transport-security"] == "max-age=31536000"
        assert client.get("/metrics").headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in httpx.get(f"http://127.0.0.1:{edge.http_port}/").headers
    with start_edge(HSTS_SECONDS="0").client() as client:
        assert "strict-transport-security" not in client.get("/echo").headers


def test_http_2_is_spoken(edge: Edge) -> None:
    with edge.client(http2=True) as client:
        assert client.get("/echo").http_version == "HTTP/2"


def test_the_redirect_keeps_path_and_query_and_names_the_public_port(
    edge: Edge, start_edge: Callable[..., Edge]
) -> None:
    with_port = start_edge(HTTPS_PORT="8443")
    for one, port in ((edge, ""), (with_port, ":8443")):
        answer = httpx.get(f"http://127.0.0.1:{one.http_port}/a/b%20c?d=e&f", headers={"Host": "Api.Example.org:80"})
        assert answer.status_code == 301
        assert answer.headers["location"] == f"https://api.example.org{port}/a/b%20c?d=e&f"
    with with_port.client() as client:
        assert client.get("/echo").json()["url"] == "https://localhost:8443/echo"


@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", 301), ("HEAD", 301), ("POST", 308), ("PUT", 308), ("PATCH", 308), ("DELETE", 308), ("OPTIONS", 308),
     ("BREW", 308)],
)  # fmt: skip
def test_a_redirected_request_keeps_its_method(edge: Edge, method: str, status: int) -> None:
    """RFC 9110, 15.4.9: after 308 a POST is still one; after 301 browsers and curl make it a GET."""
    url = f"http://127.0.0.1:{edge.http_port}/a?b=c"
    answer = httpx.request(method, url, headers={"Host": "api.example.org"}, content=b"body" if status == 308 else None)
    assert (answer.status_code, answer.headers["location"]) == (status, "https://api.example.org/a?b=c")


def test_only_the_named_hosts_are_served_where_a_name_is_set(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(SERVER_NAME="localhost api.example.org")
    with edge.client() as client:
        assert client.get("/echo").status_code == 200
        misdirected = client.get("/echo", headers={"Host": "evil.example"})
    assert misdirected.status_code == 421
    assert misdirected.headers["content-type"] == "application/problem+json"
    for name in ("evil.example", None):
        with pytest.raises(ssl.SSLError):
            handshake(edge, ssl.create_default_context(), name)
    plain = httpx.get(f"http://127.0.0.1:{edge.http_port}/x", headers={"Host": "evil.example"})
    assert plain.status_code == 421


@pytest.mark.parametrize("names", ["localhost api.example.org", "nginx", "localhost nginx"])
def test_the_probe_of_the_monitoring_is_served_whatever_names_are_set(
    start_edge: Callable[..., Edge], names: str
) -> None:
    prometheus = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())
    (probe,) = (job for job in prometheus["scrape_configs"] if job["job_name"] == "probe")
    target = urlsplit(probe["static_configs"][0]["targets"][0])
    assert target.hostname is not None
    edge = start_edge(SERVER_NAME=names)
    unverified = ssl.create_default_context()  # as docker/blackbox.yml has it
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    with edge.client(verify=unverified) as client:
        answer = client.get(target.path, headers={"Host": target.netloc}, extensions={"sni_hostname": target.hostname})
    assert answer.status_code == 200
    assert answer.json() == {"ready": True}
    assert "[warn]" not in edge.errors()


def test_a_new_certificate_is_served_without_a_restart(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge(TLS_CHECK_SECONDS="1")
    started = docker("inspect", "--format", "{{.State.StartedAt}} {{.State.Pid}}", edge.container)
    first = served(edge)
    second = edge.write_certificate("localhost").serial_number
    assert first != second
    eventually(lambda: served(edge) == second)

    # A key that does not belong to it is refused, with the certificate in use staying; then a right pair is taken.
    key = edge.tls / "tls.key"
    good_key = key.read_bytes()
    other = x509.load_pem_x509_certificate(edge.certificate.read_bytes())
    edge.certificate.write_bytes(b"not a certificate")
    eventually(lambda: "cannot load certificate" in edge.errors())
    assert served(edge) == second
    edge.certificate.write_bytes(other.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(good_key)
    third = edge.write_certificate("localhost").serial_number
    eventually(lambda: served(edge) == third)
    assert docker("inspect", "--format", "{{.State.StartedAt}} {{.State.Pid}}", edge.container) == started
