"""How many of each: by load, by what waits, and at least one while nodes are drained."""

from deploy.composed import Service
from deploy.leaves import InChart, Only, Value, When
from deploy.workloads import API, API_METRICS_PORT, JOBS, NGINX, Object, labels, metadata

JOBS_PER_REPLICA = Value("jobs.autoscaling.jobsPerReplica", 5)


def disruption_budgets() -> list[Object]:
    """Give what a drain of nodes must leave."""
    return [
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(name),
            "spec": {
                "minAvailable": 1,
                "selector": {"matchLabels": labels(name)},
                # Those that answer nobody keep no node: else, with none ready, no drain would end.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        }
        for name in (API, NGINX)
    ]


def autoscaler() -> Object:
    """Give the API's autoscaler: by the share of the processor time that its pods request."""
    utilization = {
        "type": "Utilization",
        "averageUtilization": Value("autoscaling.targetCPUUtilizationPercentage", 70),
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(API),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": API},
            "minReplicas": Value("autoscaling.minReplicas", 2),
            "maxReplicas": Value("autoscaling.maxReplicas", 10),
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": utilization}}],
            "behavior": _behavior("autoscaling.scaleDownStabilizationSeconds"),
        },
    }


def _behavior(seconds: str) -> Object:
    return {"scaleDown": {"stabilizationWindowSeconds": Value(seconds, 300)}}


def jobs_autoscaler() -> Object:
    """Give KEDA's scaler of what works on jobs: by what is to be done, which the API tells also while there is none.

    Not by what waits: nothing does while the last one is at the last job, and to end it would begin that job again.
    """
    path = f"svc.cluster.local:{API_METRICS_PORT}{Service(JOBS).probe.path}"
    url = InChart(
        f'printf "http://{API}.%s.svc.%s:{API_METRICS_PORT}{Service(JOBS).probe.path}" '
        ".Release.Namespace .Values.clusterDomain",
        otherwise=f"http://{API}.sightglass.{path}",
    )
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(JOBS),
        "spec": {
            "scaleTargetRef": {"name": JOBS},
            "pollingInterval": Value("jobs.autoscaling.pollingSeconds", 10),
            "cooldownPeriod": Value("jobs.autoscaling.cooldownSeconds", 300),
            "minReplicaCount": Value("jobs.autoscaling.minReplicas", 0),
            "maxReplicaCount": Value("jobs.autoscaling.maxReplicas", 10),
            "advanced": {
                "horizontalPodAutoscalerConfig": {
                    "behavior": _behavior("jobs.autoscaling.scaleDownStabilizationSeconds"),
                }
            },
            "triggers": [
                {
                    "type": "metrics-api",
                    "metadata": {
                        "url": url,
                        "format": "prometheus",
                        "valueLocation": "jobs_unfinished",
                        "targetValue": InChart(
                            f".Values.{JOBS_PER_REPLICA.path} | int64 | quote", otherwise=str(JOBS_PER_REPLICA.default)
                        ),
                        "activationTargetValue": "0",
                    },
                }
            ],
        },
    }


def runs() -> Object:
    """Give the claim of what the API and job processes share; of several nodes any one's pods write to it."""
    modes = 'ternary "ReadWriteOnce" "ReadWriteMany" .Values.jobs.oneNode'
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        # Helm leaves it where it is, with the jobs in it, when the chart has it no more.
        "metadata": metadata("runs", JOBS, annotations={"helm.sh/resource-policy": "keep"}),
        "spec": {
            "accessModes": [InChart(modes, otherwise="ReadWriteMany")],
            Only("storageClassName", When("jobs.storageClass", default=False)): Value("jobs.storageClass", "", "quote"),
            "resources": {"requests": {"storage": Value("jobs.storage", "20Gi")}},
        },
    }
