"""The ASGI layer of tracing: a span around a sampled request; around the others one that is made if it matters."""

import sys
from collections.abc import Callable, Sequence
from time import perf_counter, time_ns
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.asgi import asgi_getter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState
from opentelemetry.util.http import sanitize_method
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightglass.context import RequestContext, current_request
from sightglass.exchange import Exchange
from sightglass.identity import identify
from sightglass.logs.lines import PATH_LIMIT, clean
from sightglass.settings import Settings
from sightglass.tracing.holding import HeldSpan, Hold, Room, hold_spans_of
from sightglass.tracing.ids import ask_for
from sightglass.tracing.instrumentation import Instrumentation
from sightglass.tracing.provider import shut_down, start_provider
from sightglass.tracing.sampling import Sampling, decided

_TRACE_HEADERS = frozenset({b"traceparent"})
# These carry text of the caller's choice on, into spans and to the services behind.
_TRUSTED_TRACE_HEADERS = _TRACE_HEADERS | {b"tracestate", b"baggage"}
_SCOPE = "sightglass.scope"
_REQUEST = "sightglass.request_context"
_NATIVE = "fastapi.telemetry"
_UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)
_NOTHING = Context()


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
        self._room = Room(settings.tracing_held_spans)
        self._slow_routes = frozenset((settings.slow_routes or "").split())

    def start(self) -> None:
        """Start the span pipeline, in the process that serves.

        Raises:
            ValueError: a variable that only OpenTelemetry reads has a value that it refuses.

        """
        if self.provider is None:
            self.provider = start_provider(self._settings, self._sampling.sampler(), self._room)

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
        # A server may begin a request in the context of another one of its connection.
        token = otel_context.attach(_NOTHING) if otel_context.get_current() else None
        try:
            if instrumentation is not None and self._sampling.records(parent):
                headers = self._trace_headers(scope) if parent.is_valid else []
                if not parent.is_valid:
                    ask_for(trace_id=_number(request.trace_id))
                decided()
                await instrumentation.app(_without_user_text(scope, headers, request), receive, send)
            elif instrumentation is not None and self._sampling.keeps_failed and not instrumentation.excludes(scope):
                await self._held(request, scope, receive, send)
            else:
                await self._unrecorded(request, scope, receive, send)
        finally:
            if token is not None:
                otel_context.detach(token)

    def judge(self, exchange: Exchange) -> None:
        """Make the trace an exemplar if it is kept; of a request that is over, before it is counted."""
        if self._matters(exchange):
            exchange.context.sampled = True

    def _matters(self, exchange: Exchange) -> bool:
        """Tell whether a request failed, or took longer than it should."""
        if exchange.status >= 500 or exchange.outcome in ("error", "cancelled"):
            return True
        slow = exchange.scope["type"] == "http" and exchange.duration >= self._settings.tracing_slow_seconds
        return slow and exchange.route not in self._slow_routes and not _is_stream(exchange.context.hold.headers)

    def conclude(self, exchange: Exchange, error: BaseException | None) -> None:
        """Decide what becomes of the held spans, once the app has returned or raised."""
        hold = exchange.context.hold
        failed_late = (  # in a background task
            isinstance(error, Exception) and exchange.outcome != "disconnected" and not exchange.says_client_left(error)
        )
        if not (failed_late or self._matters(exchange)):
            hold.forget()
            return
        if hold.span is not None and self.provider is not None:
            self._export(self.provider, hold.span, exchange, error)
        hold.keep()

    def _export(
        self, provider: TracerProvider, held: HeldSpan, exchange: Exchange, error: BaseException | None
    ) -> None:
        """Make the span that the instrumentation would have made."""
        scope, request, ids = exchange.scope, exchange.context, held.get_span_context()
        parent, start = _parent_of(request, ids.trace_state), time_ns() - int((perf_counter() - exchange.started) * 1e9)
        ask_for(trace_id=ids.trace_id, span_id=ids.span_id)
        decided()
        span = provider.get_tracer("sightglass.tracing").start_span(
            _span_name(scope, exchange.route),
            trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent.is_valid else Context(),
            SpanKind.SERVER,
            _attributes(scope) | {"http.route": exchange.route, "request_id": request.request_id} | held.attributes,
            list(held.links),
            start,
        )
        ask_for()
        if exchange.sent is not None:
            span.set_attribute("http.response.status_code", exchange.sent)
        for event in held.events:
            if event.exception is None:
                span.add_event(event.name, event.attributes, event.timestamp)
            else:
                span.record_exception(event.exception, event.attributes, event.timestamp)
        if isinstance(error, Exception) and not any(event.exception is error for event in held.events):
            span.record_exception(error)
        if held.status is not None:
            span.set_status(held.status)
        if exchange.status >= 500 or isinstance(error, Exception):
            raised = "_OTHER" if error is None else type(error).__qualname__
            span.set_attribute("error.type", str(exchange.sent) if (exchange.sent or 0) >= 500 else raised)
            span.set_status(StatusCode.ERROR)
        held.end()
        span.end(start + int(exchange.duration * 1e9))

    def _instrument(self) -> Instrumentation | None:
        # Not before the first request: then the app is complete.
        if self.provider is not None:
            self._instrumentation = Instrumentation(self.app, self._recorded, self.provider)
            if (others := trace.get_tracer_provider()) is not self.provider:
                hold_spans_of(others, self._room)
        return self._instrumentation

    async def _held(self, request: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that is not sampled, and may turn out to matter."""
        own, context = self._unsampled(request, scope)
        span = HeldSpan(own)
        request.span_id = trace.format_span_id(own.span_id)
        request.hold = hold = Hold(self._room, span, endless=scope["type"] == "websocket")
        if self._instrumentation is not None:
            for hook in self._instrumentation.hooks:
                hook(span, scope)

        async def noted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                hold.headers = message.get("headers", ())
                if message["status"] >= 500:
                    _record_cause(span)
            await send(message)

        token = hold.attach(context)
        try:
            await self.app(scope, receive, noted_send)
        finally:
            otel_context.detach(token)

    async def _unrecorded(self, request: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        # What the app calls learns that this trace is not recorded, and its own spans are not either.
        own, context = self._unsampled(request, scope)
        token = otel_context.attach(trace.set_span_in_context(NonRecordingSpan(own), context))
        try:
            await self.app(scope, receive, send)
        finally:
            otel_context.detach(token)

    def _unsampled(self, request: RequestContext, scope: Scope) -> tuple[SpanContext, Context]:
        """Return the ids of a request's own span, and the context that a trusted caller's headers make."""
        context, state = _NOTHING, None
        if request.parent is not None and self._sampling.trusts_callers:
            context = propagate.extract({"headers": self._trace_headers(scope)}, getter=asgi_getter)
            state = trace.get_current_span(context).get_span_context().trace_state
        trace_id, span_id = _number(request.trace_id), self._ids.generate_span_id()
        return SpanContext(trace_id, span_id, is_remote=False, trace_flags=_UNSAMPLED, trace_state=state), context

    def _trace_headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        return [header for header in scope["headers"] if header[0] in self._headers]

    async def _recorded(self, reduced: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within the span that the instrumentation has made for it."""
        scope, request = reduced[_SCOPE], reduced[_REQUEST]
        span = trace.get_current_span()
        if not span.is_recording():  # OTEL_PYTHON_FASTAPI_EXCLUDED_URLS
            decided(yes=False)
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

        request.hold = hold = Hold(self._room, None)
        token = hold.attach()
        try:
            await self.app(scope, receive, named_send)
        finally:
            otel_context.detach(token)

    def _name(self, span: Span, scope: Scope) -> None:
        route = self._route_of(scope)
        span.update_name(_span_name(scope, route))
        span.set_attribute("http.route", route)


def _record_cause(span: Span) -> None:
    """Record the exception that an answer of 500 or more is made for.

    Frameworks send the answer while they handle it and raise it afterwards, when the span has ended.
    """
    error = sys.exc_info()[1]  # `sys.exception` is not in Python 3.10
    recorded = any(event.name == "exception" for event in getattr(span, "events", ()))
    if isinstance(error, Exception) and not recorded:
        span.record_exception(error)


def _parent_of(request: RequestContext, trace_state: TraceState | None = None) -> SpanContext:
    if request.parent is None:
        return trace.INVALID_SPAN_CONTEXT
    _, trace_id, span_id, flags = request.parent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)), trace_state)


def _number(trace_id: str | None) -> int:
    return int(trace_id or "0", 16)


def _span_name(scope: Scope, route: str) -> str:
    # "{method} {http.route}" of the HTTP semantic conventions.
    method = _method(scope)
    return f"{'HTTP' if method == '_OTHER' else method} {route}"


def _attributes(scope: Scope) -> dict[str, Any]:
    """Return what the stable HTTP semantic conventions say of a server's span, without what a client has written."""
    host, port = scope.get("server") or (None, None)
    attributes = {
        "http.request.method": _method(scope),
        "url.scheme": scope.get("scheme", "http"),
        "url.path": clean(scope["path"], PATH_LIMIT),
        "network.protocol.version": scope.get("http_version"),
        "server.address": host,
        "server.port": port,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _is_stream(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Tell whether an answer lasts as long as somebody listens (server-sent events)."""
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)


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
