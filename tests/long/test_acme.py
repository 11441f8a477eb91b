"""What keeps a certificate from being issued or renewed: names, limits, a CA that is away, an end that has passed."""

import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.acme.conftest import NAMES, named, shop
from tests.acme.pebble import LIMITED, Pebble
from tests.acme.test_certificate import ACME, issuer, metrics, shown
from tests.edge.load import Load
from tests.stack import ROOT, Stack, docker, eventually

__all__ = ["named", "shop"]  # fixtures

VALID = 90  # seconds
FORGET = "rm -f /var/tmp/acme/*/last"  # as if a quarter of an hour had passed


@pytest.fixture(autouse=True)
def served_meanwhile(shop: Stack) -> Iterator[None]:
    """Whatever happens to certificates, no request fails."""
    with Load(f"https://{NAMES[0]}:{shop.settings['HTTPS_PORT']}") as load:
        yield
        sent = load.total()
        eventually(lambda: load.total() > sent + 100, lambda: str(load.sent))
    assert load.failures == []


def start(stack: Stack) -> None:
    stack.compose(*ACME, "up", "--detach", "--wait", "lego")


def again(stack: Stack) -> None:
    stack.compose(*ACME, "exec", "-T", "lego", "sh", "-c", FORGET)
    stack.compose(*ACME, "restart", "lego")


def failed(stack: Stack, times: int) -> bool:
    return metrics(stack).get("acme_failed_attempts") == times


def test_names_of_which_one_does_not_resolve(shop: Stack) -> None:
    pebble = Pebble(shop, NAMES[:1])
    try:
        start(shop)
        eventually(lambda: failed(shop, 1), lambda: shop.logs("lego"))
        assert NAMES[1] in shop.logs("lego", tail=30)
        assert metrics(shop)["acme_certificate_issued"] == 0
        assert issuer(shown(shop)) == "CN=Sightglass self-signed"
        assert pebble.asked("POST /order-plz ->") == 1
        for _ in range(3):  # started again, it waits
            shop.compose(*ACME, "restart", "lego")
            eventually(lambda: "the next attempt is at" in shop.logs("lego", tail=1), lambda: shop.logs("lego"))
        assert pebble.asked("POST /order-plz ->") == 1
        assert failed(shop, 1)
    finally:
        pebble.close()


def test_a_ca_that_takes_no_more_is_left_alone(shop: Stack) -> None:
    name = f"{shop.project}-limited"
    docker(
        "run", "--detach", "--name", name, "--network", f"{shop.project}_edge", "--network-alias", LIMITED,
        "--volume", f"{shop.directory}/docker/pebble:/etc/pebble:ro", "--user", "0",
        "--volume", f"{ROOT}/tests/acme/limited.py:/limited.py:ro", "--entrypoint", "python3", shop.project,
        "/limited.py",
    )  # fmt: skip
    try:
        settings = shop.env_file.read_text()
        shop.env_file.write_text(f"{settings}ACME_SERVER=https://{LIMITED}:14000/dir\n")
        start(shop)

        def asked() -> list[str]:
            return subprocess.run(
                ["docker", "logs", name], capture_output=True, text=True, check=True
            ).stdout.splitlines()

        eventually(lambda: "asked POST /newAccount" in asked(), lambda: shop.logs("lego"))
        for _ in range(3):  # lego waits as it was told to; started again, it does not ask at all
            shop.compose(*ACME, "restart", "lego")
            eventually(lambda: "the next attempt is at" in shop.logs("lego", tail=1), lambda: shop.logs("lego"))
        assert asked() == ["asked GET /dir", "asked HEAD /newNonce", "asked POST /newAccount"]
        assert failed(shop, 1)
        shop.env_file.write_text(settings)
    finally:
        docker("rm", "--force", name)


def test_a_ca_that_is_away_is_waited_for_even_past_the_end_of_the_certificate(shop: Stack) -> None:
    pebble = Pebble(shop, NAMES, validityPeriod=VALID)
    try:
        start(shop)
        again(shop)
        eventually(lambda: "Pebble" in issuer(shown(shop)), lambda: shop.logs("lego"))
        first = shown(shop)
        pebble.leave()
        again(shop)
        eventually(lambda: failed(shop, 1), lambda: shop.logs("lego"))
        assert metrics(shop)["acme_certificate_issued"] == 1
        eventually(lambda: datetime.now(UTC) > first.not_valid_after_utc, lambda: str(first.not_valid_after_utc))
        assert shown(shop) == first
        pebble.come_back()
        again(shop)
        eventually(lambda: shown(shop).serial_number != first.serial_number, lambda: shop.logs("lego"))
        assert failed(shop, 0)
        assert ssl.get_server_certificate((NAMES[0], int(shop.settings["HTTPS_PORT"])))
    finally:
        pebble.close()
