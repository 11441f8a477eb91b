"""docker/acme/start.sh on a clock of its own: when a CA is asked, what is served, what is told of it."""

import re
import subprocess
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MINUTE, HOUR, DAY = 60, 3600, 86400
BEGIN = 1_800_000_000

# `lego`, `date` and `sleep` as the script finds them. Time passes in `sleep` alone. `lego` does what the line of its
# number in `answers` says, the last one for ever: there is a certificate of that name, unless it is a "no".
PROGRAMS = {
    "date": 'case $1 in +%s) cat "$WORLD/now" ;; *) exec /bin/date "$@" ;; esac',
    "sleep": """
        now=$(($(cat "$WORLD/now") + $1)) end=$(cat "$WORLD/end")
        if [ "$now" -lt "$end" ]; then echo "$now" >"$WORLD/now"; else echo "$end" >"$WORLD/now"; kill -TERM "$PPID"; fi
    """,
    "lego": """
        echo "$(cat "$WORLD/now") $*" >>"$WORLD/asked"
        n=$(wc -l <"$WORLD/asked")
        answer=$(sed -n "${n}p" "$WORLD/answers")
        [ -n "$answer" ] || answer=$(tail -n 1 "$WORLD/answers")
        echo "lego: $answer"
        first=
        while [ $# -gt 0 ]; do
            case $1 in
            --path) path=$2 ;;
            --domains) first=${first:-$2} ;;
            --http.webroot) [ -d "$2" ] || exit 1 ;;
            esac
            shift
        done
        case $answer in
        no | no:*) exit 1 ;;
        hangs) exit 124 ;;  # as timeout makes of it
        "not due") ;;
        *) mkdir -p "$path/certificates" "$path/accounts/ca"
           [ -e "$path/accounts/ca/account.json" ] || echo "made for $answer" >"$path/accounts/ca/account.json"
           for kind in crt key; do echo "$kind of $answer" >"$path/certificates/$first.$kind"; done ;;
        esac
    """,
}


@dataclass
class World:
    """A machine with a clock and a CA; ``settings`` are the container's environment."""

    directory: Path
    settings: dict[str, str] = field(
        default_factory=lambda: {"SERVER_NAME": "shop.example www.shop.example", "ACME_EMAIL": "ops@shop.example"}
    )

    def __post_init__(self) -> None:
        for name in ("tls", "store", "bin"):
            (self.directory / name).mkdir()
        for name, body in PROGRAMS.items():
            program = self.directory / "bin" / name
            program.write_text(f"#!/bin/sh\n{body}\n")
            program.chmod(0o755)
        self.at(0)
        self.answers("first")

    def at(self, seconds: int) -> None:
        (self.directory / "now").write_text(str(BEGIN + seconds))

    def answers(self, *lines: str) -> None:
        (self.directory / "asked").write_text("")
        (self.directory / "answers").write_text("\n".join(lines) + "\n")

    def run(self, until: int) -> subprocess.CompletedProcess[str]:
        """Start the container and stop it at this second."""
        (self.directory / "end").write_text(str(BEGIN + until))
        return subprocess.run(
            ["sh", ROOT / "docker/acme/start.sh", self.directory / "tls", self.directory / "store"],
            env={"PATH": f"{self.directory}/bin:/usr/bin:/bin", "WORLD": str(self.directory)} | self.settings,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def asked(self) -> list[tuple[int, str]]:
        """Return when lego was called, in seconds, and with what."""
        lines = (self.directory / "asked").read_text().splitlines()
        return [(int(line.split()[0]) - BEGIN, line.split(" ", 1)[1]) for line in lines]

    def times(self) -> list[int]:
        return [seconds for seconds, _ in self.asked()]

    def served(self) -> tuple[str, str]:
        return tuple((self.directory / "tls" / f"tls.{kind}").read_text().strip() for kind in ("crt", "key"))  # type: ignore[return-value]

    def metrics(self) -> dict[str, float]:
        text = (self.directory / "tls" / "acme.prom").read_text()
        return {name: float(value) for name, value in re.findall(r"^acme_(\w+) (\S+)$", text, re.MULTILINE)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_certificate_is_got_once_and_asked_about_twice_a_day(world: World) -> None:
    world.answers("first", "not due")
    world.run(until=2 * DAY)
    assert world.times() == [0, 12 * HOUR, 24 * HOUR, 36 * HOUR]
    (_, issue), *renewals = world.asked()
    assert issue.endswith(" run")
    assert {renewal for _, renewal in renewals} == {issue.removesuffix("run") + "renew --dynamic --no-random-sleep"}
    assert world.served() == ("crt of first", "key of first")
    assert world.metrics() == {
        "certificate_issued": 1, "failed_attempts": 0, "last_attempt_timestamp_seconds": BEGIN + 36 * HOUR,
        "next_attempt_timestamp_seconds": BEGIN + 48 * HOUR,
    }  # fmt: skip


def account(world: World) -> str:
    (found,) = world.directory.glob("store/acme/*/accounts/ca/account.json")
    return found.read_text().strip()


def test_a_ca_that_has_forgotten_the_account_is_told_of_it_again(world: World) -> None:
    world.answers("first", "no: accountDoesNotExist", "second", "not due")
    world.run(until=DAY)
    assert world.times() == [0, 12 * HOUR, 12 * HOUR]
    assert [told.split()[-1] for _, told in world.asked()] == ["run", "--no-random-sleep", "run"]
    assert world.served() == ("crt of second", "key of second")
    assert account(world) == "made for second"
    assert world.metrics()["failed_attempts"] == 0


def test_one_that_does_not_take_it_is_left_with_the_old(world: World) -> None:
    world.answers("first", "no: accountDoesNotExist", "no: later", "no: later")
    world.run(until=12 * HOUR + 16 * MINUTE)
    assert world.times() == [0, 12 * HOUR, 12 * HOUR, 12 * HOUR + 15 * MINUTE]
    assert account(world) == "made for first"
    assert world.served() == ("crt of first", "key of first")
    assert world.metrics()["failed_attempts"] == 2


@pytest.mark.parametrize("answer", ["no: rateLimited", "no: unauthorized", "no"])
def test_for_another_reason_no_account_is_made_anew(world: World, answer: str) -> None:
    world.answers("first", answer)
    world.run(until=12 * HOUR + MINUTE)
    assert world.times() == [0, 12 * HOUR]
    assert account(world) == "made for first"


def test_lego_is_told_all_of_it(world: World) -> None:
    world.run(until=HOUR)
    ((_, told),) = world.asked()
    assert "--http --http.webroot " + str(world.directory / "tls/challenges") in told
    assert "--domains shop.example " in told
    assert "--domains www.shop.example " in told
    assert "--server https://acme-v02.api.letsencrypt.org/directory " in told
    assert "--email ops@shop.example --accept-tos --key-type ec256 run" in told


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("staging", "https://acme-staging-v02.api.letsencrypt.org/directory"),
        ("https://ca.example/dir", "https://ca.example/dir"),
    ],
)
def test_another_ca_and_another_challenge(world: World, server: str, address: str) -> None:
    world.settings |= {"ACME_SERVER": server, "ACME_DNS": "httpreq"}
    world.run(until=HOUR)
    ((_, told),) = world.asked()
    assert f"--server {address} " in told
    assert "--dns httpreq " in told
    assert "--http" not in told.split()


def test_a_renewed_one_is_handed_over(world: World) -> None:
    world.answers("first", "not due", "second", "not due")
    world.run(until=2 * DAY)
    assert world.served() == ("crt of second", "key of second")


def test_another_key_is_got_when_it_is_asked_for(world: World) -> None:
    """By `make rotate SECRET=tls`, which starts it again; what fails is tried again as ever, and still another key."""
    world.answers("first", "no", "second", "not due")
    world.run(until=HOUR)
    (world.directory / "store/acme/again").touch()
    world.at(HOUR)
    world.run(until=14 * HOUR)
    assert world.times() == [0, HOUR, HOUR + 900, HOUR + 900 + 12 * HOUR]
    assert all("renew --days 99999 " in told for _, told in world.asked()[1:3])
    assert world.asked()[3][1].endswith("renew --dynamic --no-random-sleep")
    assert world.served() == ("crt of second", "key of second")


def test_failures_back_off_to_a_day(world: World) -> None:
    world.answers("no: the CA is down")
    result = world.run(until=5 * DAY)
    pauses = [later - earlier for earlier, later in pairwise(world.times())]
    assert pauses == [quarter * 900 for quarter in (1, 2, 4, 8, 16, 32, 64, 96, 96, 96)]
    assert world.metrics()["failed_attempts"] == 11
    assert world.metrics()["certificate_issued"] == 0
    assert "FAILED for shop.example www.shop.example at https://acme-v02" in result.stdout
    assert "lego: no: the CA is down" in result.stdout
    assert not (world.directory / "tls" / "tls.crt").exists()  # what was there stays


def test_the_ca_is_down_for_days_when_it_is_time_to_renew(world: World) -> None:
    world.answers("first", "not due", *["no"] * 9, "second", "not due")
    world.run(until=4 * DAY)
    assert world.served() == ("crt of first", "key of first")
    assert world.metrics() | {"last_attempt_timestamp_seconds": 0, "next_attempt_timestamp_seconds": 0} == {
        "certificate_issued": 1, "failed_attempts": 9, "last_attempt_timestamp_seconds": 0,
        "next_attempt_timestamp_seconds": 0,
    }  # fmt: skip
    world.run(until=6 * DAY)
    assert world.served() == ("crt of second", "key of second")
    assert world.metrics()["failed_attempts"] == 0


@pytest.mark.parametrize("answer", ["no: 429 ::urn:ietf:params:acme:error:rateLimited :: too many", "hangs"])
def test_a_rate_limit_is_met_with_an_hour_at_least(world: World, answer: str) -> None:
    """lego itself waits where the CA says for how long, until it is ended."""
    world.answers(answer, "no", "first", "not due")
    world.run(until=DAY)
    assert world.times()[:3] == [0, HOUR, HOUR + 2 * 900]


@pytest.mark.parametrize("pause", [1, MINUTE, 899])
def test_started_over_and_over_it_asks_no_more_than_once_in_a_quarter(world: World, pause: int) -> None:
    world.answers("no: it does not resolve")
    for start in range(0, HOUR, max(pause, 4 * MINUTE)):
        world.at(start)
        world.run(until=start + pause)
    times = world.times()
    assert times[0] == 0
    assert all(later - earlier >= 900 for earlier, later in pairwise(times))


def test_a_start_asks_sooner_than_the_back_off(world: World) -> None:
    world.answers(*["no"] * 6, "first")
    world.run(until=8 * HOUR)  # the next would be at 15:45
    assert len(world.times()) == 6
    world.run(until=9 * HOUR)
    assert world.times()[6] == 8 * HOUR
    assert world.served() == ("crt of first", "key of first")


def test_other_settings_are_another_matter(world: World) -> None:
    world.answers("no", "first")
    world.run(until=MINUTE)
    world.settings["SERVER_NAME"] = "shop.example"
    world.at(2 * MINUTE)
    world.run(until=3 * MINUTE)
    assert world.times() == [0, 2 * MINUTE]


def test_other_names_are_another_certificate(world: World) -> None:
    world.answers("first", "second", "not due")
    world.run(until=HOUR)
    world.settings["SERVER_NAME"] += " api.shop.example"
    world.run(until=2 * HOUR)
    assert [told.split()[-1] for _, told in world.asked()] == ["run", "run"]
    assert world.served() == ("crt of second", "key of second")


def test_names_that_fail_leave_the_certificate_there_is(world: World) -> None:
    world.answers("first", "no")
    world.run(until=HOUR)
    world.settings["SERVER_NAME"] += " typo.shop.example"
    world.run(until=2 * HOUR)
    assert world.served() == ("crt of first", "key of first")
    assert world.metrics()["certificate_issued"] == 0


def test_staging_and_production_keep_to_themselves(world: World) -> None:
    world.answers("staging", "production", "not due")
    world.settings["ACME_SERVER"] = "staging"
    world.run(until=HOUR)
    del world.settings["ACME_SERVER"]
    world.run(until=2 * HOUR)
    assert [told.split()[-1] for _, told in world.asked()] == ["run", "run"]
    assert world.served()[0] == "crt of production"
    world.settings["ACME_SERVER"] = "staging"
    world.run(until=3 * HOUR)
    assert world.asked()[-1][1].endswith("--no-random-sleep")
    assert world.served()[0] == "crt of staging"


def test_a_lost_volume_of_nginx_gets_the_certificate_again_without_the_ca(world: World) -> None:
    world.answers("first", "no")
    world.run(until=HOUR)
    for file in (world.directory / "tls").glob("*.*"):
        file.unlink()
    world.run(until=2 * HOUR)
    assert world.served() == ("crt of first", "key of first")


def test_a_clock_that_was_ahead_does_not_hold_it_up(world: World) -> None:
    world.answers("no", "first")
    world.at(400 * DAY)
    world.run(until=400 * DAY + MINUTE)
    world.at(0)
    world.run(until=HOUR)
    assert world.served() == ("crt of first", "key of first")


def test_long_after_the_certificate_has_ended_it_is_renewed(world: World) -> None:
    world.answers("first", "second", "not due")
    world.run(until=HOUR)
    world.at(400 * DAY)
    world.run(until=401 * DAY)
    assert world.served() == ("crt of second", "key of second")


def test_what_is_kept_is_for_nobody_else(world: World) -> None:
    world.run(until=HOUR)
    (own,) = (world.directory / "store" / "acme").iterdir()
    assert (own.stat().st_mode & 0o777, own.parent.stat().st_mode & 0o777) == (0o700, 0o700)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACME_EMAIL", ""), ("ACME_EMAIL", "ops"), ("ACME_EMAIL", "ops@"), ("ACME_EMAIL", "a b@c.d"),
        ("SERVER_NAME", ""), ("SERVER_NAME", " "), ("SERVER_NAME", "localhost"), ("SERVER_NAME", "shop.example,www"),
        ("SERVER_NAME", "192.0.2.1"), ("SERVER_NAME", "Shop.example"), ("SERVER_NAME", "*.shop.example"),
        ("SERVER_NAME", "shop.example nginx"), ("SERVER_NAME", "--help.example"), ("SERVER_NAME", "a.example\nb c"),
        ("ACME_SERVER", "production"), ("ACME_SERVER", "http://ca.example"), ("ACME_SERVER", "https://"),
        ("ACME_DNS", "Route 53"), ("ACME_DNS", "--help me"), ("TLS_CERT", "own.pem"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line(world: World, name: str, value: str) -> None:
    world.settings[name] = value
    result = world.run(until=HOUR)
    assert result.returncode == 2
    shown = re.sub(r"[^ -~]", "?", value)
    assert re.fullmatch(rf"{name}={re.escape(shown)}: not allowed; expected .+\n", result.stderr)
    assert world.asked() == []
