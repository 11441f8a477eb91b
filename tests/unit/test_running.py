"""Which volumes go with a container: those that nobody has named."""

import json

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
    monkeypatch.setattr(running, "checked", lambda *_: json.dumps(found))
    assert running.nameless(["a", "b", "c"]) == [HANDED_ON, NEW]
    assert running.nameless([]) == []
