"""The span pipeline of one process: started after a fork, shut down last."""

import logging
import os
import threading

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Sampler

from sightglass.settings import Settings
from sightglass.tracing.export import ScrubbingExporter
from sightglass.tracing.holding import HoldingProcessor, Room
from sightglass.tracing.ids import RequestIds

SHUTDOWN_SECONDS = 3.0
_BATCH = 512  # OpenTelemetry's default

logger = logging.getLogger(__name__)


def start_provider(settings: Settings, sampler: Sampler, room: Room | None = None) -> TracerProvider:
    """Build the pipeline, in the process that works with it, as its thread does not survive a fork.

    It becomes the global one unless the application has set its own.

    Raises:
        ValueError: a variable that only OpenTelemetry reads has a value that it refuses.

    """
    provider = TracerProvider(
        sampler=sampler,
        resource=_resource(settings),
        id_generator=RequestIds(),
        shutdown_on_exit=False,  # that waits for as long as the collector likes
    )
    queue = settings.otel_bsp_max_queue_size
    processor = BatchSpanProcessor(
        ScrubbingExporter(OTLPSpanExporter()),
        max_queue_size=queue,
        max_export_batch_size=settings.otel_bsp_max_export_batch_size or min(queue, _BATCH),
        schedule_delay_millis=settings.otel_bsp_schedule_delay,
        export_timeout_millis=settings.otel_bsp_export_timeout,
    )
    provider.add_span_processor(processor)
    if room is not None:
        provider.add_span_processor(HoldingProcessor(room, processor))
    # What configures itself from the environment (FastAPI's native telemetry) would send every span once more.
    os.environ["OTEL_TRACES_EXPORTER"] = "none"
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
    return provider


def shut_down(provider: TracerProvider) -> None:
    """Send the last spans, for at most `SHUTDOWN_SECONDS`; what the collector has not taken by then is lost."""
    # A thread, since an export in progress cannot be told to stop; as a daemon it does not outlive the process.
    thread = threading.Thread(target=provider.shutdown, name="tracing-shutdown", daemon=True)
    thread.start()
    thread.join(SHUTDOWN_SECONDS)
    if thread.is_alive():
        logger.warning("the last spans are lost: the collector did not answer within %g s", SHUTDOWN_SECONDS)


def _resource(settings: Settings) -> Resource:
    defaults = Resource(
        {
            "service.name": settings.app_name,
            "service.version": settings.app_version,
            "deployment.environment.name": settings.environment,
        }
    )
    if name := os.environ.get("OTEL_SERVICE_NAME"):
        defaults = defaults.merge(Resource({"service.name": name}))
    return Resource.create(defaults.merge(OTELResourceDetector().detect()).attributes)
