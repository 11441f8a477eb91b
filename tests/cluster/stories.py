"""What is tried beside the update, the certificate and the autoscaler, which wait most of their time.

The second node is then as a cloud's spot nodes are: only job processes may run there.
"""

import time
from concurrent.futures import Executor, Future
from typing import NamedTuple

from scripts.cluster.layout import SECOND
from scripts.cluster.processes import run
from tests.cluster import elsewhere, kills, tofu
from tests.cluster.cluster import FOREIGN, Cluster, helm
from tests.cluster.elsewhere import Elsewhere
from tests.edge.load import Load


class Stories(NamedTuple):
    """Each is one test's, which has its result."""

    foreign: Future[None]
    scaled: Future[Elsewhere]
    killed: Future[None]
    taken: Future[None]
    by_tofu: Future[None]


def begin(cluster: Cluster, pool: Executor) -> Stories:
    """Begin them, in namespaces of their own, where the first installation is."""
    cluster.joined.result()
    run("kubectl", "taint", "node", SECOND.name, f"{elsewhere.SPOT['key']}:{elsewhere.SPOT['effect']}")
    run("kubectl", "uncordon", SECOND.name)
    assert cluster.prometheus  # which all ask
    scaled = pool.submit(_scaled, cluster)
    killed = pool.submit(lambda: kills.each_job_has_one_result(scaled.result()))
    taken = pool.submit(_taken, scaled, killed)
    return Stories(pool.submit(_foreign, cluster), scaled, killed, taken, pool.submit(_by_tofu, cluster))


class _Books(Load):
    """The same of an application of tests/apps."""

    def _predict(self) -> None:
        with self._open() as client:
            while not self._stop.is_set():
                answer = client.get("/books/7")
                self._check("predict", answer)
                assert answer.json()["pages"] == 7
                time.sleep(0.05)

    def _upload(self, name: str, seconds: float) -> None:
        self._predict()


def _foreign(cluster: Cluster) -> None:
    variables = {"SIGHTGLASS_APP": "catalogue.main:app", "GREETING": "from the values"}
    books = cluster.install(FOREIGN, image=cluster.images["foreign"], env=variables)
    print(f"helm install to the first answer through TLS: {books.seconds:.1f} s")
    with books.loaded(_Books(books.url)):
        assert books.kubectl("get", "deployment", "api", "-o", "jsonpath={.status.readyReplicas}") == "2"
    helm("uninstall", FOREIGN, namespace=FOREIGN)


def _scaled(cluster: Cluster) -> Elsewhere:
    installed = elsewhere.install(cluster)
    elsewhere.scaled(installed)
    return installed


def _taken(scaled: Future[Elsewhere], killed: Future[None]) -> None:
    killed.result()
    kills.none_is_lost_that_was_accepted(scaled.result())


def _by_tofu(cluster: Cluster) -> None:
    tofu.brings_changes_and_takes_away(tofu.Tofu(cluster.directory / "tofu"))
