"""The production checklist, of a stack that is not ready for production, and says where."""

from tests.stack import Stack, eventually

OF_THE_MACHINE = {"disk", "clock", "open ports", "firewall", "load test", "limits"}
"""What the machine makes of it, and the requests of the tests before."""
BACKUPS = (
    "✗ backup          none  →  make backup, and RESTIC_REPOSITORY in .env (docs/backup.md)",
    "✓ backup          0 h old",  # after the tests of backups
)
EXPECTED = """\
✗ certificate     not trusted: self-signed certificate  →  ACME_EMAIL and SERVER_NAME, or TLS_CERT and TLS_KEY
! DNS             SERVER_NAME is not set: the edge answers by any name  →  SERVER_NAME in .env
✓ secrets         none that is old, or that anybody can guess
✗ alerts          one was sent, and reaches nobody  →  ALERT_… in .env
! scan            none that was passed  →  make scan
! rollback        none was tried  →  make deploy, then make rollback
✓ image versions  all pinned
"""


def test_it_says_what_is_to_be_mended(stack: Stack) -> None:
    result = stack.run("python3", "scripts/doctor.py")
    lines = {line[2:17].strip(): line for line in result.stdout.splitlines()}
    assert set(lines) >= OF_THE_MACHINE
    told = [line.partition(" (docs/")[0] for name, line in lines.items() if name not in {"backup", *OF_THE_MACHINE}]
    assert told == EXPECTED.splitlines()
    assert lines["backup"] in BACKUPS
    for name in ("disk", "open ports", "limits"):
        assert "could not be looked at" not in lines[name]
    assert result.returncode == 1, result.stderr

    def sent() -> str:
        asked = ("amtool", "--alertmanager.url=http://127.0.0.1:9093", "alert", "query", "alertname=DoctorTest")
        return stack.compose("exec", "-T", "alertmanager", *asked).stdout

    eventually(lambda: "DoctorTest" in sent(), sent)
