"""A real API server takes every overlay and value set, strictly; and Helm makes what the unit tests think it does."""

import json
import os
import shutil
from typing import Any

import pytest
import yaml

from scripts.cluster.processes import run
from tests.cluster.cluster import CHART, Cluster, helm
from tests.kubernetes.manifests import BASE, COMPONENTS, OVERLAYS, objects, of_chart
from tests.kubernetes.test_manifests import EVERYTHING, by_key, without_annotations

EACH_OVERLAY = sorted(OVERLAYS.iterdir())
VALUE_SETS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "everything": EVERYTHING,
    "nothing": {"networkPolicy": {"enabled": False}, "autoscaling": {"enabled": False}},
}


@pytest.fixture(scope="module")
def defined(cluster: Cluster) -> Cluster:
    """The cluster, with the namespaces."""
    for namespace in ("sightglass", "sightglass-dev", "sightglass-staging", "dry"):
        run("kubectl", "create", "namespace", namespace)
    return cluster


def dry_run(text: str, namespace: str) -> int:
    """Have the API server judge objects; returns how many there were."""
    dry = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-")
    return len(run("kubectl", *dry, given=text, seconds=120).splitlines())


@pytest.mark.parametrize("overlay", EACH_OVERLAY, ids=lambda path: path.name)
def test_the_api_server_takes_the_overlay(defined: Cluster, overlay: Any) -> None:
    text = run("kubectl", "kustomize", str(overlay))
    namespaces = {one["metadata"]["namespace"] for one in yaml.safe_load_all(text) if one["kind"] != "Namespace"}
    (namespace,) = namespaces
    assert dry_run(text, namespace) == len(list(yaml.safe_load_all(text)))


@pytest.mark.parametrize("overlay", EACH_OVERLAY, ids=lambda path: path.name)
def test_an_overlay_s_autoscaler_asks_its_own_api(defined: Cluster, overlay: Any) -> None:
    whole = defined.directory / f"scaled-{overlay.name}"
    shutil.copytree(overlay, whole)
    kustomization = yaml.safe_load((whole / "kustomization.yaml").read_text())
    components = [*kustomization.get("components", []), "../../components/jobs", "../../components/jobs-autoscaling"]
    for name, paths in (("resources", kustomization["resources"]), ("components", components)):
        kustomization[name] = [os.path.relpath((overlay / path).resolve(), whole.resolve()) for path in paths]
    (whole / "kustomization.yaml").write_text(json.dumps(kustomization))
    made = by_key(yaml.safe_load_all(run("kubectl", "kustomize", str(whole))))
    (trigger,) = made["ScaledObject", "jobs"]["spec"]["triggers"]
    assert f"//api.{kustomization['namespace']}.svc." in trigger["metadata"]["url"]


def test_the_api_server_takes_the_collector(defined: Cluster) -> None:
    text = run("kubectl", "kustomize", str(COMPONENTS.parent / "collector"))
    assert dry_run(text.replace("namespace: monitoring", "namespace: dry"), "dry") == 4


@pytest.mark.parametrize("component", sorted(COMPONENTS.iterdir()), ids=lambda path: path.name)
def test_the_api_server_takes_the_component(defined: Cluster, component: Any) -> None:
    whole = defined.directory / component.name
    whole.mkdir()
    needed = [COMPONENTS / "jobs"] if component.name.startswith("jobs-") else []

    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(BASE, whole)],
        "components": [os.path.relpath(path, whole) for path in [*needed, component]],
    }
    (whole / "kustomization.yaml").write_text(json.dumps(kustomization))
    assert dry_run(run("kubectl", "kustomize", str(whole)), "sightglass") > len(list(objects(BASE)))


@pytest.mark.parametrize("name", VALUE_SETS)
def test_the_api_server_takes_the_chart(defined: Cluster, name: str) -> None:
    values = defined.file("set.json", json.dumps(VALUE_SETS[name]))
    assert dry_run(helm("template", "dry", str(CHART), "-f", values, "--skip-tests"), "dry") > 8


@pytest.mark.parametrize("name", VALUE_SETS)
def test_helm_makes_what_the_unit_tests_judge(defined: Cluster, name: str) -> None:
    values = defined.file("set.json", json.dumps(VALUE_SETS[name]))
    text = run("helm", "-n", "sightglass", "template", "dry", str(CHART), "-f", values, "--skip-tests")
    made = by_key(one for one in yaml.safe_load_all(text) if one)
    assert made.pop(("ConfigMap", "settings"))["data"]["WEB_CONCURRENCY"] == "1"
    assert made.pop(("ConfigMap", "env"))["data"] is None
    expected = {key: without_annotations(one) for key, one in by_key(of_chart(VALUE_SETS[name])).items()}
    assert {key: without_annotations(one) for key, one in made.items()} == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"RATE_LIMIT": 20}, {"RATE_LIMIT": "20"}),
        ({"MAX_REQUEST_SIZE_BYTES": 314572800}, {"MAX_REQUEST_SIZE_BYTES": "314572800"}),
        ({"TRACING_ENABLED": True, "MIN_CONFIDENCE": 0.5}, {"TRACING_ENABLED": "true", "MIN_CONFIDENCE": "0.5"}),
        ({"SERVER_NAME": 'a "b": c'}, {"SERVER_NAME": 'a "b": c'}),
    ],
)
def test_settings_arrive_as_they_were_written(
    defined: Cluster, settings: dict[str, Any], expected: dict[str, str]
) -> None:
    values = defined.file("settings.json", json.dumps({"settings": settings, "env": {"OWN": 1000000}}))
    text = helm("template", "dry", str(CHART), "-f", values, "--show-only", "templates/settings.yaml")
    found, own = yaml.safe_load_all(text)
    assert {name: found["data"][name] for name in settings} == expected
    assert own["data"] == {"OWN": "1000000"}


def test_a_value_that_nobody_reads_is_refused_in_one_line(defined: Cluster) -> None:
    with pytest.raises(Exception, match=r"RATE_LIMITS"):
        helm("template", "dry", str(CHART), "--set", "settings.RATE_LIMITS=20")


def test_jobs_that_would_be_lost_are_refused(defined: Cluster) -> None:
    with pytest.raises(Exception, match=r"DATABASE_URL"):
        helm("template", "dry", str(CHART), "--set", "jobs.enabled=true")
    there = "settings.DATABASE_URL=postgresql://a@b/c,jobs.enabled=true"
    helm("template", "dry", str(CHART), "--set", there)
    with pytest.raises(Exception, match=r"DOCUMENTS_URL"):
        helm("template", "dry", str(CHART), "--set", f"{there},jobs.volume=false")
