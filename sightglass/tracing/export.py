"""The last step before the collector: what may not leave is taken out of spans, what does not arrive is counted."""

import re
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status
from prometheus_client import Counter

SPANS_FAILED = Counter("tracing_spans_failed", "Spans that the collector did not take.")
_FRAME = re.compile(r'^ *File "[^"\n]*", line \d+, in .*$', re.MULTILINE)


class ScrubbingExporter(SpanExporter):
    """Leaves messages of exceptions, which may quote what a client sent, out of events and statuses; counts failures.

    Args:
        exporter: where the spans go then.

    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; called in the batch processor's thread."""
        result = self._exporter.export([_scrub(span) for span in spans])
        if result is not SpanExportResult.SUCCESS:
            SPANS_FAILED.inc(len(spans))
        return result

    def shutdown(self) -> None:
        """Stop sending."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what is waiting."""
        return self._exporter.force_flush(timeout_millis)


def _scrub(span: ReadableSpan) -> ReadableSpan:
    if span.status.description is None and not any(event.name == "exception" for event in span.events):
        return span
    events = [_scrub_event(event) if event.name == "exception" else event for event in span.events]
    return copied(span, events=events, status=Status(span.status.status_code))


def copied(span: ReadableSpan, **changes: Any) -> ReadableSpan:
    """Return a span as it is, but for these of its parts."""
    parts = {
        "name": span.name,
        "context": span.get_span_context(),
        "parent": span.parent,
        "resource": span.resource,
        "attributes": span.attributes,
        "events": span.events,
        "links": span.links,
        "kind": span.kind,
        "status": span.status,
        "start_time": span.start_time,
        "end_time": span.end_time,
        "instrumentation_scope": span.instrumentation_scope,
    }
    return ReadableSpan(**parts | changes)


def _scrub_event(event: Event) -> Event:
    attributes = dict(event.attributes or {})
    message = str(attributes.pop("exception.message", ""))
    stack = str(attributes.get("exception.stacktrace", "")).replace(message, "")
    attributes["exception.stacktrace"] = "\n".join(_FRAME.findall(stack))
    return Event(event.name, attributes, event.timestamp)
