"""What the Position service shows of itself on /metrics, read from the ledger whenever somebody asks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from grpckit.gauges import Gauges, build_info, gauge
from position_service.ledger.ledger import Ledger
from position_service.watch import Log


def metrics(ledger: Ledger, log: Log, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Gauges:
    """Makes the metrics of a ledger that is started, and of the watches over it."""

    def read() -> Iterator[Metric]:
        yield build_info("position")
        yield from _ledger(ledger)
        yield from _watches(ledger, log)
        yield from _drifts(ledger, clock())

    return Gauges(read)


def _ledger(ledger: Ledger) -> Iterator[Metric]:
    committer, counts = ledger.committer, ledger.committer.counts
    yield gauge("trueup_database_up", "1 when the database has answered within seconds.", ledger.is_reachable)
    yield gauge("trueup_ledger_revision", "The last revision this process knows.", committer.head.revision)
    yield gauge("trueup_ledger_positions", "Live positions.", len(committer.book.positions))
    yield gauge("trueup_ledger_marks", "Instruments with a mark price.", len(committer.book.marks))
    yield gauge("trueup_ledger_queue", "Writes that wait for the committer.", committer.waiting)
    yield gauge("trueup_ledger_queue_limit", "As many may wait; more are refused.", committer.most_waiting)
    yield counts.writes.into(HistogramMetricFamily("trueup_ledger_batch_writes", "Writes in a batch.", labels=()))
    yield counts.seconds.into(
        HistogramMetricFamily("trueup_ledger_commit_seconds", "From deciding a batch to its answers.", labels=())
    )
    yield CounterMetricFamily(
        "trueup_ledger_conflicts", "Batches decided again: another process was faster.", value=counts.conflicts
    )
    yield CounterMetricFamily(
        "trueup_ledger_failures", "Batches that the database did not take.", value=counts.failures
    )


def _watches(ledger: Ledger, log: Log) -> Iterator[Metric]:
    yield gauge("trueup_watches", "Watches over positions and drifts that are open.", len(log.cursors))
    head = ledger.feed.revision
    lag = max((head - one.revision for one in log.cursors), default=0)
    yield gauge("trueup_watch_lag_revisions", "How far the slowest watch is behind.", lag)


def _drifts(ledger: Ledger, now: datetime) -> Iterator[Metric]:
    """By kind and status; a pair that no open case has is left out."""
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    oldest: defaultdict[tuple[str, str], float] = defaultdict(float)
    for drift in ledger.committer.book.drifts.values():
        labels = (drift.key.kind, drift.status.value)
        counts[labels] += 1
        oldest[labels] = max(oldest[labels], (now - drift.first_seen).total_seconds())
    names = ["kind", "status"]
    cases = GaugeMetricFamily("trueup_drifts", "Open drift cases.", labels=names)
    ages = GaugeMetricFamily("trueup_drift_oldest_seconds", "Since the oldest open case was first seen.", labels=names)
    for labels, count in counts.items():
        cases.add_metric(labels, count)
        ages.add_metric(labels, oldest[labels])
    yield cases
    yield ages
