"""The ASGI layer of tracing: a span around a sampled request, next to nothing around the others."""

import sys
from collections.abc import Callable

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags
from opentelemetry.util.http import sanitize_method
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightglass.asgi.identity import identify
from sightglass.context import RequestContext, current_request
from sightglass.logs.lines import PATH_LIMIT, clean
from sightglass.settings import Settings
from sightglass.tracing.ids import start_trace
from sightglass.tracing.instrumentation import Instrumentation
from sightglass.tracing.provider import shut_down, start_provider
from sightglass.tracing.sampling import Sampling

_TRACE_HEADERS = frozenset({b"traceparent"})
# These carry text of the caller's choice on, into spans and to the services behind.
_TRUSTED_TRACE_HEADERS = _TRACE_HEADERS | {b"tracestate", b"baggage"}
_SCOPE = "sightglass.scope"
_REQUEST = "sightglass.request_context"
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
        request = current_request.get() or identify(scope["headers"])
        parent = _parent_of(request)
        # FastAPI's native telemetry steps aside for whoever got here first.
        scope[_NATIVE] = None
        if instrumentation is not None and self._sampling.records(parent):
            headers = [header for header in scope["headers"] if header[0] in self._headers] if parent.is_valid else []
            if not parent.is_valid:
                start_trace(_number(request.trace_id))
            await instrumentation.app(_without_user_text(scope, headers, request), receive, send)
        else:
            await self._unrecorded(request, scope, receive, send)

    def _instrument(self) -> Instrumentation | None:
        # Not before the first request: then the app is complete.
        if self.provider is not None:
            self._instrumentation = Instrumentation(self.app, self._recorded, self.provider)
        return self._instrumentation

    async def _unrecorded(self, request: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        # What the app calls learns that this trace is not recorded, and its own spans are not either.
        trace_id, span_id = _number(request.trace_id), self._ids.generate_span_id()
        own = SpanContext(trace_id, span_id, is_remote=False, trace_flags=_UNSAMPLED)
        token = otel_context.attach(trace.set_span_in_context(NonRecordingSpan(own)))
        try:
            await self.app(scope, receive, send)
        finally:
            otel_context.detach(token)

    async def _recorded(self, reduced: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within the span that the instrumentation has made for it."""
        scope, request = reduced[_SCOPE], reduced[_REQUEST]
        span = trace.get_current_span()
        if not span.is_recording():  # OTEL_PYTHON_FASTAPI_EXCLUDED_URLS
            await self._unrecorded(request, scope, receive, send)
            return
        ids = span.get_span_context()
        request.span_id = trace.format_span_id(ids.span_id)
        request.sampled = ids.trace_flags.sampled
        span.set_attribute("request_id", request.request_id)
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


def _parent_of(request: RequestContext) -> SpanContext:
    if request.parent is None:
        return trace.INVALID_SPAN_CONTEXT
    _, trace_id, span_id, flags = request.parent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _number(trace_id: str | None) -> int:
    return int(trace_id or "0", 16)


def _without_user_text(scope: Scope, headers: list[tuple[bytes, bytes]], request: RequestContext) -> Scope:
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
        _REQUEST: request,
    }


def _method(scope: Scope) -> str:
    return sanitize_method(scope.get("method", "GET")) or "_OTHER"
