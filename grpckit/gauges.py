"""Metrics that are read from what is there when somebody asks for them: between two scrapes they cost nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from grpckit.version import own_version


class Gauges(Collector):
    """What ``read`` returns, registered from ``open`` to ``close``. Everything it reads lives in one event loop, which
    is the one that serves /metrics.
    """

    def __init__(self, read: Callable[[], Iterable[Metric]], registry: CollectorRegistry = REGISTRY) -> None:
        self._read = read
        self._registry = registry
        self._is_open = False

    def open(self) -> None:
        """Shows the metrics from now on."""
        self._registry.register(self)
        self._is_open = True

    def close(self) -> None:
        """Shows them no longer. Harmless when they were not shown."""
        if self._is_open:
            self._registry.unregister(self)
            self._is_open = False

    def describe(self) -> Iterable[Metric]:
        """Names nothing in advance, so that tests may run several services in one process."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Reads; prometheus calls it for each scrape."""
        yield from self._read()


def gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    """Makes a gauge without labels."""
    return GaugeMetricFamily(name, meaning, value=value)


def build_info(service: str) -> GaugeMetricFamily:
    """Makes the gauge that says which version of which service runs."""
    family = GaugeMetricFamily(
        "trueup_build_info", "Always 1; the labels say what runs.", labels=["service", "version"]
    )
    family.add_metric([service, own_version()], 1)
    return family
