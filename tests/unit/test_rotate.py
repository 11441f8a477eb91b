"""Secrets are given other values in steps, and cut off at any of them the next run goes on from there."""

import base64
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from copy import copy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from api.privacy.jobs import queue
from api.privacy.keys import ApiKeys
from api.problem import ProblemError
from scripts import rotate, rotating
from scripts.rotating import RotateError

ROOT = Path(__file__).resolve().parents[2]
DAY = 86400


# ── what is asked for ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def given(tmp_path: Path) -> Path:
    file = tmp_path / "value"
    file.write_text("a-value-of-a-vault's\n".replace("'", "-"))
    return file


@pytest.mark.parametrize(
    ("secret", "owner", "withdraw", "expected"),
    [
        ("grafanas", "", False, "SECRET=grafanas: not allowed; expected one of operators, grafana, "),
        ("a\nb", "", False, "SECRET=a?b: not allowed; expected one of "),
        ("api-keys", "", False, "OWNER=: not allowed; expected whose API key: "),
        ("api-keys", "an owner", False, "OWNER=an owner: not allowed; expected whose API key: "),
        ("api-keys", "a:b", True, "OWNER=a:b: not allowed; expected whose API key: "),
        ("grafana", "anna", False, "OWNER=anna: not allowed; expected nothing: it is of api-keys"),
        ("grafana", "", True, "WITHDRAW=1: not allowed; expected nothing: it is of api-keys"),
        ("", "anna", False, "OWNER=anna: not allowed; "),
    ],
)
def test_what_is_not_understood_is_one_line(secret: str, owner: str, withdraw: bool, expected: str) -> None:
    line = rotate.problem(secret, "", owner, withdraw=withdraw)
    assert line is not None
    assert line.startswith(expected)
    assert "\n" not in line


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"short", b"x" * 129, b"with a space in it", b"two-lines-of-it-\nare-two-too-many", b"quote'd-quote'd",
     b"dollar$dollar$dollar", b"\xff" * 20, b"back\\slash\\back\\slash"],
)  # fmt: skip
def test_a_value_that_would_need_quoting_somewhere_is_refused_unseen(given: Path, content: bytes) -> None:
    given.write_bytes(content)
    line = rotate.problem("grafana", str(given), "", withdraw=False)
    allowed = "a file of one line, 16 to 128 letters, digits and . _ ~ + / = @ % : , -"
    assert line == f"FILE={given}: not allowed; expected {allowed}"


def test_a_value_may_be_given_in_a_file(given: Path, tmp_path: Path) -> None:
    assert rotate.problem("grafana", str(given), "", withdraw=False) is None
    assert rotate.read(str(given)) == "a-value-of-a-vault-s"
    for secret in ("tls", "acme-account", ""):
        assert str(rotate.problem(secret, str(given), "", withdraw=False)).startswith(f"FILE={given}: not allowed")
    assert "expected a file" in str(rotate.problem("grafana", str(tmp_path / "none"), "", withdraw=False))
    assert "none with WITHDRAW=1" in str(rotate.problem("api-keys", str(given), "anna", withdraw=True))


def test_the_program_says_it_and_does_nothing() -> None:
    command = [sys.executable, str(ROOT / "scripts/rotate.py"), "grafanas"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1


def test_every_secret_is_listed_with_its_age() -> None:
    table = rotate.table({"operators": 0.0, "tls": 400.0 * DAY, "backup": 1000.0 * DAY}, 400.9 * DAY).splitlines()
    assert [line.split()[0] for line in table] == ["SECRET", *rotate.SECRETS]
    rows = {line.split()[0]: line for line in table}
    assert rows["operators"].endswith("  nothing   400 days")
    assert rows["tls"].endswith("  0 days")
    assert rows["backup"].endswith("  0 days")  # a clock that was ahead
    assert rows["grafana"].endswith("  not in use")


def test_every_secret_has_its_row_in_the_documents() -> None:
    page = (ROOT / "docs" / "secrets.md").read_text()
    for name, secret in rotate.SECRETS.items():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert [cell.strip() for cell in row.strip("|").split("|")][1:4] == [
            secret.readers, secret.overlap, secret.restart,
        ]  # fmt: skip
    assert set(rotate.SECRETS) == {*rotate.ROTATIONS, "api-keys"}


# ── a value and its successor ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def operators(tmp_path: Path) -> Path:
    file = tmp_path / "operators" / "password"
    file.parent.mkdir()
    file.write_text("old-old-old-old-")
    return file


def in_volume(what: str, file: Path, value: str = "") -> list[str]:
    command = ["sh", str(ROOT / "docker/rotate.sh"), what, str(file)]
    return subprocess.run(command, input=value, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_successor_is_made_beside_and_kept_until_it_is_in_force(operators: Path) -> None:
    old, new = in_volume("begin", operators)
    assert (old, len(new)) == ("old-old-old-old-", 48)
    assert in_volume("begin", operators, "another-value-by-now") == [old, new]  # the first was cut off here
    assert operators.read_text() == old
    in_volume("end", operators)
    assert operators.read_text() == new
    assert sorted(path.name for path in operators.parent.iterdir()) == ["htpasswd", "password"]
    assert (operators.stat().st_mode & 0o777, operators.with_name("htpasswd").stat().st_mode & 0o777) == (0o600, 0o644)
    in_volume("end", operators)  # nothing
    assert operators.read_text() == new


def test_the_hash_is_the_successors(operators: Path) -> None:
    in_volume("begin", operators, "of-a-vault-of-mine")
    in_volume("end", operators)
    user, _, kept = operators.with_name("htpasswd").read_text().strip().partition(":")
    salt = kept.split("$")[2]
    command = ["openssl", "passwd", "-5", "-salt", salt, "of-a-vault-of-mine"]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (user, kept) == ("operator", made.strip())


def test_a_password_that_others_read_is_readable(tmp_path: Path) -> None:
    file = tmp_path / "grafana_admin_password"
    file.write_text("old")
    in_volume("begin", file)
    assert (tmp_path / "grafana_admin_password.next").stat().st_mode & 0o777 == 0o644


# ── the backups' ─────────────────────────────────────────────────────────────────────────────────────────────────────

# A repository's keys are files, named by their ids, with a password each. At its turn in `cut` it is killed, and who
# called it with it (the process group): before it did anything, or afterwards.
RESTIC = """#!/bin/sh
[ "$1" != -o ] || shift 2
turn=$(($(cat "$WORLD/turn") + 1)) && echo $turn >"$WORLD/turn"
cut() { [ "$turn $1" != "$(cat "$WORLD/cut" 2>/dev/null)" ] || kill -KILL 0; }
cut before
key() { grep -lx "$(cat "$RESTIC_PASSWORD_FILE")" "$WORLD"/keys/* | head -n 1; }
own=$(key)
[ -n "$own" ] || { cut after; exit 12; }
case "$1 $2" in
"cat config" | "unlock --quiet") ;;
"key add") for last; do :; done; printf '%s\\n' "$(cat "$last")" >"$WORLD/keys/$(printf '%08x' $turn)" ;;
"key list")
    separator='['
    for file in "$WORLD"/keys/*; do
        [ "$file" = "$own" ] && current=true || current=false
        printf '%s{"current":%s,"id":"%s","userName":"root"}' "$separator" $current "${file##*/}"
        separator=,
    done
    echo ']' ;;
"key remove") for last; do :; done; [ "$WORLD/keys/$last" != "$own" ] && rm "$WORLD/keys/$last" ;;
*) exit 1 ;;
esac
cut after
"""


class Repository:
    """A repository of backups and the volume with its password."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name in ("keys", "bin", "own", "scripts"):
            (directory / name).mkdir()
        (directory / "bin/restic").write_text(RESTIC)
        (directory / "bin/timeout").write_text('#!/bin/sh\nshift 3\nexec "$@"\n')  # of no group of its own
        for program in (directory / "bin").iterdir():
            program.chmod(0o755)
        (directory / "keys/0000aaaa").write_text("old-password\n")
        (directory / "keys/0000bbbb").write_text("of-a-colleague\n")
        (directory / "own/password").write_text("old-password")
        shutil.copy(ROOT / "docker/whole.sh", directory)
        for name in ("repository.sh", "rotate.sh"):
            text = (ROOT / "docker/backup" / name).read_text().replace("own=/var/lib/backup", f"own={directory}/own")
            (directory / "scripts" / name).write_text(text.replace("/tmp/said", f"{directory}/said"))

    def rotate(self, cut: str = "", value: str = "") -> subprocess.CompletedProcess[str]:
        (self.directory / "turn").write_text("0")
        (self.directory / "cut").write_text(cut)
        path = f"{self.directory}/bin:/usr/bin:/bin"
        environment = {"PATH": path, "WORLD": str(self.directory), "RESTIC_REPOSITORY": "/backups"}
        command = ["sh", str(self.directory / "scripts/rotate.sh")]
        return subprocess.run(
            command, input=value, env=environment, capture_output=True, text=True, check=False, timeout=60,
            start_new_session=True,
        )  # fmt: skip

    @property
    def password(self) -> str:
        return (self.directory / "own/password").read_text()

    @property
    def opening(self) -> set[str]:
        return {path.read_text().strip() for path in (self.directory / "keys").iterdir()}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_the_new_password_opens_the_repository_and_the_old_one_does_not(repository: Repository) -> None:
    result = repository.rotate()
    assert result.returncode == 0, result.stderr
    assert result.stdout == "backup: the new password opens the repository, the old one does not\n"
    assert len(repository.password) == 48
    assert repository.opening == {repository.password, "of-a-colleague"}
    assert {path.name for path in (repository.directory / "own").iterdir()} == {"password", "lock", "places"}
    assert repository.rotate(value="of-a-vault-of-mine").returncode == 0
    assert repository.opening == {"of-a-vault-of-mine", "of-a-colleague"}


TURNS = 9
"""Times a rotation calls restic."""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("turn", range(1, TURNS + 2))
def test_cut_off_anywhere_the_kept_password_opens_it_and_the_next_run_ends_it(
    repository: Repository, turn: int, moment: str
) -> None:
    result = repository.rotate(cut=f"{turn} {moment}")
    assert repository.password in repository.opening
    assert (result.returncode == 0) == (turn > TURNS)
    assert repository.rotate().returncode == 0
    assert repository.password != "old-password"
    assert repository.opening == {repository.password, "of-a-colleague"}
    assert {path.name for path in (repository.directory / "own").iterdir()} == {"password", "lock", "places"}


AGAIN = 'Stat(<config/>) returned error, retrying after 1.2s: Get "http://s3:1/": dial tcp: no such host'


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("echo 'Fatal: no route to host' >&2; exit 1", "Fatal: no route to host"),
        (f"echo '{AGAIN}' >&2; echo 'Fatal: context canceled' >&2; exit 124",
         'no answer within 60 s: Get "http://s3:1/": dial tcp: no such host'),
        ("exit 124", "no answer within 60 s"),  # GNU's timeout
        ("exit 143", "no answer within 60 s"),  # BusyBox's
        ("exit 130", "no answer within 60 s"),  # the same, of a restic that says itself why it ends
        ("exit 137", "no answer within 60 s"),  # either's, of one that did not end by SIGTERM
    ],
    ids=["refused", "tried again and again", "given up", "given up by busybox", "given up and told", "killed"],
)  # fmt: skip
def test_a_repository_that_does_not_answer_changes_nothing(repository: Repository, does: str, said: str) -> None:
    (repository.directory / "bin/restic").write_text(f"#!/bin/sh\n{does}\n")
    result = repository.rotate()
    assert result.returncode == 1
    assert result.stderr == f"backup: the repository /backups does not answer: {said}\n"
    assert repository.password == "old-password"


def test_what_does_not_answer_is_given_up_after_a_minute(repository: Repository) -> None:
    (repository.directory / "bin/timeout").write_text('#!/bin/sh\necho "$*" >&3\nexit 124\n')
    asked = repository.directory / "asked"
    script = repository.directory / "scripts/rotate.sh"
    script.write_text(f"exec 3>{asked}\n{script.read_text()}")
    assert repository.rotate().returncode == 1
    assert [line.split()[:4] for line in asked.read_text().splitlines()] == [["-k", "10", "60", "restic"]]


# ── Grafana's ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Grafana(ThreadingHTTPServer):
    """What of Grafana a rotation asks; `dies` is whether it is gone after the change, unanswered."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), GrafanaHandler)
        self.password = "old-password"
        self.dies = False


class GrafanaHandler(BaseHTTPRequestHandler):
    server: Grafana

    def do_GET(self) -> None:
        self.answer(200 if self.allowed() and self.path == "/api/user" else 401)

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.allowed() or self.path != "/api/user/password" or body["oldPassword"] != self.server.password:
            return self.answer(401)
        assert body["newPassword"] == body["confirmNew"]
        self.server.password = body["newPassword"]
        return None if self.server.dies else self.answer(200)

    def allowed(self) -> bool:
        login = base64.b64encode(f"admin:{self.server.password}".encode()).decode()
        return self.headers["Authorization"] == f"Basic {login}"

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    with Grafana() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()


def test_grafana_is_told_and_refuses_the_old_one(grafana: Grafana) -> None:
    rotating.tell_grafana(grafana.server_port, "admin", "old-password", "new-password")
    assert grafana.password == "new-password"
    rotating.tell_grafana(
        grafana.server_port, "admin", "old-password", "new-password"
    )  # the first was cut off after it
    assert grafana.password == "new-password"


def test_an_answer_that_was_lost_is_no_loss(grafana: Grafana) -> None:
    grafana.dies = True
    with pytest.raises(RotateError, match="does not answer"):
        rotating.tell_grafana(grafana.server_port, "admin", "old-password", "new-password")
    grafana.dies = False
    rotating.tell_grafana(grafana.server_port, "admin", "old-password", "new-password")
    assert grafana.password == "new-password"


def test_what_somebody_changed_in_grafana_is_said(grafana: Grafana) -> None:
    grafana.password = "of somebody's own"
    with pytest.raises(RotateError, match="takes neither the password that is kept nor its successor for admin"):
        rotating.tell_grafana(grafana.server_port, "admin", "old-password", "new-password")
    assert grafana.password == "of somebody's own"


# ── API keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────

ANNA, BERT = "anna-key-0123456789", "bert-key-0123456789"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "keys"
    file.write_text(f"# who may\nann:{BERT}-2\nanna:{ANNA}\nbert:{BERT}")  # no newline at the end
    return file


def test_a_key_is_added_and_the_older_withdrawn_in_the_same_file(keys: Path) -> None:
    inode = keys.stat().st_ino
    new = rotating.add_key(keys, "anna", "")
    assert keys.read_text().splitlines()[1:] == [f"ann:{BERT}-2", f"anna:{ANNA}", f"bert:{BERT}", f"anna:{new}"]
    with pytest.raises(RotateError, match="anna has 2 keys; expected WITHDRAW=1 first"):
        rotating.add_key(keys, "anna", "")
    size = keys.stat().st_size
    assert rotating.withdraw_keys(keys, "anna") == ([ANNA], new)
    assert (keys.stat().st_ino, keys.stat().st_size) == (inode, size)
    lines = keys.read_text().splitlines()
    assert lines[2].startswith("# anna: withdrawn 2")
    assert [line for line in lines if not line.startswith("#")] == [f"ann:{BERT}-2", f"bert:{BERT}", f"anna:{new}"]
    with pytest.raises(RotateError, match="anna has one key; expected two"):
        rotating.withdraw_keys(keys, "anna")
    with pytest.raises(RotateError, match="carl has no key; expected two"):
        rotating.withdraw_keys(keys, "carl")


def test_a_new_owner_and_a_given_key(keys: Path) -> None:
    assert rotating.add_key(keys, "carl", "a-key-of-a-vaults") == "a-key-of-a-vaults"
    with pytest.raises(RotateError, match="carl has this key already"):
        rotating.add_key(keys, "carl", "a-key-of-a-vaults")


def test_the_shortest_line_and_windows_ends(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(b"a:0123456789abcdef\r\nb:0123456789abcdefg\r\na:fedcba9876543210\r\n")
    assert rotating.withdraw_keys(file, "a") == (["0123456789abcdef"], "fedcba9876543210")
    assert file.read_bytes().split(b"\n")[1:] == [b"b:0123456789abcdefg\r", b"a:fedcba9876543210\r", b""]
    assert ApiKeys(file).owner("Bearer fedcba9876543210") == "a"


def test_no_request_fails_while_keys_change(keys: Path) -> None:
    """The API reads the file whenever it likes: what somebody has changed over to is right each time."""
    known = {"bert": BERT, "anna": ANNA}
    failures: list[str] = []
    stop = threading.Event()
    asked = [0]

    def ask() -> None:
        readers = [ApiKeys(keys) for _ in range(4)]
        while not stop.is_set():
            for owner, key in list(known.items()):
                try:
                    assert readers[asked[0] % 4].owner(f"Bearer {key}") == owner
                except (AssertionError, ProblemError) as error:
                    failures.append(f"{owner}: {error!r}")
                asked[0] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(100):
            before = known["anna"]
            known["anna"] = rotating.add_key(keys, "anna", "")
            seen = asked[0]
            while asked[0] < seen + 4 and thread.is_alive() and not failures:  # the client has changed over
                time.sleep(0)
            assert rotating.withdraw_keys(keys, "anna") == ([before], known["anna"])
    finally:
        stop.set()
        thread.join()
    assert failures == []
    with pytest.raises(ProblemError):
        ApiKeys(keys).owner(f"Bearer {ANNA}")


# ── the queue's ──────────────────────────────────────────────────────────────────────────────────────────────────────


def credentials(url: str) -> object:
    connection: Any = queue.pool(url).make_connection()
    provider = connection.credential_provider
    return provider.get_credentials() if provider else connection.password


def test_the_stacks_own_valkey_has_its_password_in_a_file_that_is_read_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    monkeypatch.setattr(queue, "PASSWORD", file)
    assert credentials("redis://valkey:6379/0") is None  # an older stack's
    file.write_text("one")
    assert credentials("redis://valkey:6379/0") == ("one",)
    file.write_text("another")
    assert credentials("redis://valkey/1") == ("another",)
    for url, expected in (
        ("redis://redis:6379/0", None), ("redis://:own@valkey:6379/0", "own"), ("redis://valkey.example/0", None),
        ("unix:///run/valkey", None), ("rediss://:own@shop.example", "own"),
    ):  # fmt: skip
        assert credentials(url) == expected


# ── the ACME account's ───────────────────────────────────────────────────────────────────────────────────────────────

spec = importlib.util.spec_from_file_location("account", ROOT / "docker/acme/account.py")
assert spec is not None
assert spec.loader is not None
account = importlib.util.module_from_spec(spec)
spec.loader.exec_module(account)


class Ca:
    """A CA with one account; `turns` are its answers until it is gone."""

    def __init__(self, key: dict[str, str]) -> None:
        self.known = key
        self.turns = 100
        self.loses_the_answer = False
        self.addresses = {"newAccount": "https://ca.example/new", "keyChange": "https://ca.example/change"}

    def answer(self) -> None:
        self.turns -= 1
        if self.turns < 0:
            raise account.AccountError("the CA does not answer")

    def account(self, key: Any) -> str | None:
        self.answer()
        return "https://ca.example/acct/1" if key.jwk == self.known else None

    def post(self, what: str, key: Any, inner: dict[str, str], **header: Any) -> tuple[int, dict[str, str], None]:
        assert (what, header) == ("keyChange", {"kid": "https://ca.example/acct/1"})
        said = {name: json.loads(decoded(inner[name])) for name in ("protected", "payload")}
        assert said["protected"]["url"] == self.addresses["keyChange"]
        assert said["payload"] == {"account": header["kid"], "oldKey": self.known}
        assert key.jwk == self.known
        verify(inner, said["protected"]["jwk"])
        if not self.loses_the_answer:
            self.answer()
        self.known = said["protected"]["jwk"]
        if self.loses_the_answer:
            raise account.AccountError("the CA does not answer")
        return 200, {}, None


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify(jws: dict[str, str], jwk: dict[str, str]) -> None:
    """Raise InvalidSignature unless it is of this key."""
    x, y = (int.from_bytes(decoded(jwk[name])) for name in "xy")
    signature = decoded(jws["signature"])
    assert len(signature) == 64
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public.verify(
        encode_dss_signature(r, s), f"{jws['protected']}.{jws['payload']}".encode(), ec.ECDSA(hashes.SHA256())
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """As lego keeps an account."""
    own = tmp_path / "1-2" / "accounts" / "ca.example" / "ops@shop.example"
    (own / "keys").mkdir(parents=True)
    key = account.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout")
    (own / "keys" / "ops@shop.example.key").write_bytes(key)
    (own / "account.json").write_text(json.dumps({"registration": {"uri": "https://ca.example/acct/1"}}))
    return tmp_path


def key_of(store: Path) -> dict[str, str]:
    (file,) = store.rglob("*.key")
    jwk: dict[str, str] = account.Key(file).jwk
    return jwk


def test_the_ca_knows_the_accounts_new_key_and_not_the_old_one(store: Path) -> None:
    old = key_of(store)
    ca = Ca(old)
    account.rotate(store, "ops@shop.example", ca)
    assert ca.known == key_of(store) != old
    assert [path.name for path in store.rglob("keys/*")] == ["ops@shop.example.key"]
    assert [path.stat().st_mode & 0o777 for path in store.rglob("keys/*")] == [0o600]


@pytest.mark.parametrize("loses_the_answer", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_a_ca_that_goes_away_at_any_moment_is_told_once(store: Path, turns: int, loses_the_answer: bool) -> None:
    old = key_of(store)
    ca = Ca(old)
    ca.turns, ca.loses_the_answer = turns, loses_the_answer
    with pytest.raises(account.AccountError, match="does not answer"):
        account.rotate(store, "ops@shop.example", ca)
    assert key_of(store) == old
    ca.turns, ca.loses_the_answer = 100, False
    account.rotate(store, "ops@shop.example", ca)
    assert ca.known == key_of(store) != old


def test_another_cas_account_and_another_address_are_left_alone(store: Path) -> None:
    ca = Ca(key_of(store))
    elsewhere = copy(ca)
    elsewhere.addresses = {"newAccount": "https://other.example/new"}
    for address, asked in (("ops@shop.example", elsewhere), ("other@shop.example", ca)):
        with pytest.raises(account.AccountError, match="there is no account at this CA yet"):
            account.rotate(store, address, asked)
    assert key_of(store) == ca.known


def test_a_key_of_another_kind_is_refused(store: Path) -> None:
    (file,) = store.rglob("*.key")
    file.write_bytes(account.openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout"))
    with pytest.raises(account.AccountError, match="another kind than EC P-256"):
        account.Key(file)


def test_every_signature_is_64_bytes(store: Path) -> None:
    """The two numbers of a signature may be shorter in DER, or longer by a sign."""
    (file,) = store.rglob("*.key")
    key = account.Key(file)
    for number in range(40):
        verify(key.sign({"number": number}, url="https://ca.example"), key.jwk)
    assert account.raw(bytes.fromhex("3006020101020200ff")) == b"\0" * 31 + b"\1" + b"\0" * 31 + b"\xff"
