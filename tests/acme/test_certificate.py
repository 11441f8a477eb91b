"""From a name to a trusted certificate, and from that to its successor, seen by nobody but those who look at it."""

import ssl
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.acme.conftest import NAMES
from tests.acme.pebble import Pebble
from tests.edge.load import Load
from tests.stack import Stack, docker, eventually

pytestmark = pytest.mark.timeout(1200)  # the first waits for the images and the stack

ACME = ("--profile", "acme")


def shown(stack: Stack) -> x509.Certificate:
    """Return the certificate a client sees now."""
    pem = ssl.get_server_certificate((NAMES[0], int(stack.settings["HTTPS_PORT"])), timeout=60)
    return x509.load_pem_x509_certificate(pem.encode())


def issuer(certificate: x509.Certificate) -> str:
    return certificate.issuer.rfc4514_string()


def metrics(stack: Stack) -> dict[str, float]:
    text = stack.compose("exec", "-T", "nginx", "curl", "-fsS", "http://127.0.0.1:9113/metrics").stdout
    lines = [line.split() for line in text.splitlines() if line.startswith("acme_")]
    return {name: float(value) for name, value in lines}


def url(stack: Stack, path: str, *, tls: bool = True) -> str:
    port = stack.settings["HTTPS_PORT" if tls else "HTTP_PORT"]
    return f"http{'s' if tls else ''}://{NAMES[0]}:{port}{path}"


def test_the_stack_starts_at_once_without_one(shop: Stack) -> None:
    assert issuer(shown(shop)) == "CN=Sightglass self-signed"
    answer = httpx.get(url(shop, "/health"), verify=False)
    assert answer.status_code == 200
    assert "strict-transport-security" not in answer.headers
    assert metrics(shop) == {}


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("path", ["", "x", "x/y", "%00", "tls.key", ".x", "x.y", "a" * 500])
def test_the_challenges_path_serves_nothing_else(shop: Stack, path: str, *, tls: bool) -> None:
    answer = asked(shop, f"/.well-known/acme-challenge/{path}", tls=tls)
    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["../../docs", "%2e%2e/%2e%2e/docs", "x/../../../docs", "..%2f..%2fdocs"])
def test_what_leads_out_of_it_is_where_it_leads(shop: Stack, path: str) -> None:
    assert asked(shop, f"/.well-known/acme-challenge/{path}", tls=False).status_code == 301


def asked(stack: Stack, path: str, *, tls: bool) -> httpx.Response:
    """Ask for a path as it stands there."""
    with httpx.Client(verify=False) as client:
        request = client.build_request("GET", url(stack, "/", tls=tls))
        request.url = request.url.copy_with(raw_path=path.encode())
        return client.send(request)


def test_a_certificate_is_issued_and_renewed_under_load(shop: Stack, pebble: Pebble, tmp_path: Path) -> None:
    with Load(url(shop, "").rstrip("/")) as load:
        eventually(lambda: load.total() > 50, lambda: str(load.failures[-3:]))

        load.phase = "issue"
        shop.compose(*ACME, "up", "--detach", "--wait", "lego")
        eventually(lambda: "Pebble" in issuer(shown(shop)), lambda: shop.logs("lego"))
        first = shown(shop)
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert set(names.get_values_for_type(x509.DNSName)) == set(NAMES)
        assert isinstance(first.public_key(), ec.EllipticCurvePublicKey)
        assert pebble.asked("POST /order-plz ->") == 1
        root = tmp_path / "root.pem"
        root.write_text(pebble.root())
        with httpx.Client(verify=ssl.create_default_context(cafile=str(root)), http2=True) as client:
            answer = client.get(url(shop, "/health"))
            assert answer.status_code == 200
            # A worker of before the reload may still have the connection, so a new one is looked at until it says so.
        eventually(lambda: hsts(shop) == "max-age=31536000", lambda: str(hsts(shop)))
        assert metrics(shop)["acme_certificate_issued"] == 1
        assert metrics(shop)["acme_failed_attempts"] == 0

        load.phase = "start again"  # nothing is due
        shop.compose(*ACME, "restart", "lego")
        eventually(lambda: "no renewal" in shop.logs("lego", tail=30).lower(), lambda: shop.logs("lego"))
        assert shown(shop) == first
        assert pebble.asked("POST /order-plz ->") == 1

        orders = 1
        while first.serial_number.bit_length() % 8 == 0:  # 1 in 256; Pebble would answer 500 to its renewal (issue 550)
            first, orders = another(shop, first), orders + 1

        load.phase = "revoke"  # so that the CA wants it renewed now (RFC 9773)
        of = '--path . --server "$ACME_SERVER" --email "$ACME_EMAIL" --domains "${SERVER_NAME%% *}"'
        shop.compose(*ACME, "exec", "-T", "lego", "sh", "-c", f"cd /var/tmp/acme/*; /lego {of} revoke --keep")
        shop.compose(*ACME, "restart", "lego")
        # What the CA has against it is in the CA's log alone: lego tells of its last attempt at sending the same again.
        eventually(
            lambda: shown(shop).serial_number != first.serial_number,
            lambda: shop.logs("lego") + docker("logs", "--tail", "40", pebble.name),
        )
        assert "Pebble" in issuer(shown(shop))
        assert pebble.asked("POST /order-plz ->") == orders + 1

        load.phase = "after"
        sent = load.total()
        eventually(lambda: load.total() > sent + 200, lambda: str(load.sent))
    assert load.failures == []
    assert metrics(shop)["acme_certificate_issued"] == 1


def another(stack: Stack, one: x509.Certificate) -> x509.Certificate:
    """Have a certificate issued that renews none."""
    stack.compose(*ACME, "exec", "-T", "lego", "sh", "-c", "rm -r /var/tmp/acme/*/certificates")
    stack.compose(*ACME, "restart", "lego")
    eventually(lambda: shown(stack) != one, lambda: stack.logs("lego"))
    return shown(stack)


def hsts(stack: Stack) -> str | None:
    answer = httpx.get(url(stack, "/health"), verify=False)
    value: str | None = answer.headers.get("strict-transport-security")
    return value
