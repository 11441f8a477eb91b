"""The certificate that is made where none is given, for the names there are."""

import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from tests.stack import ROOT, Stack

LONG = "a-service-with-a-name-that-says-what-it-does.of-a-team-that-does-so-too.example"


def setup(stack: Stack, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run docker/setup.sh as the Compose file does, with directories of the host for volumes.

    What a variable `…_FILE` names is the file of that name there.
    """
    for volume in ("tls", "credentials", "operators"):
        (directory / volume).mkdir(exist_ok=True)
        (directory / volume).chmod(0o777)
    (image,) = {container["Config"]["Image"] for container in stack.inspect("api")}
    return subprocess.run(
        ["docker", "run", "--rm", "--network", "none", "--volume", f"{ROOT}/docker:/etc/sightglass:ro",
         *(f"--volume={directory}/{volume}:/run/{volume}" for volume in ("tls", "credentials", "operators")),
         *(f"--volume={path}:/given/{path.name}:ro" for path in directory.glob("*_FILE")),
         *(f"--env={name}={value}" for name, value in environment.items()), image, "sh", "/etc/sightglass/setup.sh"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def names(directory: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate((directory / "tls" / "tls.crt").read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(found.get_values_for_type(x509.DNSName))


def test_it_has_every_name_and_is_made_again_for_others_only(stack: Stack, tmp_path: Path) -> None:
    certificate = tmp_path / "tls" / "tls.crt"
    assert setup(stack, tmp_path).returncode == 0
    assert names(tmp_path) == {"localhost"}
    first = certificate.read_bytes()
    assert "kept" in setup(stack, tmp_path).stdout
    assert certificate.read_bytes() == first

    several = setup(stack, tmp_path, SERVER_NAME=f"a.example {LONG}")
    assert several.returncode == 0, several.stderr
    assert names(tmp_path) == {"localhost", "a.example", LONG}
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, tmp_path / "tls" / "tls.key")
    second = certificate.read_bytes()
    assert setup(stack, tmp_path, SERVER_NAME="a.example").returncode == 0
    assert certificate.read_bytes() == second


@pytest.mark.parametrize(
    "name",
    ["a,,b", "a:b,c", "a,DNS:evil", "a DNS:evil", "a,IP:192.0.2.1", "a,email:x", "*.example", "A", "-a", "a..b", "a_b"],
)
def test_a_name_no_certificate_can_have_is_one_line(stack: Stack, tmp_path: Path, name: str) -> None:
    result = setup(stack, tmp_path, SERVER_NAME=name)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line == f"SERVER_NAME={name}: not allowed; expected host names in lower case, separated by spaces"
    assert list((tmp_path / "tls").iterdir()) == []


@pytest.mark.parametrize(
    ("volume", "file", "said"),
    [("credentials", "new", "Grafana's admin password"), ("operators", "new", "the operators' password")],
)
def test_a_password_that_cannot_be_written_is_not_said_to_be(
    stack: Stack, tmp_path: Path, volume: str, file: str, said: str
) -> None:
    (tmp_path / volume / file).mkdir(parents=True)
    result = setup(stack, tmp_path)
    assert result.returncode != 0
    assert said not in result.stdout


PASSWORD = "of-the-tests-own-1"


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_password_of_grafana_s_may_be_given(stack: Stack, tmp_path: Path, end: str) -> None:
    given = tmp_path / "GRAFANA_PASSWORD_FILE"
    given.write_text(PASSWORD + end)
    result = setup(stack, tmp_path, GRAFANA_PASSWORD_FILE=str(given))
    assert "Grafana's admin password: yours\n" in result.stdout, result.stderr
    assert PASSWORD not in result.stdout + result.stderr
    assert (tmp_path / "credentials" / "grafana_admin_password").read_text() == PASSWORD


@pytest.mark.parametrize(
    "text", ["", "too-short", "has a space in it", f"{PASSWORD}\n{PASSWORD}\n", "x" * 129, "ü" * 16]
)
def test_what_is_no_password_is_one_line_and_not_said(stack: Stack, tmp_path: Path, text: str) -> None:
    given = tmp_path / "GRAFANA_PASSWORD_FILE"
    given.write_text(text)
    result = setup(stack, tmp_path, GRAFANA_PASSWORD_FILE=str(given))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("GRAFANA_PASSWORD_FILE: not a password; expected one line of 16 to 128 printable characters")
    assert not (tmp_path / "credentials" / "grafana_admin_password").exists()
