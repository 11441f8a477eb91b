"""What the documents name is there, and what is there has a user."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
PRESENT = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "deploy/RUNBOOK.md", *PAGES]
"""All but the changelog, which names what is gone."""
SAID = {path: path.read_text() for path in PRESENT}
EVERYTHING = "\n".join(SAID.values())
CI = "".join(path.read_text() for path in [ROOT / ".ci/run", *ROOT.glob(".github/**/*.y*ml")])
TARGETS = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
PROGRAMS = {
    path: path.read_text(errors="replace")
    for room in ("scripts", "docker", "monitoring", "deploy", ".github", ".ci")
    for path in (ROOT / room).rglob("*")
    if path.is_file() and not path.is_symlink() and "node_modules" not in path.parts
} | {path: path.read_text() for path in [ROOT / "Makefile", *ROOT.glob("docker-compose.*.yml")]}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_has_a_user(target: str) -> None:
    assert re.search(rf"make {target}\b", EVERYTHING + CI)


@pytest.mark.parametrize("page", PRESENT, ids=lambda path: path.name)
def test_a_target_that_is_named_is_there(page: Path) -> None:
    assert set(re.findall(r"(?:`|&& |^\$? ?)make ([a-z][a-z-]*)", SAID[page], re.MULTILINE)) <= set(TARGETS)


def test_the_help_fits_a_wide_terminal() -> None:
    for text in re.findall(r"^[a-z-]+:.*?## (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE):
        assert len("  make health-check  " + text) <= 130, text


@pytest.mark.parametrize(
    "module", sorted(set(re.findall(r"python3? -m ([a-z_]+(?:\.[a-z_]+)*)", EVERYTHING)) - {"venv"})
)
def test_a_module_that_is_run_is_there(module: str) -> None:
    path = ROOT / module.replace(".", "/")
    assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()


@pytest.mark.parametrize("page", PRESENT, ids=lambda path: path.name)
def test_a_path_that_is_named_is_there(page: Path) -> None:
    rooms = "scripts|docker|tests|monitoring|deploy|bench|grafana|examples|api"
    for path in re.findall(rf"`((?:{rooms})/[\w./-]+)`", SAID[page]):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_is_linked_from_the_readme_or_another(page: Path) -> None:
    assert any(f"{page.name})" in text or f"{page.name}#" in text for path, text in SAID.items() if path != page)


@pytest.mark.parametrize(
    "script",
    sorted(path for path in (ROOT / "scripts").rglob("*") if path.suffix in {".py", ".sh"} and path.name[:2] != "__"),
    ids=lambda path: path.name,
)
def test_a_script_has_a_user(script: Path) -> None:
    imported = re.compile(rf"^(?:from|import) scripts.*\b{script.stem}\b|^    {script.stem},$", re.MULTILINE)
    users = [
        path for path, text in PROGRAMS.items() if path != script and (script.name in text or imported.search(text))
    ]
    assert users or script.name in EVERYTHING


def test_every_service_is_asked_for_by_another_or_named_in_the_docs() -> None:
    files = [ROOT / "docker-compose.prod.yml", *(ROOT / "docker").rglob("*.yml")]
    services = {
        name: service
        for path in files
        for name, service in (yaml.safe_load(path.read_text()) or {}).get("services", {}).items()
        if path.name != "hardened.yml"
    }
    needed = {name for service in services.values() for name in service.get("depends_on", {})}
    scripts = "".join(text for path, text in PROGRAMS.items() if path.suffix == ".py" or path.name == "Makefile")
    for name in services:
        assert name in needed or re.search(rf"\b{name}\b", EVERYTHING + scripts), name


def test_an_extra_that_is_named_is_there() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r"pip install '\.\[([\w,]+)\]'", EVERYTHING)
    assert named
    assert set(",".join(named).split(",")) <= set(extras)


def test_an_env_that_is_shown_whole_begins_as_the_template() -> None:
    (block,) = re.findall(r"with its own `\.env`:\n\n```sh\n(.*?)```", SAID[ROOT / "docs/deployment.md"], re.DOTALL)
    first, *_ = re.findall(r"^[A-Z]\w+=.*$", (ROOT / ".env.template").read_text(), re.MULTILINE)
    assert block.startswith(f"{first}\n")


@pytest.mark.parametrize("page", PRESENT, ids=lambda path: path.name)
def test_a_setting_is_shown_in_env_and_not_for_one_command(page: Path) -> None:
    """The next command would undo it."""
    assert not re.search(r"\b(?:TELEMETRY|MLFLOW|DATABASE_URL|API_\w+)=\S* (?:make|docker)\b", SAID[page])


# ── Metrics ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def told() -> set[str]:
    """The metrics that tables of the docs list: in their first column, below `metric` or `name`."""
    found: set[str] = set()
    for text in SAID.values():
        for table in re.findall(r"^\| (?:metric|name) \|.*\n\|[-|: ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE):
            for line in table.splitlines():
                words = re.findall(r"`([a-z]\w*_\w+)(?:\{[^}]*\})?`", line.split("|")[1])
                found |= {word for word in words if "…" not in word}
    return found


METRICS = told()
SHOWN = "".join(
    path.read_text()
    for path in [*(ROOT / "grafana").rglob("*.json"), *(ROOT / "docker/prometheus/rules").glob("*.yml")]
)
WORDS_SHOWN = set(re.findall(r"\w+", SHOWN))
FOR_QUERIES = set(
    re.findall(r"^\| `(\w+)`", SAID[ROOT / "docs/promql.md"].partition("\n## On no panel\n")[2], re.MULTILINE)
)


def made() -> set[str]:
    """The metrics that the code tells, by the names under which Prometheus has them."""
    python = "".join(path.read_text() for room in ("api", "sightglass") for path in (ROOT / room).rglob("*.py"))
    call = r'\b_?(Counter|Gauge|Histogram|Info)(?:MetricFamily)?\(\s*f?"((?:\w|\{prefix\})+)"'
    found = set()
    for kind, name in re.findall(call, python):
        whole = name.replace("{prefix}", "sightglass_container")
        found.add(whole.removesuffix("_total") + "_total" if kind == "Counter" else whole)
    shell = "".join(path.read_text() for path in (ROOT / "docker").rglob("*.sh"))
    found |= set(re.findall(r"^(?: *metric|# TYPE) (\w+)", shell, re.MULTILINE))
    njs = (ROOT / "docker/nginx/metrics.js").read_text()
    return found | set(re.findall(r"'((?:edge|rate|sightglass)_\w+)'", njs))


@pytest.mark.parametrize("metric", sorted(made()))
def test_a_metric_that_is_told_is_documented(metric: str) -> None:
    assert any(re.search(rf"`{metric}[`{{]", text) for text in SAID.values())


def test_the_metrics_are_found() -> None:
    some = {
        "jobs_total",
        "job_duration_seconds",
        "backup_size_bytes",
        "acme_failed_attempts",
        "edge_http_requests_total",
    }
    assert some <= made()
    assert len(made()) > 50


def test_the_tables_are_found() -> None:
    assert {"http_requests_total", "edge_http_requests_total", "model_ready", "sightglass_edge_routes"} <= METRICS
    assert len(METRICS) > 50


@pytest.mark.parametrize("metric", sorted(METRICS | FOR_QUERIES))
def test_a_metric_is_on_a_panel_or_in_a_rule_or_documented_for_queries(metric: str) -> None:
    shown = any(f"{metric}{end}" in WORDS_SHOWN for end in ("", "_bucket", "_sum", "_count"))
    assert shown != (metric in FOR_QUERIES)
