"""docs/observability.md against a real server: the fields and metrics it lists are those there are."""

import re
from pathlib import Path

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.server.server import ROOT, Server

PAGE = (ROOT / "docs" / "observability.md").read_text()


def table(section: str) -> list[list[set[str]]]:
    """The code words in each cell of a section's first table."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    first = "|" + text.partition("\n|")[2].partition("\n\n")[0]
    rows = re.findall(r"^\|(.*)\|$", first, re.MULTILINE)[2:]
    return [[set(re.findall(r"`([^`]*)`", cell)) for cell in row.split("|")] for row in rows]


def test_the_documented_fields_are_those_of_a_line(tmp_path: Path) -> None:
    with Server(tmp_path, TRACING_ENABLED="true", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as server:
        server.get("/api/v1/items/1")
        server.get("/trouble/caught")
        server.process.terminate()
        server.process.wait(30)
        (line,) = server.access_lines(path="/api/v1/items/1")
        assert set(line) == set().union(*(row[0] for row in table("Log lines")))
        (own,) = [line for line in server.lines() if line["message"] == "caught one"]
        assert set(own) == {
            *(
                "timestamp",
                "level",
                "logger",
                "message",
                "request_id",
                "trace_id",
                "span_id",
                "module",
                "function",
                "line",
                "worker",
                "exception",
            )
        }
        assert set(own["exception"]) == {"type", "stack"}


def test_the_documented_metrics_are_those_of_a_scrape(tmp_path: Path) -> None:
    documented = {name: frozenset(row[1]) for row in table("Metrics") for name in row[0]}
    with Server(tmp_path, TRACING_ENABLED="true", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") as server:
        server.get("/api/v1/items/1")
        text = httpx.get(
            server.client.base_url.join("/metrics"), headers={"accept": "application/openmetrics-text"}
        ).text
    labels: dict[str, frozenset[str]] = {}
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            name = family.name if family.type == "histogram" else sample.name
            labels[name] = frozenset(sample.labels) - {"le"}
    assert {name: labels.get(name) for name in documented} == {
        name: documented[name] | {"worker"} for name in documented
    }
    elsewhere = set(re.findall(r"`(sightglass_\w+)", PAGE))  # what only some processes have
    unsaid = {name for name in labels if not name.startswith(("process_", "python_"))} - set(documented) - elsewhere
    assert unsaid == set()
