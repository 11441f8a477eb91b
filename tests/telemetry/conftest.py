"""One stack with logs and traces, for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import say
from tests.telemetry.stores import Telemetry, running

SERVICES = ("nginx", "prometheus", "alertmanager", "collector", "victoria-logs", "jaeger", "telemetry-door")


@pytest.fixture(scope="session")
def telemetry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Telemetry]:
    """A stack without job processes and most exporters; the first time, images are built from Go modules."""
    say("the stack with logs and traces; its first start builds three programs")
    served = {"APP": "orders:app", "APP_DIR": "./tests/telemetry/app", "JOBS_REPLICAS": "0"}

    def beside_the_service(directory: Path) -> None:
        (directory / "app.env").write_text("PYTHONPATH=/srv/app:/opt/service:/opt/sightglass\n")

    directory = tmp_path_factory.mktemp("telemetry")
    with running(directory, *SERVICES, "api", prepare=beside_the_service, **served) as stack:
        yield stack
