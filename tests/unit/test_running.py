"""Which volumes go with a container: those that nobody has named."""

import json
import subprocess

import pytest

from scripts import running

HANDED_ON, NEW = "0a" * 32, "1b" * 32
MOUNTS = [
    {"Type": "volume", "Name": HANDED_ON, "Destination": "/tmp"},
    {"Type": "volume", "Name": "shop_runs", "Destination": "/var/lib/runs"},
    {"Type": "bind", "Source": "/etc/hosts", "Destination": "/etc/hosts"},
]


def test_what_has_a_name_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [{"Mounts": MOUNTS}, {"Mounts": [{"Type": "volume", "Name": NEW}]}, {"Mounts": []}]
    told = subprocess.CompletedProcess((), 1, json.dumps(found), "no such container: d")
    monkeypatch.setattr(running, "run", lambda *_: told)
    assert running.nameless(["a", "b", "c", "d"]) == [HANDED_ON, NEW]
    assert running.nameless([]) == []
