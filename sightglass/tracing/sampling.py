"""Which requests are recorded: decided once for each, before anything of OpenTelemetry sees it.

With the plain samplers (``always_on``, ``always_off``, ``traceidratio``) a caller's ``traceparent`` (W3C Trace Context)
continues its trace but neither its sampled flag nor its choice of trace id has a say: at a public edge that would let
any client fill the tracing backend. The ``parentbased_`` samplers say that the callers can be trusted with it.
"""

import random
from contextvars import ContextVar
from typing import Any

from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import SpanContext

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

    def sampler(self, *, parent_decides: bool = False) -> Sampler:
        """Return what records the requests that arrive at it, what belongs to them, and of all else its share.

        Args:
            parent_decides: every parent from elsewhere is a request of ours, which was decided there.

        """
        others = _RequestsDecided(self._share)
        parent_decides = parent_decides or self.trusts_callers
        sampler = ParentBased(
            others,
            remote_parent_sampled=_RequestsDecided(1) if parent_decides else others,
            remote_parent_not_sampled=_RequestsDecided(0) if parent_decides else others,
        )
        return HoldingSampler(sampler)


_decided: ContextVar[bool] = ContextVar("request_decided", default=False)


def decided(*, yes: bool = True) -> None:
    """Have the next span of this context that no span of this process is the parent of recorded: it is a request's."""
    _decided.set(yes)


class _RequestsDecided(Sampler):
    """Records the spans of requests, as those arriving here are the sampled ones; others by their share."""

    def __init__(self, share: float) -> None:
        self._share = share

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        request = _decided.get()
        if request:
            _decided.set(False)
        # By chance, not by the trace id, as for requests.
        sampler = ALWAYS_ON if request or random.random() < self._share else ALWAYS_OFF  # noqa: S311
        return sampler.should_sample(*args, **kwargs)

    def get_description(self) -> str:
        return f"RequestsDecided{{{self._share}}}"
