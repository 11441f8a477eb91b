"""Secrets that not every stack has: API keys, the backups' password, a CA's certificate and account, one's own."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.acme.conftest import NAMES, named, pebble, shop
from tests.acme.pebble import Pebble
from tests.acme.test_certificate import ACME, issuer, shown
from tests.edge.load import Load
from tests.stack import Stack, eventually
from tests.support.backups import password
from tests.support.certificates import self_signed

__all__ = ["named", "pebble", "shop"]  # fixtures


def rotate(stack: Stack, *options: str) -> str:
    result = stack.run("make", "rotate", *options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def load(shop: Stack) -> Iterator[Load]:
    """Requests meanwhile, none of which fails."""
    with Load(f"https://{NAMES[0]}:{shop.settings['HTTPS_PORT']}") as running:
        eventually(lambda: running.total() > 50, lambda: str(running.failures[-3:]))
        yield running
        sent = running.total()
        eventually(lambda: running.total() > sent + 100, lambda: str(running.sent))
    assert running.failures == []


def test_an_acme_cas_key_and_the_accounts(shop: Stack, pebble: Pebble, load: Load) -> None:
    refused = shop.run("make", "rotate", "SECRET=acme-account")
    assert refused.stderr.startswith("rotate: there is no account at this CA yet; expected a first certificate")
    shop.compose(*ACME, "up", "--detach", "--wait", "lego")
    eventually(lambda: "Pebble" in issuer(shown(shop)), lambda: shop.logs("lego"))
    first = shown(shop)
    find = "cat /var/tmp/acme/*/accounts/*/*/keys/*.key"
    old = shop.compose(*ACME, "exec", "-T", "lego", "sh", "-c", find).stdout

    load.phase = "account"
    said = rotate(shop, "SECRET=acme-account")
    assert said == "==> done: the CA takes the new key of the account, and refuses the old one\n"
    assert shop.compose(*ACME, "exec", "-T", "lego", "sh", "-c", find).stdout != old
    assert pebble.asked("POST /rollover-account-key ->") == 1
    orders = pebble.asked("POST /order-plz ->")

    load.phase = "tls"
    assert "==> done: the edge presents the new certificate" in rotate(shop, "SECRET=tls")
    assert "Pebble" in issuer(shown(shop))
    assert shown(shop).public_key() != first.public_key()
    assert pebble.asked("POST /order-plz ->") == orders + 1  # by the account's new key
    shop.compose(*ACME, "stop", "lego")


def test_a_certificate_of_ones_own(shop: Stack, load: Load, tmp_path: Path) -> None:
    def put() -> None:
        _, certificate, key = self_signed(*NAMES)
        for name, content in (("tls.crt", certificate), ("tls.key", key)):
            (tmp_path / name).write_bytes(content)
            (tmp_path / name).chmod(0o644)

    tmp_path.chmod(0o755)
    put()
    shop.set(TLS_CERT=str(tmp_path / "tls.crt"), TLS_KEY=str(tmp_path / "tls.key"), ACME_EMAIL="")
    before = shown(shop)
    refused = shop.run("make", "rotate", "SECRET=tls")
    assert refused.stderr.startswith("rotate: the key is the one that is served; expected new files where TLS_CERT")
    put()
    rotate(shop, "SECRET=tls")
    assert shown(shop) != before
    assert shown(shop).public_bytes(Encoding.PEM).decode() == (tmp_path / "tls.crt").read_text()
    shop.set(TLS_CERT="", TLS_KEY="", ACME_EMAIL="ops@shop.example")


def test_an_owners_key_changes_under_their_requests(shop: Stack, tmp_path: Path) -> None:
    old = "anna-key-0123456789"
    file = tmp_path / "keys"
    file.write_text(f"anna:{old}\nbert:bert-key-0123456789\n")
    tmp_path.chmod(0o755)
    file.chmod(0o644)
    shop.set(API_KEYS_FILE=str(file), API_REPLICAS="2")
    known = {"anna": old, "bert": "bert-key-0123456789"}
    answers: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=f"https://{NAMES[0]}:{shop.settings['HTTPS_PORT']}", verify=False) as client:
            while not stop.is_set():
                answers.extend([status(client, key) for key in list(known.values())])

    def status(client: httpx.Client, key: str) -> int:
        return client.get("/api/v1/jobs", headers={"Authorization": f"Bearer {key}"}).status_code

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        known["anna"] = rotate(shop, "SECRET=api-keys", "OWNER=anna").splitlines()[-1].removeprefix("anna:")
        seen = len(answers)
        eventually(lambda: len(answers) > seen + 4, lambda: str(answers[-5:]))
        said = rotate(shop, "SECRET=api-keys", "OWNER=anna", "WITHDRAW=1")
        assert said == "==> done: 1 of anna withdrawn; the API refuses them, and takes the newest\n"
        seen = len(answers)
        eventually(lambda: len(answers) > seen + 20, lambda: str(answers[-5:]))
    finally:
        stop.set()
        thread.join()
    assert set(answers) == {200}
    with httpx.Client(base_url=f"https://{NAMES[0]}:{shop.settings['HTTPS_PORT']}", verify=False) as client:
        assert status(client, old) == 401
    shop.set(API_KEYS_FILE="", API_REPLICAS="1")


def test_the_backups_password(shop: Stack, load: Load) -> None:
    refused = shop.run("make", "rotate", "SECRET=backup")
    assert refused.stderr.startswith("rotate: ")
    backed_up = shop.run("make", "backup")
    assert backed_up.returncode == 0, backed_up.stdout + backed_up.stderr
    old = password(shop)
    said = rotate(shop, "SECRET=backup")
    assert said.startswith("==> done: the new password opens the repository, the old one does not")
    new = password(shop)
    assert new != old
    run = ("--profile", "backup", "run", "--rm", "--no-deps", "-T", "--entrypoint", "restic")
    for value, expected in ((old, 12), (new, 0)):
        opened = shop.compose(
            *run, "-e", f"RESTIC_PASSWORD={value}", "restic", "--no-cache", "cat", "config", check=False
        )
        assert opened.returncode == expected, opened.stderr
    again = shop.run("make", "backup")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 snapshots" in shop.run("make", "backups").stdout
