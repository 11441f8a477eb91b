"""The production checklist, of a stack that is not ready for production, and says where."""

import re

from tests.stack import Stack, eventually

OF_THIS_MACHINE = {"disk", "clock", "open ports", "firewall", "limits"}


def test_it_says_what_is_to_be_mended(stack: Stack) -> None:
    result = stack.run("python3", "scripts/doctor.py")
    lines = {line[2:17].strip(): line for line in result.stdout.splitlines()}
    assert {name: re.sub(r"[\d.]+ requests", "N requests", line) for name, line in lines.items()
            if name not in OF_THIS_MACHINE} == {
        "certificate": "✗ certificate     not trusted: self-signed certificate  →  ACME_EMAIL and SERVER_NAME, or TLS_CERT and"
        " TLS_KEY (docs/edge.md#tls)",
        "DNS": "! DNS             SERVER_NAME is not set: the edge answers by any name  →  SERVER_NAME in .env",
        "secrets": "✓ secrets         none that is old, or that anybody can guess",
        "alerts": "✗ alerts          one was sent, and reaches nobody  →  ALERT_… in .env (docs/runbook.md#nobodynotified)",
        "backup": "✗ backup          none  →  make backup, and RESTIC_REPOSITORY in .env (docs/backup.md)",
        "scan": "! scan            none that was passed  →  make scan",
        "load test": "! load test       at most N requests/s in 30 days  →  send it what you expect, and more",
        "rollback": "! rollback        none was tried  →  make deploy, then make rollback (docs/deployment.md#the-way-back)",
        "image versions": lines["image versions"],
    }  # fmt: skip
    assert set(lines) - OF_THIS_MACHINE == {
        "certificate", "DNS", "secrets", "alerts", "backup", "scan", "load test", "rollback", "image versions",
    }  # fmt: skip
    assert OF_THIS_MACHINE <= set(lines)
    assert "could not be looked at" not in "".join(lines[name] for name in ("disk", "open ports", "limits"))
    assert result.returncode == 1, result.stderr

    def sent() -> str:
        asked = ("amtool", "--alertmanager.url=http://127.0.0.1:9093", "alert", "query", "alertname=DoctorTest")
        return stack.compose("exec", "-T", "alertmanager", *asked).stdout

    eventually(lambda: "DoctorTest" in sent(), sent)
