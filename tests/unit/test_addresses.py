"""What `make up` says of where the services are reached."""

import json

import pytest

from scripts import addresses

EDGE = {
    "Service": "nginx",
    "Publishers": [
        {"URL": "0.0.0.0", "TargetPort": 8443, "PublishedPort": 443},
        {"URL": "::", "TargetPort": 8443, "PublishedPort": 443},
        {"URL": "", "TargetPort": 9113, "PublishedPort": 0},
    ],
}
DOOR = {
    "Service": "operators",
    "Publishers": [{"URL": "127.0.0.1", "TargetPort": port, "PublishedPort": port + 1} for port in (9090, 9093, 3000)],
}
TELEMETRY = {
    "Service": "telemetry-door",
    "Publishers": [{"URL": "127.0.0.1", "TargetPort": port, "PublishedPort": port} for port in (9428, 16686)],
}
GRAFANA = {"Service": "grafana", "Publishers": None}


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *running: object) -> list[str]:
    monkeypatch.setattr("scripts.running.project", lambda: "shop")
    monkeypatch.setattr(addresses, "checked", lambda *_: "\n".join(map(json.dumps, running)))
    monkeypatch.setattr(addresses, "administrator", lambda: "admin")
    addresses.main()
    return capsys.readouterr().out.splitlines()


def test_what_runs_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(monkeypatch, capsys, EDGE, DOOR, TELEMETRY, GRAFANA)
    assert [line.split()[:2] for line in lines[1:8]] == [
        ["API", "https://localhost:443/"],
        ["https://localhost:443/docs"],
        ["Prometheus", "http://127.0.0.1:9091/"],
        ["Alertmanager", "http://127.0.0.1:9094/"],
        ["Grafana", "http://127.0.0.1:3001/"],
        ["VictoriaLogs", "http://127.0.0.1:9428/"],
        ["Jaeger", "http://127.0.0.1:16686/"],
    ]
    assert "(user admin, password: make credentials)" in lines[5]


def test_without_its_image_grafana_is_said_not_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told(monkeypatch, capsys, [EDGE, DOOR])  # a list, as Compose gave one before 2.21
    assert [line.split()[0] for line in lines[3:6]] == ["Prometheus", "Alertmanager", "Grafana"]
    assert lines[5].split()[1:3] == ["NOT", "RUNNING:"]


def test_a_port_of_ipv6_alone_and_none_at_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edge = {"Service": "nginx", "Publishers": [{"URL": "::1", "TargetPort": 8443, "PublishedPort": 8443}]}
    lines = told(monkeypatch, capsys, edge, {"Service": "operators", "Publishers": []})
    assert lines[1].split()[1] == "https://[::1]:8443/"
    assert "(no port of this machine)" in lines[3]
