"""Tracing: OpenTelemetry's own ASGI instrumentation for the sampled requests, next to nothing for the others.

Sampling is decided here, once for each request. With the plain samplers (``always_on``, ``always_off``,
``traceidratio``) a caller's ``traceparent`` (W3C Trace Context) continues its trace but neither its sampled flag nor
its choice of trace id has a say: at a public edge that would let any client fill the tracing backend. The
``parentbased_`` samplers say that the callers can be trusted with it.
"""

import logging
import os
import random
import threading
from collections.abc import Callable
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.http import sanitize_method
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightglass.context import current_request
from sightglass.logs.lines import PATH_LIMIT, clean
from sightglass.settings import Settings
from sightglass.tracing.export import ScrubbingExporter

SHUTDOWN_SECONDS = 3.0
_BATCH = 512  # OpenTelemetry's default
_TRACE_HEADERS = frozenset({b"traceparent"})
# These carry text of the caller's choice on, into spans and to the services behind.
_TRUSTED_TRACE_HEADERS = _TRACE_HEADERS | {b"tracestate", b"baggage"}
_SCOPE = "sightglass.scope"
_UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)

logger = logging.getLogger(__name__)


class Tracing:
    """The tracing of one process: wrap the app, start after fork, shut down last.

    Args:
        settings: switch, sampler and the names of the service.
        route_of: finds the template of the route in the scope of a routed request.

    """

    def __init__(self, settings: Settings, route_of: Callable[[Scope], str]) -> None:
        self._settings = settings
        self.route_of = route_of
        self._provider: TracerProvider | None = None
        self.trusts_callers = settings.otel_traces_sampler.startswith("parentbased_")
        match settings.otel_traces_sampler.removeprefix("parentbased_"):
            case "always_on":
                self._share = 1.0
            case "always_off":
                self._share = 0.0
            case _:
                self._share = settings.otel_traces_sampler_arg

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return the app with tracing around it, or the app itself when ``TRACING_ENABLED`` is off."""
        return _TracedApp(app, self) if self._settings.tracing_enabled else app

    def start(self) -> None:
        """Build the span pipeline; in the process that serves, as its thread does not survive a fork.

        Raises:
            ValueError: a variable that only OpenTelemetry reads has a value that it refuses.

        """
        if self._provider is not None or not self._settings.tracing_enabled:
            return
        settings = self._settings
        defaults = Resource(
            {
                "service.name": settings.app_name,
                "service.version": settings.app_version,
                "deployment.environment.name": settings.environment,
            }
        )
        if name := os.environ.get("OTEL_SERVICE_NAME"):
            defaults = defaults.merge(Resource({"service.name": name}))
        resource = Resource.create(defaults.merge(OTELResourceDetector().detect()).attributes)
        root = _RequestsDecided(TraceIdRatioBased(self._share))
        provider = TracerProvider(
            sampler=ParentBased(root, remote_parent_sampled=ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON),
            resource=resource,
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
        self._provider = provider
        trace.set_tracer_provider(provider)

    def shutdown(self) -> None:
        """Send the last spans, for at most `SHUTDOWN_SECONDS`; what the collector has not taken by then is lost."""
        provider, self._provider = self._provider, None
        if provider is None:
            return
        # A thread, since an export in progress cannot be told to stop; as a daemon it does not outlive the process.
        thread = threading.Thread(target=provider.shutdown, name="tracing-shutdown", daemon=True)
        thread.start()
        thread.join(SHUTDOWN_SECONDS)
        if thread.is_alive():
            logger.warning("the last spans are lost: the collector did not answer within %g s", SHUTDOWN_SECONDS)

    def samples(self, parent: SpanContext) -> bool:
        """Decide whether a request with this parent, valid or not, is recorded."""
        if self.trusts_callers and parent.is_valid:
            return parent.trace_flags.sampled
        # Not the trace id: a client may have chosen it.
        return random.random() < self._share  # noqa: S311

    @property
    def provider(self) -> TracerProvider | None:
        """The provider while tracing runs."""
        return self._provider


class _TracedApp:
    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self.app = app
        self._tracing = tracing
        self._instrumented: ASGIApp | None = None
        self._headers = _TRUSTED_TRACE_HEADERS if tracing.trusts_callers else _TRACE_HEADERS
        self._ids = RandomIdGenerator()
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = [header for header in scope["headers"] if header[0] in self._headers]
        parent = self._parent(headers) if headers else trace.INVALID_SPAN_CONTEXT
        # FastAPI's native telemetry steps aside for whoever got here first.
        scope["fastapi.telemetry"] = None
        provider = self._tracing.provider
        if provider is not None and self._tracing.samples(parent):
            instrumented = self._instrumented or self._instrument(provider)
            await instrumented(_without_user_text(scope, headers), receive, send)
        else:
            await self._unsampled(parent, scope, receive, send)

    async def _unsampled(self, parent: SpanContext, scope: Scope, receive: Receive, send: Send) -> None:
        trace_id = parent.trace_id if parent.is_valid else self._ids.generate_trace_id()
        if (request := current_request.get()) is not None:
            request.trace_id = trace.format_trace_id(trace_id)
        # What the app calls learns that this trace is not recorded, and its own spans are not either.
        own = SpanContext(trace_id, self._ids.generate_span_id(), is_remote=False, trace_flags=_UNSAMPLED)
        token = otel_context.attach(trace.set_span_in_context(NonRecordingSpan(own)))
        try:
            await self.app(scope, receive, send)
        finally:
            otel_context.detach(token)

    def _parent(self, headers: list[tuple[bytes, bytes]]) -> SpanContext:
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        return trace.get_current_span(self._propagator.extract(carrier, Context())).get_span_context()

    def _instrument(self, provider: TracerProvider) -> ASGIApp:
        # The stable HTTP conventions; contrib keeps to the ones before them unless told.
        os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
        instrumented: ASGIApp = OpenTelemetryMiddleware(
            self._traced,
            default_span_details=lambda scope: (scope["method"], {}),
            tracer_provider=provider,
            meter_provider=NoOpMeterProvider(),
            exclude_spans=["send", "receive"],
        )
        self._instrumented = instrumented
        return instrumented

    async def _traced(self, reduced: Scope, receive: Receive, send: Send) -> None:
        scope = reduced[_SCOPE]
        span = trace.get_current_span()
        if (request := current_request.get()) is not None:
            ids = span.get_span_context()
            request.trace_id = trace.format_trace_id(ids.trace_id)
            request.span_id = trace.format_span_id(ids.span_id)
            request.sampled = ids.trace_flags.sampled

        async def named_send(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                self._name(span, scope)
            await send(message)

        await self.app(scope, receive, named_send)

    def _name(self, span: Span, scope: Scope) -> None:
        # "{method} {http.route}" of the HTTP semantic conventions.
        method, route = _method(scope), self._tracing.route_of(scope)
        span.update_name(f"{'HTTP' if method == '_OTHER' else method} {route}")
        span.set_attribute("http.route", route)


def _without_user_text(scope: Scope, headers: list[tuple[bytes, bytes]]) -> Scope:
    """Return what the instrumentation may see: it records client address, user agent and query string otherwise."""
    return {
        "type": scope["type"],
        "method": _method(scope),
        "path": clean(scope["path"], PATH_LIMIT),
        "scheme": scope.get("scheme", "http"),
        "http_version": scope.get("http_version"),
        "server": scope.get("server"),
        "headers": headers,
        _SCOPE: scope,
    }


def _method(scope: Scope) -> str:
    return sanitize_method(scope.get("method", "GET")) or "_OTHER"


class _RequestsDecided(Sampler):
    """Records every root span of a request, as those arriving here are the sampled ones; others by their share."""

    def __init__(self, others: Sampler) -> None:
        self._others = others

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> SamplingResult:
        sampler = ALWAYS_ON if kind is SpanKind.SERVER else self._others
        return sampler.should_sample(parent_context, trace_id, name, kind, *args, **kwargs)

    def get_description(self) -> str:
        return f"RequestsDecided{{{self._others.get_description()}}}"
