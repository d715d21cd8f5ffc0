"""Metrics. Labels are the method, the kind and the code: a few hundred series, whatever callers send."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import accumulate
from typing import NamedTuple, TypeAlias

import grpc
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Observation(NamedTuple):
    """One finished call. `method` is "package.Service/Method"; `messages` counts what a stream sent."""

    method: str
    streams: bool
    code: grpc.StatusCode
    reason: str
    seconds: float
    messages: int


Observe: TypeAlias = Callable[[Observation], None]

# A read answered from memory takes a millisecond, a durable write a few, a reconciliation seconds.
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BOUNDS = (*(str(float(bucket)) for bucket in _BUCKETS), "+Inf")
# What the alerts CallsFail and CallsRefused count.
_DEFECTS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)
_REFUSALS = ("OVERLOADED", "STORE_UNAVAILABLE")


class _Times:
    """How long calls of one method took: counts by bucket, and their sum."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.sum_s = 0.0

    def cumulative(self) -> list[tuple[str, float]]:
        return list(zip(_BOUNDS, accumulate(self.counts), strict=True))


class Metrics(Collector):
    """Counts calls for a prometheus registry. An instance is an `Observe`.

    It counts in plain integers, which the event loop needs no locks for, and makes metrics of them when they are read:
    prometheus' own histogram costs several times as much a call.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls: Counter[tuple[str, grpc.StatusCode]] = Counter()
        self._errors: Counter[tuple[str, str]] = Counter()
        self._messages: Counter[str] = Counter()
        self._times: defaultdict[str, _Times] = defaultdict(_Times)
        self._in_flight: dict[str, Callable[[], float]] = {}
        registry.register(self)

    def __call__(self, seen: Observation) -> None:
        method, streams, code, reason, seconds, messages = seen
        self._calls[method, code] += 1
        if streams:
            self._messages[method] += messages
        else:
            times = self._times[method]
            times.counts[bisect_left(_BUCKETS, seconds)] += 1
            times.sum_s += seconds
        if reason:
            self._errors[method, reason] += 1

    def begin(self, methods: Iterable[str]) -> None:
        """Shows at 0 what alerts count of these methods: of a series that begins at 1 Prometheus sees no increase."""
        for method in methods:
            for code in _DEFECTS:
                self._calls.setdefault((method, code), 0)
            for reason in _REFUSALS:
                self._errors.setdefault((method, reason), 0)

    def track(self, kind: str, in_flight: Callable[[], float]) -> None:
        """Reads the number of calls in flight whenever the metrics are read."""
        self._in_flight[kind] = in_flight

    def collect(self) -> Iterator[Metric]:
        """Makes the metrics; prometheus calls it for each scrape, maybe from another thread: hence the copies."""
        calls = CounterMetricFamily("grpc_calls", "Finished calls.", labels=["method", "code"])
        for (method, code), count in list(self._calls.items()):
            calls.add_metric([method, code.name], count)
        errors = CounterMetricFamily("grpc_errors", "Failed calls by reason.", labels=["method", "reason"])
        for (method, reason), count in list(self._errors.items()):
            errors.add_metric([method, reason], count)
        messages = CounterMetricFamily("grpc_stream_messages", "Messages that streams sent.", labels=["method"])
        for method, count in list(self._messages.items()):
            messages.add_metric([method], count)
        seconds = HistogramMetricFamily("grpc_unary_seconds", "Time a unary call took.", labels=["method"])
        for method, times in list(self._times.items()):
            seconds.add_metric([method], times.cumulative(), times.sum_s)
        in_flight = GaugeMetricFamily("grpc_in_flight", "Calls in flight.", labels=["kind"])
        for kind, read in list(self._in_flight.items()):
            in_flight.add_metric([kind], read())
        yield from (calls, errors, messages, seconds, in_flight)


@cache
def default_metrics() -> Metrics:
    """Returns the metrics of the process, in prometheus' own registry."""
    return Metrics(REGISTRY)
