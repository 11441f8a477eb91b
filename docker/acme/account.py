"""Gives the ACME account another key (RFC 8555, section 7.3.5), and tries the old one, which the CA must refuse.

The new key lies beside the old one, in FILE.next, before the CA is told of it, and takes its place afterwards; cut off
at any point, the next run finds out which of the two the CA knows. Run by the python3 of the service's image, which has
openssl: standard library only.
"""

import base64
import json
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

STORE = Path("/var/tmp/acme")  # noqa: S108  # where docker/acme/start.sh has lego keep them
SERVERS = {
    "": "https://acme-v02.api.letsencrypt.org/directory",
    "staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
"""As in docker/acme/start.sh."""


class AccountError(Exception):
    """What went wrong, for people."""


def main() -> int:
    """Rotate the key of this CA's account.

    Returns:
        0; 1 with the reason on stderr.

    """
    server = os.environ.get("ACME_SERVER", "")
    email = os.environ.get("ACME_EMAIL", "")
    try:
        rotate(STORE, email, Ca(SERVERS.get(server, server)))
    except (AccountError, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"acme: {error}\n")
        return 1
    sys.stdout.write("the CA takes the new key of the account, and refuses the old one\n")
    return 0


def encoded(data: bytes) -> str:
    """Return the text that JWS has for bytes (RFC 7515, appendix C)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*arguments: str, given: bytes = b"") -> bytes:
    """Run openssl for what it prints."""
    command = ["openssl", *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout  # noqa: S603  # all of it ours


class Key:
    """A private key of P-256, in a PEM file."""

    def __init__(self, file: Path) -> None:
        """Read its public half.

        Raises:
            AccountError: it is a key of another kind.

        """
        self.file = file
        public = openssl("pkey", "-in", str(file), "-pubout", "-outform", "DER")
        if len(public) != 91 or public[26] != 4:  # SubjectPublicKeyInfo of an uncompressed point (RFC 5480)
            raise AccountError(f"{file.name}: a key of another kind than EC P-256 is not rotated")
        self.jwk = {"crv": "P-256", "kty": "EC", "x": encoded(public[27:59]), "y": encoded(public[59:])}

    def sign(self, payload: object, **header: Any) -> dict[str, str]:
        """Return a flattened JWS (RFC 7515, section 7.2.2) by ES256."""
        protected = encoded(json.dumps({"alg": "ES256", **header}).encode())
        body = encoded(json.dumps(payload).encode())
        der = openssl("dgst", "-sha256", "-sign", str(self.file), given=f"{protected}.{body}".encode())
        return {"protected": protected, "payload": body, "signature": encoded(raw(der))}


def raw(der: bytes) -> bytes:
    """Return the two numbers of an ECDSA signature, 32 bytes each (RFC 7518, section 3.4)."""
    numbers, rest = b"", der[2:]
    for _ in range(2):
        length = rest[1]
        numbers += rest[2 : 2 + length].lstrip(b"\0").rjust(32, b"\0")
        rest = rest[2 + length :]
    return numbers


class Ca:
    """A CA, by its directory's address."""

    def __init__(self, directory: str) -> None:
        """Ask for the directory.

        Raises:
            AccountError: it does not answer.

        """
        self._trusted = ssl.create_default_context()
        for file in filter(None, os.environ.get("LEGO_CA_CERTIFICATES", "").split(":")):
            self._trusted.load_verify_locations(file)
        _, body, _ = self._ask(directory)
        self.addresses = body

    def _ask(self, url: str, sent: object = None) -> tuple[int, dict[str, Any], Any]:
        data = None if sent is None else json.dumps(sent).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/jose+json"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60, context=self._trusted) as answer:  # noqa: S310
                return answer.status, json.loads(answer.read() or b"{}"), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"{}"), error.headers
        except (OSError, ValueError) as error:
            raise AccountError(f"the CA does not answer at {url}: {error}") from None

    def post(self, what: str, key: Key, payload: object, **header: Any) -> tuple[int, dict[str, Any], Any]:
        """Send a signed request; `header` says whose (RFC 8555, section 6.2)."""
        url = self.addresses[what]
        for _ in range(3):  # a nonce may be refused (section 6.5)
            nonce = self._ask(self.addresses["newNonce"])[2]["Replay-Nonce"]
            answer = self._ask(url, key.sign(payload, url=url, nonce=nonce, **header))
            if not str(answer[1].get("type")).endswith(":badNonce"):
                break
        return answer

    def account(self, key: Key) -> str | None:
        """Return the address of the account that a key opens; None where it opens none (section 7.3.1).

        Raises:
            AccountError: the CA answers neither.

        """
        status, body, headers = self.post("newAccount", key, {"onlyReturnExisting": True}, jwk=key.jwk)
        if status == 200:
            return str(headers["Location"])
        if str(body.get("type")).endswith(":accountDoesNotExist"):
            return None
        raise AccountError(f"the CA answers {status}: {body.get('detail', body)}")


def rotate(store: Path, email: str, ca: Ca) -> None:
    """Put another key in the place of that of this address's account at this CA.

    Raises:
        AccountError: there is no account, or the CA does not take the key: the old one stays. Or it takes the old one
            still.

    """
    files = [file for file in store.glob(f"*/accounts/*/{email}/keys/{email}.key") if is_of(ca, file)]
    if len(files) != 1:
        raise AccountError("there is no account at this CA yet; expected a first certificate")
    (file,) = files
    new_file = file.with_name(f"{file.name}.next")
    if not new_file.exists():
        draft = file.with_name(f"{file.name}.draft")
        draft.touch(mode=0o600)
        draft.write_bytes(openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout"))
        draft.replace(new_file)
    old, new = Key(file), Key(new_file)
    if ca.account(new) is None:
        account = ca.account(old)
        if account is None:
            raise AccountError("the CA knows no account of the key that is kept here")
        url = ca.addresses["keyChange"]
        inner = new.sign({"account": account, "oldKey": old.jwk}, jwk=new.jwk, url=url)
        status, body, _ = ca.post("keyChange", old, inner, kid=account)
        if status != 200:
            raise AccountError(f"the CA answers {status}: {body.get('detail', body)}; the old key stays")
    if ca.account(old) is not None:
        raise AccountError("the CA still takes the old key")
    new_file.replace(file)


def is_of(ca: Ca, file: Path) -> bool:
    """Say whether an account is one of this CA's: by its address there, which account.json holds."""
    told = file.parent.parent / "account.json"
    try:
        uri = str(json.loads(told.read_text())["registration"]["uri"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    there = str(ca.addresses["newAccount"])
    return uri.partition("//")[2].partition("/")[0] == there.partition("//")[2].partition("/")[0]


if __name__ == "__main__":
    sys.exit(main())
