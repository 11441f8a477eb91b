"""The ASGI layer of tracing: a span around a sampled request, next to nothing around the others."""

import sys
from collections.abc import Callable

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.http import sanitize_method
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightglass.context import current_request
from sightglass.logs.lines import PATH_LIMIT, clean
from sightglass.settings import Settings
from sightglass.tracing.instrumentation import Instrumentation
from sightglass.tracing.provider import shut_down, start_provider
from sightglass.tracing.sampling import Sampling

_TRACE_HEADERS = frozenset({b"traceparent"})
# These carry text of the caller's choice on, into spans and to the services behind.
_TRUSTED_TRACE_HEADERS = _TRACE_HEADERS | {b"tracestate", b"baggage"}
_SCOPE = "sightglass.scope"
_NATIVE = "fastapi.telemetry"
_UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)


class TracedApp:
    """Serves an app and traces it between `start` and `shutdown`.

    Args:
        app: any ASGI app.
        settings: sampler, pipeline and the names of the service.
        route_of: finds the template of the route in the scope of a routed request.

    """

    def __init__(self, app: ASGIApp, settings: Settings, route_of: Callable[[Scope], str]) -> None:
        self.app = app
        self.provider: TracerProvider | None = None
        self._settings = settings
        self._route_of = route_of
        self._sampling = Sampling(settings)
        self._instrumentation: Instrumentation | None = None
        self._headers = _TRUSTED_TRACE_HEADERS if self._sampling.trusts_callers else _TRACE_HEADERS
        self._ids = RandomIdGenerator()
        self._propagator = TraceContextTextMapPropagator()

    def start(self) -> None:
        """Start the span pipeline, in the process that serves.

        Raises:
            ValueError: a variable that only OpenTelemetry reads has a value that it refuses.

        """
        if self.provider is None:
            self.provider = start_provider(self._settings, self._sampling.sampler())

    def shutdown(self) -> None:
        """Send the last spans, for a limited time."""
        instrumentation, self._instrumentation = self._instrumentation, None
        if instrumentation is not None:
            instrumentation.remove()
        provider, self.provider = self.provider, None
        if provider is not None:
            shut_down(provider)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        instrumentation = self._instrumentation or self._instrument()
        headers = [header for header in scope["headers"] if header[0] in self._headers]
        parent = self._parent(headers) if headers else trace.INVALID_SPAN_CONTEXT
        # FastAPI's native telemetry steps aside for whoever got here first.
        scope[_NATIVE] = None
        if instrumentation is not None and self._sampling.records(parent):
            await instrumentation.app(_without_user_text(scope, headers), receive, send)
        else:
            await self._unrecorded(parent, scope, receive, send)

    def _instrument(self) -> Instrumentation | None:
        # Not before the first request: then the app is complete.
        if self.provider is not None:
            self._instrumentation = Instrumentation(self.app, self._recorded, self.provider)
        return self._instrumentation

    async def _unrecorded(self, parent: SpanContext, scope: Scope, receive: Receive, send: Send) -> None:
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

    async def _recorded(self, reduced: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within the span that the instrumentation has made for it."""
        scope = reduced[_SCOPE]
        span = trace.get_current_span()
        if not span.is_recording():  # OTEL_PYTHON_FASTAPI_EXCLUDED_URLS
            await self._unrecorded(self._parent(reduced["headers"]), scope, receive, send)
            return
        if (request := current_request.get()) is not None:
            ids = span.get_span_context()
            request.trace_id = trace.format_trace_id(ids.trace_id)
            request.span_id = trace.format_span_id(ids.span_id)
            request.sampled = ids.trace_flags.sampled
        if self._instrumentation is not None:
            for hook in self._instrumentation.hooks:
                hook(span, scope)

        async def named_send(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                self._name(span, scope)
                if message.get("status", 0) >= 500:
                    _record_cause(span)
            await send(message)

        await self.app(scope, receive, named_send)

    def _name(self, span: Span, scope: Scope) -> None:
        # "{method} {http.route}" of the HTTP semantic conventions.
        method, route = _method(scope), self._route_of(scope)
        span.update_name(f"{'HTTP' if method == '_OTHER' else method} {route}")
        span.set_attribute("http.route", route)


def _record_cause(span: Span) -> None:
    """Record the exception that an answer of 500 or more is made for.

    Frameworks send the answer while they handle it and raise it afterwards, when the span has ended.
    """
    error = sys.exception()
    recorded = any(event.name == "exception" for event in getattr(span, "events", ()))
    if isinstance(error, Exception) and not recorded:
        span.record_exception(error)


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
        _NATIVE: None,
        _SCOPE: scope,
    }


def _method(scope: Scope) -> str:
    return sanitize_method(scope.get("method", "GET")) or "_OTHER"
