"""Metrics of the edge itself. What the services do is measured by the services."""

from __future__ import annotations

from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class EdgeMetrics:
    """Counts by route, never by path: callers choose paths."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter("http_requests", "Answered requests.", ["verb", "route", "code"], registry=registry)
        self._seconds = Histogram(
            "http_request_seconds", "Time an answer took.", ["route"], buckets=_BUCKETS, registry=registry
        )
        self.streams = Gauge("http_streams", "Streams that are open.", registry=registry)

    def answered(self, verb: str, route: str, code: int, seconds: float, *, streamed: bool) -> None:
        """Counts a request."""
        self._requests.labels(verb if verb in _VERBS else "other", route, str(code)).inc()
        if not streamed:
            self._seconds.labels(route).observe(seconds)


@cache
def default_edge_metrics() -> EdgeMetrics:
    """Returns the metrics of the process, in prometheus' own registry."""
    return EdgeMetrics(REGISTRY)
