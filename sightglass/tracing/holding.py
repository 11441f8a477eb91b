"""Spans of requests that are not sampled, held until it is known how the request ended.

While it runs they are recorded and not sampled: whatever the process calls learns that, and no processor exports them.
A request that ends well forgets them. One that fails or is slow has them exported, by the provider that each was made
with; those that end later follow as they end.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from time import time_ns
from typing import Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as RecordingSpan
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from prometheus_client import Counter

from sightglass.tracing.export import copied

NOT_HELD = Counter("tracing_spans_not_held", "Spans of requests under way that there was no room for.")

_KEY = otel_context.create_key("sightglass-hold")
_LIMIT = 128  # attributes, events and links of a span: OpenTelemetry's defaults
_SHARE = 4  # of the room, what one request may have: a fourth


class Event(NamedTuple):
    """What happened within a request; an exception is written out only if its trace is kept."""

    name: str
    attributes: Mapping[str, Any] | None
    timestamp: int
    exception: BaseException | None = None


class HeldSpan(Span):
    """The span of a request that is not sampled: it remembers what is said of it, and makes nothing of it."""

    def __init__(self, context: SpanContext) -> None:
        self.attributes: dict[str, Any] = {}
        self.events: deque[Event] = deque(maxlen=_LIMIT)
        self.links: deque[trace.Link] = deque(maxlen=_LIMIT)
        self.status: Status | None = None
        self._context = context
        self._ended = False

    def get_span_context(self) -> SpanContext:
        """Return its ids."""
        return self._context

    def is_recording(self) -> bool:
        """Whether the request runs."""
        return not self._ended

    def end(self, end_time: int | None = None) -> None:  # noqa: ARG002
        """Take no more: the request's end counts."""
        self._ended = True

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Remember attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def set_attribute(self, key: str, value: Any) -> None:
        """Remember an attribute."""
        if len(self.attributes) < _LIMIT or key in self.attributes:
            self.attributes[key] = value

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None) -> None:
        """Remember an event."""
        self.events.append(Event(name, attributes, timestamp or time_ns()))

    def add_link(self, context: SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        """Remember a link."""
        self.links.append(trace.Link(context, attributes))

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: ARG002 - the API's
    ) -> None:
        """Remember an exception."""
        self.events.append(Event("exception", attributes, timestamp or time_ns(), exception))

    def update_name(self, name: str) -> None:
        """Do nothing: the route names it."""

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Remember a status."""
        self.status = status if isinstance(status, Status) else Status(status, description)


class Hold:
    """What is held for one request.

    Args:
        room: where its spans are held.
        span: the request's own; None where that is sampled, and only other providers' spans may be dropped.
        endless: whether it lasts as long as its client likes: then of its spans the latest are held, not the first.

    """

    __slots__ = ("_room", "endless", "headers", "kept", "span", "spans")

    def __init__(self, room: "Room", span: HeldSpan | None, *, endless: bool = False) -> None:
        self.span = span
        self.endless = endless
        self.headers: Sequence[tuple[bytes, bytes]] = ()  # of the answer
        self.spans: deque[tuple[RecordingSpan, SpanProcessor]] = deque()
        self.kept: bool | None = None  # once that is known
        self._room = room

    def attach(self, context: Context | None = None) -> Any:
        """Make it, and the request's span, those of a context, and that the current one; returns what detaches it."""
        if self.span is not None:
            context = trace.set_span_in_context(self.span, context)
        return otel_context.attach(otel_context.set_value(_KEY, self, context))

    @property
    def open(self) -> bool:
        """Whether spans that are started now may be wanted."""
        return self.kept is not False

    def add(self, span: RecordingSpan, exported_by: SpanProcessor) -> None:
        """Hold a span that starts."""
        self._room.hold(self, span, exported_by)
        if self.kept:
            self._room.await_end(span, exported_by)

    def forget(self) -> None:
        """Drop everything: the request ended well."""
        self._room.release(self, kept=False)

    def keep(self) -> None:
        """Export what has ended, and what will."""
        for span, exported_by in self._room.release(self, kept=True):
            self._room.await_end(span, exported_by)


class Room:
    """The room there is for held spans, and those of kept traces that have yet to end.

    Whoever has been at it the longest makes room for others: a connection that is open for hours cannot take it all.

    Args:
        spans: how many there may be of each.

    """

    def __init__(self, spans: int) -> None:
        self._most = spans
        self._share = max(1, spans // _SHARE)
        self._held = 0
        self._holds: dict[Hold, None] = {}  # those with spans, the oldest first
        self._late: OrderedDict[int, SpanProcessor] = OrderedDict()
        self._lock = threading.Lock()

    def hold(self, hold: Hold, span: RecordingSpan, exported_by: SpanProcessor) -> None:
        """Hold a span for a request that has not ended."""
        with self._lock:
            if hold.kept is not None:
                return
            full = len(hold.spans) >= self._share
            if full and not hold.endless:
                NOT_HELD.inc()
                return
            if full or self._held >= self._most:
                self._drop_oldest(hold if full else next(iter(self._holds)))
            hold.spans.append((span, exported_by))
            self._holds[hold] = None
            self._held += 1

    def release(self, hold: Hold, *, kept: bool) -> Sequence[tuple[RecordingSpan, SpanProcessor]]:
        """Give what was held for a request that has ended; nothing is held for it any more."""
        with self._lock:
            if hold.kept is not None:
                return ()
            hold.kept = kept
            spans, hold.spans = hold.spans, deque()
            self._held -= len(spans)
            self._holds.pop(hold, None)
            return spans

    def _drop_oldest(self, hold: Hold) -> None:
        hold.spans.popleft()
        self._held -= 1
        if not hold.spans:
            del self._holds[hold]
        NOT_HELD.inc()

    def await_end(self, span: RecordingSpan, exported_by: SpanProcessor) -> None:
        """Export a span as soon as it has ended."""
        span_id = span.get_span_context().span_id
        with self._lock:
            self._late[span_id] = exported_by
            if len(self._late) > self._most:
                self._late.popitem(last=False)  # likely one that never ends
                NOT_HELD.inc()
        if not span.is_recording():
            self.ended(span)

    def ended(self, span: ReadableSpan) -> None:
        """Export a span that was waited for."""
        context = span.get_span_context()
        if self._late and context is not None:
            with self._lock:
                exported_by = self._late.pop(context.span_id, None)
            if exported_by is not None:
                sampled = TraceFlags(context.trace_flags | TraceFlags.SAMPLED)
                ids = SpanContext(context.trace_id, context.span_id, False, sampled, context.trace_state)
                exported_by.on_end(copied(span, context=ids))


class HoldingProcessor(SpanProcessor):
    """Has the spans of one provider held that are recorded but not sampled.

    Args:
        room: where.
        exported_by: what is told of those that are exported after all.

    """

    def __init__(self, room: Room, exported_by: SpanProcessor) -> None:
        self._room = room
        self._exported_by = exported_by

    def on_start(self, span: RecordingSpan, parent_context: Context | None = None) -> None:
        """Hold a span that belongs to a request under way."""
        if not span.get_span_context().trace_flags.sampled:
            hold = _hold(parent_context)
            if hold is not None:
                hold.add(span, self._exported_by)

    def on_end(self, span: ReadableSpan) -> None:
        """Export a span whose request was kept meanwhile."""
        self._room.ended(span)

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Do nothing."""
        return True


class HoldingSampler(Sampler):
    """Records what another sampler would drop, while a request is under way that may want it."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[trace.Link] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> SamplingResult:
        """Ask the other sampler first."""
        result = self._sampler.should_sample(parent_context, trace_id, name, kind, attributes, links, *args, **kwargs)
        return recorded(result, parent_context, attributes)

    def get_description(self) -> str:
        """Name the other sampler."""
        return f"Holding{{{self._sampler.get_description()}}}"


def recorded(result: SamplingResult, parent_context: Context | None, attributes: Any) -> SamplingResult:
    """Return the decision that holds a span which would be dropped, where a request may want it."""
    if result.decision is Decision.DROP:
        hold = _hold(parent_context)
        if hold is not None and hold.open:
            return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)
    return result


def _hold(context: Context | None) -> Hold | None:
    hold = otel_context.get_value(_KEY, context)
    return hold if isinstance(hold, Hold) else None


def hold_spans_of(provider: trace.TracerProvider, room: Room) -> None:
    """Have the spans of an application's own provider held, too; its own processors export them."""
    if not isinstance(provider, TracerProvider) or isinstance(provider.sampler, HoldingSampler):
        return
    provider.sampler = HoldingSampler(provider.sampler)
    for tracer in getattr(provider, "_tracers", {}).values():  # each has a sampler of its own
        tracer.sampler = provider.sampler
    provider.add_span_processor(HoldingProcessor(room, provider._active_span_processor))
