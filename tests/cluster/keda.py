"""KEDA in the cluster, as its own manifests have it."""

import os
import tempfile
from pathlib import Path

from scripts.cluster import node, parts
from scripts.cluster.layout import HERE
from scripts.cluster.processes import run

NAMESPACE = "keda"


def start() -> None:
    """Have it started; it takes a minute until it is ready: its certificate is made first, and mounted."""
    node.import_part("keda")
    with tempfile.TemporaryDirectory() as work:
        config = os.path.relpath(parts.directory("keda") / "config", Path(work).resolve())  # as Kustomize wants it
        text = (HERE / "keda.yaml").read_text().replace("@CONFIG@", config)
        (Path(work) / "kustomization.yaml").write_text(text)
        run("kubectl", "apply", "--server-side", "--force-conflicts", "-k", work, seconds=180)


def ready() -> None:
    """Wait until it says what autoscalers ask."""
    for name in ("keda-operator", "keda-metrics-apiserver"):
        run("kubectl", "-n", NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=290s", seconds=300)
    wait = ("wait", "--for=condition=Available", "apiservice/v1beta1.external.metrics.k8s.io", "--timeout=170s")
    run("kubectl", *wait, seconds=180)
