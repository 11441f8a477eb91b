"""How each secret of the stack is given another value. scripts/rotate.py lists them. Standard library only."""

import base64
import http.client
import json
import re
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from scripts import environment
from scripts.backup import RESTIC, kept
from scripts.commands import ROOT, checked, last_line, run, say, step

COMPOSE = ("docker", "compose", "--profile", "*")
SETUP = (*COMPOSE, "run", "--rm", "--no-deps", "--quiet-pull", "-T")
DOORS = (("operators", 9090), ("telemetry-door", 9428), ("mlflow-door", 5000))
"""The operators' doors, and a port of each behind which their password is asked for."""
EDGE_SECONDS = 60.0
"""Seconds, beyond TLS_CHECK_SECONDS, in which NGINX has to present another certificate."""
ISSUE_SECONDS = 900.0
"""Seconds in which a CA has to give one: as long as an attempt of docker/acme/start.sh takes."""
API_SECONDS = 10.0
"""Seconds in which the API has to know of another file of keys."""
KEY_LINE = re.compile(rb"(?P<owner>[A-Za-z0-9._-]{1,64}):(?P<key>[!-~]{16,256})")
"""As in api/privacy/keys.py."""
ASK_API = (
    "import sys, urllib.request as u, urllib.error as e\n"
    "r = u.Request('http://127.0.0.1:8000/api/v1/jobs', headers={'Authorization': 'Bearer ' + sys.stdin.read()})\n"
    "try: print(u.urlopen(r, timeout=10).status)\n"
    "except e.HTTPError as error: print(error.code)\n"
)


class RotateError(Exception):
    """What stops a rotation, for people."""


# ── what they have in common ─────────────────────────────────────────────────────────────────────────────────────────


def begin(service: str, file: str, value: str) -> tuple[str, str]:
    """Have a value's successor written beside it; one of a rotation that was cut off stays.

    Returns:
        Both.

    Raises:
        RotateError: there is no value yet.

    """
    told = run(*SETUP, service, "sh", "/etc/sightglass/rotate.sh", "begin", file, given=value)
    if told.returncode != 0:
        raise RotateError(f"{file}: cannot be read: {last_line(told.stderr)}")
    old, new = told.stdout.splitlines()
    if value and new != value:
        say("an earlier rotation was cut off: it comes first")
    return old, new


def end(service: str, file: str) -> None:
    """Put the successor in the place of the value."""
    checked(*SETUP, service, "sh", "/etc/sightglass/rotate.sh", "end", file, given="")


def running(service: str) -> bool:
    """Say whether a service has a container that runs."""
    return bool(run(*COMPOSE, "ps", "--quiet", "--status", "running", service).stdout.strip())


def port(service: str, inside: int) -> int:
    """Return the port of this machine at which a service is."""
    return int(checked(*COMPOSE, "port", service, str(inside)).rpartition(":")[2])


def answered(at: int, login: str, method: str = "GET", path: str = "/", body: object = None) -> int:
    """Ask something on this machine with a login; return the status.

    Raises:
        RotateError: it does not answer.

    """
    connection = http.client.HTTPConnection("127.0.0.1", at, timeout=30)
    headers = {
        "Authorization": "Basic " + base64.b64encode(login.encode()).decode(),
        "Content-Type": "application/json",
    }
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection.getresponse().status
    except OSError as error:
        raise RotateError(f"127.0.0.1:{at} does not answer: {error}") from None
    finally:
        connection.close()


def done(*, tried: str) -> None:
    """Say how it ended."""
    step(f"done: {tried}; the new one: make credentials")


# ── the operators' password ──────────────────────────────────────────────────────────────────────────────────────────


def operators(value: str) -> None:
    """Write another hash, which NGINX reads at each request: from one to the next, another password is right.

    Raises:
        RotateError: a door still takes the old one, or does not take the new one.

    """
    file = "/run/operators/password"
    new = ""
    while not new or (value and new != value):
        old, new = begin("setup", file, value)
        end("setup", file)
    doors = [door for door in DOORS if running(door[0])]
    if not doors:
        done(tried="no door runs, so neither was tried")
        return
    if environment.read("OPERATORS_ANONYMOUS").get("OPERATORS_ANONYMOUS") == "true":
        done(tried="OPERATORS_ANONYMOUS=true, so nobody is asked")
        return
    for service, inside in doors:
        at = port(service, inside)
        if answered(at, f"operator:{new}") == 401:
            raise RotateError(f"{service} does not take the new password")
        if old != new and answered(at, f"operator:{old}") != 401:
            raise RotateError(f"{service} still takes the old password")
    done(tried="the new password is taken, the old one is refused")


# ── Grafana's ────────────────────────────────────────────────────────────────────────────────────────────────────────


def grafana(value: str) -> None:
    """Tell Grafana, which keeps it in its database, as its administrator.

    Raises:
        RotateError: it does not run, or takes neither password.

    """
    if not running("grafana"):
        raise RotateError("Grafana does not run; expected make up before")
    file = "/run/credentials/grafana_admin_password"
    user = environment.read("GRAFANA_ADMIN_USER").get("GRAFANA_ADMIN_USER") or "admin"
    at = port("operators", 3000)
    new = ""
    while not new or (value and new != value):
        old, new = begin("setup", file, value)
        tell_grafana(at, user, old, new)
        end("setup", file)
    done(tried="the new password is taken, the old one is refused")


def tell_grafana(at: int, user: str, old: str, new: str) -> None:
    """Have the administrator's password be the new one, whichever of the two it is; the old one must be refused then.

    Raises:
        RotateError: it is neither, or still the old one.

    """
    if answered(at, f"{user}:{old}", path="/api/user") == 200:
        change = {"oldPassword": old, "newPassword": new, "confirmNew": new}
        status = answered(at, f"{user}:{old}", "PUT", "/api/user/password", change)
        if status != 200:
            raise RotateError(f"Grafana does not take the new password: {status}; the old one stays")
    if answered(at, f"{user}:{new}", path="/api/user") != 200:
        raise RotateError(
            f"Grafana takes neither the password that is kept nor its successor for {user}: somebody changed it there; "
            "docker compose exec grafana grafana cli admin reset-admin-password sets it to what make credentials shows"
        )
    if old != new and answered(at, f"{user}:{old}", path="/api/user") == 200:
        raise RotateError("Grafana still takes the old password")


# ── the edge's key ───────────────────────────────────────────────────────────────────────────────────────────────────


def tls(_value: str) -> None:
    """Have another key and certificate: self-signed ones are made, a CA's are got, those of TLS_CERT read again.

    Raises:
        RotateError: the edge goes on with the old ones.

    """
    if not running("nginx"):
        raise RotateError("NGINX does not run; expected make up before")
    given = environment.read("TLS_CERT", "ACME_EMAIL", "SERVER_NAME", "TLS_CHECK_SECONDS")
    before = digest_of_key()
    patience = 0.0
    if given.get("TLS_CERT"):
        checked(*SETUP, "setup", given="")
        same = "the key is the one that is served; expected new files where TLS_CERT and TLS_KEY point"
    elif given.get("ACME_EMAIL"):
        if not running("lego"):
            raise RotateError("lego does not run; expected make up before")
        step("asking the CA")
        checked(*COMPOSE, "exec", "-T", "lego", "sh", "-c", "touch /var/tmp/acme/again")
        checked(*COMPOSE, "restart", "lego")
        patience, same = ISSUE_SECONDS, "the CA gave no certificate yet, and is asked again: docker compose logs lego"
    else:
        checked(*SETUP, "setup", "sh", "/etc/sightglass/setup.sh", "another-certificate", given="")
        same = "the certificate is not one that was made here; expected TLS_CERT and TLS_KEY, or ACME_EMAIL"
    wait(lambda: digest_of_key() != before, patience, same)
    step("waiting until NGINX has it")
    name = (given.get("SERVER_NAME") or "localhost").split()[0]
    at = port("nginx", 8443)
    patience = float(given.get("TLS_CHECK_SECONDS") or 10) + EDGE_SECONDS
    wait(
        lambda: presented(at, name) == certificate(),
        patience,
        "NGINX goes on with the old certificate: docker compose logs nginx",
    )
    step("done: the edge presents the new certificate")


def digest_of_key() -> str:
    """Return what tells one key from another."""
    return checked(*COMPOSE, "exec", "-T", "nginx", "sha256sum", "/run/tls/tls.key")


def certificate() -> bytes:
    """Return the certificate that is in the volume, in DER."""
    pem = checked(*COMPOSE, "exec", "-T", "nginx", "cat", "/run/tls/tls.crt")
    return ssl.PEM_cert_to_DER_cert(pem[: pem.index("-----END CERTIFICATE-----") + 25])


def presented(at: int, name: str) -> bytes | None:
    """Return the certificate that a client is shown now; None where there is no answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # which it is, is asked, not whether to trust it
    try:
        with (
            socket.create_connection(("127.0.0.1", at), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
        ):
            return connection.getpeercert(binary_form=True)
    except OSError:
        return None


def wait(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait until something holds.

    Raises:
        RotateError: it does not, in these seconds.

    """
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise RotateError(otherwise)
        time.sleep(0.5)


def acme_account(_value: str) -> None:
    """Tell the CA of another key of the account (docker/acme/account.py); lego is not at work meanwhile.

    Raises:
        RotateError: the CA does not take it, or there is no account.

    """
    if not environment.read("ACME_EMAIL").get("ACME_EMAIL"):
        raise RotateError("there is no ACME account: ACME_EMAIL is not set")
    at_work = running("lego")
    if at_work:
        checked(*COMPOSE, "stop", "lego")
    try:
        told = run(*SETUP, "acme-account", given="")
    finally:
        if at_work:
            checked(*COMPOSE, "start", "lego")
    if told.returncode != 0:
        raise RotateError(last_line(told.stderr).removeprefix("acme: "))
    step(f"done: {last_line(told.stdout)}")


# ── API keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def api_keys(owner: str, value: str, *, withdraw: bool) -> None:
    """Add a key of the owner's to the file, or take all but the newest away.

    The file stays the same one, which the API's containers have mounted, and at no moment lacks another's line: a line
    is added by one write, and withdrawn by one that puts a comment of the same length over it.

    Raises:
        RotateError: there is no such file, or the owner has as many keys as that needs.

    """
    name = environment.read("API_KEYS_FILE").get("API_KEYS_FILE")
    if not name:
        raise RotateError("there are no API keys: API_KEYS_FILE is not set")
    file = ROOT / Path(name).expanduser()
    try:
        if withdraw:
            old, new = withdraw_keys(file, owner)
        else:
            old, new = [], add_key(file, owner, value)
    except OSError as error:
        raise RotateError(f"API_KEYS_FILE={name}: {error.strerror}") from None
    replicas = checked(*COMPOSE, "ps", "--quiet", "--status", "running", "api").split()
    for replica in replicas:
        wait(lambda: status_for(replica, new) == "200", API_SECONDS, "the API does not take the new key: make logs")  # noqa: B023
        for one in old:
            wait(lambda: status_for(replica, one) == "401", API_SECONDS, "the API still takes the old key")  # noqa: B023
    tried = "the API was not asked, as it does not run" if not replicas else "the API takes it"
    if withdraw:
        tried = "the API refuses them, and takes the newest" if replicas else tried
        step(f"done: {len(old)} of {owner} withdrawn; {tried}")
        return
    step(f"done: {tried}. The older ones are right until: make rotate SECRET=api-keys OWNER={owner} WITHDRAW=1")
    print(f"{owner}:{new}")


def keys_of(content: bytes, owner: str) -> list[tuple[int, bytes]]:
    """Return where each line of an owner's begins, and its key."""
    found, place = [], 0
    for line in content.split(b"\n"):
        match = KEY_LINE.fullmatch(line.removesuffix(b"\r"))
        if match and match["owner"].decode() == owner:
            found.append((place, match["key"]))
        place += len(line) + 1
    return found


def add_key(file: Path, owner: str, value: str) -> str:
    """Add a key, unless the owner has two: the older is to be withdrawn first.

    Returns:
        The key.

    Raises:
        RotateError: the owner has two, or has this one.
        OSError: the file cannot be read or written.

    """
    content = file.read_bytes()
    present = [key for _, key in keys_of(content, owner)]
    if len(present) > 1:
        raise RotateError(f"{owner} has {len(present)} keys; expected WITHDRAW=1 first, which keeps the newest")
    if value.encode() in present:
        raise RotateError(f"{owner} has this key already")
    key = value or secrets.token_urlsafe(32)
    start = b"" if content.endswith(b"\n") or not content else b"\n"
    with file.open("ab", buffering=0) as opened:
        opened.write(start + f"{owner}:{key}\n".encode())
    return key


def withdraw_keys(file: Path, owner: str) -> tuple[list[str], str]:
    """Put comments over all of an owner's keys but the last.

    Returns:
        Those, and the one that stays.

    Raises:
        RotateError: there are no two.
        OSError: the file cannot be read or written.

    """
    found = keys_of(file.read_bytes(), owner)
    if len(found) < 2:
        raise RotateError(f"{owner} has {'one key' if found else 'no key'}; expected two, of which the newest stays")
    with file.open("r+b", buffering=0) as opened:
        for place, key in found[:-1]:
            comment = f"# {owner}: withdrawn {datetime.now(UTC):%Y-%m-%d}"
            length = len(owner) + 1 + len(key)
            opened.seek(place)
            opened.write(comment.encode()[:length].ljust(length))
    return [key.decode() for _, key in found[:-1]], found[-1][1].decode()


def status_for(replica: str, key: str) -> str:
    """Return what a replica of the API answers a key."""
    command = ("sh", "-c", 'PATH=/opt/sightglass:$PATH exec python -c "$0"', ASK_API)
    return run("docker", "exec", "--interactive", replica, *command, given=key).stdout.strip()


# ── passwords of what keeps data ─────────────────────────────────────────────────────────────────────────────────────


def valkey(value: str) -> None:
    """Have Valkey take both until the new one is in the file, which is read at each new connection.

    Raises:
        RotateError: Valkey takes other passwords than those that are kept.

    """
    file = "/run/valkey/password"
    asks = running("valkey")
    new = ""
    while not new or (value and new != value):
        old, new = begin("setup", file, value)
        if asks and run(*IN_VALKEY, "both").returncode != 0:
            raise RotateError("Valkey takes neither password that is kept; docker compose restart valkey mends that")
        end("setup", file)
        if asks and run(*IN_VALKEY, "new").returncode != 0:
            raise RotateError("Valkey does not leave the old password; docker compose restart valkey mends that")
    if not asks:
        done(tried="Valkey does not run, so neither was tried")
        return
    if run(*IN_VALKEY, "opens", given=f"{new}\n").returncode != 0:
        raise RotateError("Valkey does not take the new password")
    if old != new and run(*IN_VALKEY, "opens", given=f"{old}\n").returncode == 0:
        raise RotateError("Valkey still takes the old password")
    step("done: the new password is taken, the old one is refused")


IN_VALKEY = (*COMPOSE, "exec", "-T", "valkey", "sh", "/etc/sightglass/valkey/rotate.sh")


def backup(value: str) -> None:
    """Have the repository take both until the new one is kept (docker/backup/rotate.sh).

    Raises:
        RotateError: there is no repository, or it does not answer.

    """
    if not kept():
        raise RotateError("there is no backup yet; expected make backup before")
    told = run(*RESTIC, "rotate", given=value)
    if told.returncode != 0:
        raise RotateError(last_line(told.stderr).removeprefix("backup: "))
    done(tried=last_line(told.stdout).removeprefix("backup: "))
    say("Keep it elsewhere: without it nobody can read any backup, older ones included")


def mlflow_db(value: str) -> None:
    """Tell PostgreSQL, then MLflow, by the file that it reads at each new connection; those there are stay.

    Raises:
        RotateError: the database is elsewhere, or does not take it.

    """
    given = environment.read("MLFLOW_DB_HOST", "MLFLOW_DB_PASSWORD_FILE")
    if given.get("MLFLOW_DB_HOST"):
        raise RotateError(
            "MLFLOW_DB_HOST: the database is not the stack's; change it there, then MLFLOW_DB_PASSWORD_FILE"
        )
    if not running("postgres") or not running("mlflow"):
        raise RotateError("MLflow and its PostgreSQL do not run; expected make up before")
    if named := given.get("MLFLOW_DB_PASSWORD_FILE"):
        if value:
            raise RotateError(f"MLFLOW_DB_PASSWORD_FILE={named} is where the password comes from; expected no FILE")
        value = (ROOT / Path(named).expanduser()).read_text().strip()
    role("mlflow", "mlflow-setup", value, lambda: checked(*COMPOSE, "exec", "-T", "mlflow", "sh", "-c", PGPASS))


def jobs_db(value: str) -> None:
    """Tell PostgreSQL; the API and the job processes try the file's password and its successor's until it is there.

    Raises:
        RotateError: the database is elsewhere, or does not take it.

    """
    url = environment.read("DATABASE_URL").get("DATABASE_URL")
    if not url:
        raise RotateError("jobs are in no database: DATABASE_URL is not set")
    try:
        server = urlsplit(url)
    except ValueError:
        raise RotateError("DATABASE_URL: not an address") from None
    if server.password is not None:
        raise RotateError("DATABASE_URL has the password in it; expected one of the stack's database, or of a file")
    if server.hostname != "postgres":
        raise RotateError(
            "DATABASE_URL: the database is not the stack's; change it there while database.next is in STATE_SECRETS_DIR"
        )
    if server.username != "sightglass":
        raise RotateError("DATABASE_URL: another user than the jobs' own; expected postgresql://sightglass@postgres/…")
    if not running("postgres"):
        raise RotateError("PostgreSQL does not run; expected the profile postgres to be up")
    role("sightglass", "postgres-setup", value, restart_exporter)


def restart_exporter() -> None:
    """Have the database's exporter read the password, as it does at its start alone."""
    if running("database-exporter"):
        checked(*COMPOSE, "restart", "database-exporter")


def role(name: str, setup: str, value: str, tell: Callable[[], object]) -> None:
    """Give a role of the stack's PostgreSQL another password, which a service's volume has, and tell who else reads it.

    Raises:
        RotateError: PostgreSQL does not take it, or still takes the old one.

    """
    file = f"/run/credentials/{name}"
    new = ""
    while not new or (value and new != value):
        old, new = begin(setup, file, value)
        alter(name, new)
        end(setup, file)
        tell()
    if not opens_postgres(name, new):  # started again before the file had it, it has taken the old one from there
        alter(name, new)
    if not opens_postgres(name, new):
        raise RotateError("PostgreSQL does not take the new password")
    if old != new and opens_postgres(name, old):
        raise RotateError("PostgreSQL still takes the old password")
    step("done: the new password is taken, the old one is refused")


IN_POSTGRES = (*COMPOSE, "exec", "-T", "postgres", "sh", "-c")
PGPASS = (
    r"umask 077; printf '*:*:*:*:%s\n' "
    r""" "$(sed 's/[\\:]/\\&/g' /run/mlflow/mlflow)" >/tmp/pgpass.new && mv /tmp/pgpass.new /tmp/pgpass"""
)
"""As docker/mlflow/start.sh does."""


def alter(name: str, password: str) -> None:
    """Tell PostgreSQL a role's password, by standard input: the command line is for all to see."""
    quoted = password.replace("'", "''")
    checked(
        *IN_POSTGRES,
        "psql --set=ON_ERROR_STOP=1 --quiet --username=postgres",
        given=f"ALTER ROLE {name} PASSWORD '{quoted}';",
    )


def opens_postgres(name: str, password: str) -> bool:
    """Say whether PostgreSQL takes a password for a role."""
    psql = f"psql --no-psqlrc --quiet --host=127.0.0.1 --username={name} -c 'SELECT 1'"
    ask = f"IFS= read -r PGPASSWORD; export PGPASSWORD; {psql}"
    return run(*IN_POSTGRES, ask, given=f"{password}\n").returncode == 0
