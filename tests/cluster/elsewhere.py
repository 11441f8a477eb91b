"""An installation without a volume, its jobs in PostgreSQL and S3, as many job processes as KEDA finds right."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from typing import Any

import httpx

from scripts.cluster.processes import run
from tests.cluster import state
from tests.cluster.cluster import ELSEWHERE, Cluster, Installation, kubectl
from tests.support.waiting import eventually

PATH = "/api/v1/jobs"
MOST = 4
WORDS = "and so on "
SPOT = {"key": "spot", "effect": "NoSchedule"}
"""What keeps all but job processes from the second node."""


class Elsewhere:
    """The installation, and an account of what was sent to it."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.accepted: dict[str, str] = {}
        """Where each job is, and what its result has to be."""
        self._sent: Counter[str] = Counter()
        self._client = httpx.Client(base_url=installation.url, verify=False, timeout=60)
        self._before = self._told_by_edge()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request that must not fail."""
        answer = self._send(method, path, **more)
        assert answer.status_code in (200, 202), answer.text
        return answer

    def answers(self) -> bool:
        """Tell whether a job is found; it need not be."""
        try:
            return self._send("GET", next(iter(self.accepted))).status_code == 200
        except httpx.TransportError:
            return False

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self._client.request(method, path, **more)
        self._sent[str(answer.status_code)] += 1
        return answer

    def post(self, count: int, words: int, *, sure: bool = True) -> None:
        """Send so many documents, of so many times the same words; each must be accepted where that is `sure`."""

        def one(number: int) -> None:
            text = f"{number} anna@example.com {WORDS * words}"
            with nullcontext() if sure else suppress(httpx.TransportError):
                answer = self._send("POST", PATH, content=text, headers={"Content-Type": "text/plain"})
                assert answer.status_code == 202 or not sure, answer.text
                if answer.status_code == 202:
                    self.accepted[answer.headers["location"]] = text.replace("anna@example.com", "[EMAIL_ADDRESS]")

        first = len(self.accepted)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(first, first + count)))

    def has_accepted(self, count: int) -> bool:
        """Tell whether it is so many jobs by now."""
        return len(self.accepted) >= count

    def statuses(self) -> Counter[str]:
        """Count jobs by their status, as the database has it."""
        return Counter(state.select("SELECT record::json->>'status' FROM jobs WHERE id IS NOT NULL"))

    def finished(self) -> None:
        """Wait until each job that was accepted has its one result, and see that there is no other job."""
        expected = Counter({"succeeded": len(self.accepted)})
        eventually(lambda: self.statuses() == expected, lambda: (self.statuses(), self.pods()), 600)
        self._each_has_its_result()

    def agreed(self) -> None:
        """Wait until each job that the database has is done and counted, those that were accepted among them."""
        eventually(lambda: set(self.statuses()) == {"succeeded"}, lambda: (self.statuses(), self.pods()), 600)
        self._each_has_its_result()
        jobs = self.statuses()["succeeded"]
        eventually(lambda: self.counted()[1]["succeeded"] == jobs, lambda: (jobs, self.counted()))
        print(f"{jobs} jobs, {len(self.accepted)} of which a client heard")

    def _each_has_its_result(self) -> None:
        for where, result in self.accepted.items():
            assert self.ask("GET", f"{where}/result").text == result

    def counted(self) -> tuple[int, dict[str, int]]:
        """Return what Prometheus knows of jobs: accepted by the API, and by status in job processes."""
        counted = self.installation.cluster.prometheus.counted
        of_api = counted("jobs_total", "status", job="api", namespace=ELSEWHERE)
        return of_api["accepted"], dict(counted("jobs_total", "status", job="jobs", namespace=ELSEWHERE))

    def exact(self, *others: str) -> None:
        """Wait until Prometheus tells of every job once, and of every request as it was answered.

        `others` are statuses that jobs may have had in between.
        """
        jobs = len(self.accepted)

        def counted() -> tuple[int, dict[str, int]]:
            accepted, by_status = self.counted()
            return accepted, {status: count for status, count in by_status.items() if status not in others}

        eventually(lambda: counted() == (jobs, {"succeeded": jobs}), lambda: (jobs, self.counted()))
        eventually(lambda: self._told_by_edge() - self._before == self._sent, self._told_by_edge)
        print(f"{jobs} jobs; requests: {dict(self._sent)}")

    def _told_by_edge(self) -> Counter[str]:
        return self.installation.cluster.prometheus.counted(
            "edge_http_requests_total", "status", job="nginx", namespace=ELSEWHERE
        )

    def wanted(self) -> int:
        """Return how many job processes there are to be."""
        return self.installation.wanted("jobs")

    def pods(self) -> dict[str, str]:
        """Name the pods of jobs, and each one's node."""
        return self.installation.pods("jobs")

    def keep(self, count: int | None) -> None:
        """Have KEDA keep so many job processes, or as many as it finds right."""
        change = "autoscaling.keda.sh/paused-replicas" + ("-" if count is None else f"={count}")
        kubectl("annotate", "--overwrite", "scaledobject", "jobs", change, namespace=ELSEWHERE)
        if count is not None:
            eventually(lambda: self.wanted() == len(self.pods()) == count, self.told, 300)
            kubectl("rollout", "status", "deployment/jobs", "--timeout=280s", namespace=ELSEWHERE)

    def told(self) -> str:
        """Describe what scales."""
        return kubectl("describe", "scaledobject,hpa,pods", namespace=ELSEWHERE)

    def depths(self) -> set[str]:
        """Return what replicas of the API say of the jobs that wait."""
        asked = f'job_queue_depth{{job="api",namespace="{ELSEWHERE}"}}'
        found = self.installation.cluster.prometheus.get("query", query=asked)["result"]
        return {one["value"][1] for one in found}


def install(cluster: Cluster) -> Elsewhere:
    """Install it, its job processes on any node."""
    cluster.beside.result()
    run("kubectl", "create", "namespace", ELSEWHERE)
    literals = [f"--from-literal={name}={value}" for name, value in state.SECRETS.items()]
    kubectl("create", "secret", "generic", "state", *literals, namespace=ELSEWHERE)
    values = cluster.values()
    found = cluster.install(
        ELSEWHERE,
        settings={**values["settings"], **state.SETTINGS, "JOBS_LAST_SCRAPE": "15"},
        autoscaling={"enabled": False},
        edge={**values["edge"], "replicas": 1},
        networkPolicy={"egress": [state.EGRESS]},
        jobs={
            "enabled": True,
            "volume": False,
            "tolerations": [{**SPOT, "operator": "Exists"}],
            "autoscaling": {
                "enabled": True,
                "pollingSeconds": 2,
                "cooldownSeconds": 5,
                "maxReplicas": MOST,
                "jobsPerReplica": 3,
                "scaleDownStabilizationSeconds": 0,
            },
        },
    )
    found.settle()
    return Elsewhere(found)


def scaled(elsewhere: Elsewhere) -> None:
    """Without a job process jobs are accepted and told; then there are as many as work needs, and none at the end."""
    eventually(lambda: elsewhere.wanted() == len(elsewhere.pods()) == 0, elsewhere.told, 600)
    elsewhere.keep(0)
    elsewhere.post(30, 8_000)
    eventually(lambda: elsewhere.depths() == {"30"}, elsewhere.depths)
    assert elsewhere.pods() == {}

    elsewhere.keep(None)
    eventually(lambda: elsewhere.wanted() == MOST, elsewhere.told, 600)
    elsewhere.finished()
    eventually(lambda: elsewhere.wanted() == len(elsewhere.pods()) == 0, elsewhere.told, 600)
    elsewhere.exact()
