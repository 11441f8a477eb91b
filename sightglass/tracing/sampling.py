"""Which requests are recorded: decided once for each, before anything of OpenTelemetry sees it.

With the plain samplers (``always_on``, ``always_off``, ``traceidratio``) a caller's ``traceparent`` (W3C Trace Context)
continues its trace but neither its sampled flag nor its choice of trace id has a say: at a public edge that would let
any client fill the tracing backend. The ``parentbased_`` samplers say that the callers can be trusted with it.
"""

import random
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import SpanContext, SpanKind

from sightglass.settings import PARENTBASED, Settings
from sightglass.tracing.holding import HoldingSampler


class Sampling:
    """The decision, and the sampler that keeps OpenTelemetry to it.

    Args:
        settings: ``OTEL_TRACES_SAMPLER`` and its argument.

    """

    def __init__(self, settings: Settings) -> None:
        self.trusts_callers = settings.otel_traces_sampler.startswith(PARENTBASED)
        match settings.otel_traces_sampler.removeprefix(PARENTBASED):
            case "always_on":
                self._share = 1.0
            case "always_off":
                self._share = 0.0
            case _:
                self._share = settings.otel_traces_sampler_arg
        self.keeps_failed = not settings.otel_traces_sampler.endswith("always_off")

    def records(self, parent: SpanContext) -> bool:
        """Decide whether a request with this parent, valid or not, is recorded."""
        if self.trusts_callers and parent.is_valid:
            return parent.trace_flags.sampled
        # Not the trace id: a client may have chosen it.
        return random.random() < self._share  # noqa: S311

    def sampler(self) -> Sampler:
        """Return what records the requests that arrive at it, what belongs to them, and of all else its share."""
        root = _RequestsDecided(TraceIdRatioBased(self._share))
        sampler = ParentBased(root, remote_parent_sampled=ALWAYS_ON, remote_parent_not_sampled=ALWAYS_ON)
        return HoldingSampler(sampler)


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
