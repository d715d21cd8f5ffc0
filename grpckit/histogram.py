"""Counts by bucket, in plain integers: prometheus' own histogram costs several times as much an observation."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily


class Histogram:
    """Observations in buckets. ``bounds`` are the upper, inclusive ones, ascending; the last bucket takes the rest.

    For one event loop: it has no locks. ``into`` makes a metric of it when somebody asks.
    """

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one observation."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def into(self, family: HistogramMetricFamily, *labels: str) -> HistogramMetricFamily:
        """Adds it to a metric, under the values of the metric's labels. Returns the metric."""
        names = (*(str(float(bound)) for bound in self._bounds), "+Inf")
        buckets: list[tuple[str, float]] = list(zip(names, accumulate(self._counts), strict=True))
        family.add_metric(labels, buckets, self._sum)
        return family
