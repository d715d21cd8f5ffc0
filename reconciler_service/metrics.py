"""What the Reconciler shows of itself on /metrics. Runs are counted as they end; everything else is read when asked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from trueup.types.v1 import drift_pb2

from grpckit.gauges import Gauges, build_info, gauge
from grpckit.histogram import Histogram
from reconciler_service.cycle import Result
from reconciler_service.health import Health, PushState, State
from reconciler_service.runner import Runner

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 21_600)
_VENUE = ["venue", "account"]


class Runs:
    """Counts what runs found."""

    def __init__(self) -> None:
        self.triggers: Counter[str] = Counter()
        self.outcomes: Counter[tuple[str, ...]] = Counter()  # of scopes: venue and outcome
        self.cases: Counter[str] = Counter()  # new ones, by kind
        self.seconds = Histogram(_SECONDS)  # a run
        self.confirm_s = Histogram(_SECONDS)  # from the first look that showed a drift to its case
        self.detect_s = Histogram(
            _SECONDS
        )  # from what happened at the venue to its case, where the evidence has a time
        self.finished_at = 0.0  # seconds since 1970; 0: none yet
        self.compared = 0

    def ended(self, result: Result) -> None:
        """Counts a run that was recorded."""
        run = result.run
        began, ended = run.started_at.ToDatetime(UTC), run.finished_at.ToDatetime(UTC)
        self.triggers[run.trigger] += 1
        self.seconds.observe((ended - began).total_seconds())
        self.finished_at, self.compared = ended.timestamp(), run.positions_compared
        for check in run.checks:
            self.outcomes[check.venue, _plain(drift_pb2.CheckOutcome.Name(check.outcome), "CHECK_OUTCOME_")] += 1
        for drift in result.drifts:
            if drift.times_seen != 1 or drift.run_id != run.run_id:
                continue
            self.cases[_plain(drift_pb2.DriftKind.Name(drift.kind), "DRIFT_KIND_")] += 1
            self.confirm_s.observe((ended - drift.first_seen.ToDatetime(UTC)).total_seconds())
            if times := [one.time.ToDatetime(UTC) for one in drift.explanation.evidence if one.HasField("time")]:
                self.detect_s.observe(max(0.0, (ended - min(times)).total_seconds()))


def metrics(
    runner: Runner,
    runs: Runs,
    *,
    is_active: Callable[[], bool],
    is_there: Callable[[], bool],
    known_revision: Callable[[], int],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Gauges:
    """Makes the metrics of a Reconciler. ``known_revision`` is up to where its drift feed has come."""

    def read() -> Iterator[Metric]:
        yield build_info("reconciler")
        yield gauge("trueup_reconciler_active", "1 when this one, of several, runs the interval cycles.", is_active())
        yield gauge("trueup_position_service_up", "1 when the Position service has served within seconds.", is_there())
        yield gauge("trueup_drift_feed_revision", "Up to where drifts are known here.", known_revision())
        yield gauge("trueup_suspected", "Findings that wait for a second look.", runner.suspected)
        yield from _runs(runs, runner.interval_s)
        yield from _venues(runner.venues, clock())

    return Gauges(read)


def _runs(runs: Runs, interval_s: float) -> Iterator[Metric]:
    yield gauge("trueup_run_interval_seconds", "Between two runs of the active one.", interval_s)
    yield gauge("trueup_last_run_timestamp_seconds", "When a run last ended here; 0: none yet.", runs.finished_at)
    yield gauge("trueup_last_run_positions", "Positions compared in it.", runs.compared)
    yield _counter("trueup_runs", "Runs recorded.", {(trigger,): n for trigger, n in runs.triggers.items()}, "trigger")
    yield _counter("trueup_scope_reads", "Venue scopes read in runs.", runs.outcomes, "venue", "outcome")
    yield _counter("trueup_cases", "New drift cases.", {(kind,): n for kind, n in runs.cases.items()}, "kind")
    for name, meaning, histogram in (
        ("trueup_run_seconds", "Time a run took.", runs.seconds),
        ("trueup_drift_confirm_seconds", "From the first look that showed a drift to its case.", runs.confirm_s),
        ("trueup_drift_detect_seconds", "From what happened at the venue to the case of it.", runs.detect_s),
    ):
        yield histogram.into(HistogramMetricFamily(name, meaning, labels=()))


def _venues(venues: list[Health], now: datetime) -> Iterator[Metric]:
    """One row an account; a venue without credentials has only a state."""
    states = GaugeMetricFamily("trueup_venue_state", "1 for the state it is in.", labels=[*_VENUE, "state"])
    ages = GaugeMetricFamily("trueup_venue_check_age_seconds", "Since its last good check; +Inf: none.", labels=_VENUE)
    budgets = GaugeMetricFamily("trueup_venue_budget_left", "Request weight left in this minute.", labels=_VENUE)
    held = GaugeMetricFamily("trueup_venue_positions", "Positions in its last good check.", labels=_VENUE)
    skews = GaugeMetricFamily("trueup_venue_clock_skew_seconds", "Its clock minus ours.", labels=_VENUE)
    pushes = GaugeMetricFamily("trueup_venue_push_up", "1 when its WebSocket is subscribed.", labels=_VENUE)
    changes = CounterMetricFamily("trueup_venue_push_changes", "Reasons to look that it pushed.", labels=_VENUE)
    for seen in venues:
        labels = [seen.venue, seen.account]
        for state in State:
            states.add_metric([*labels, state.value], seen.state is state)
        if seen.state is State.UNCONFIGURED:
            continue
        ages.add_metric(labels, (now - seen.last_ok_at).total_seconds() if seen.last_ok_at else math.inf)
        budgets.add_metric(labels, seen.budget_left)
        held.add_metric(labels, seen.positions)
        if seen.clock_skew is not None:
            skews.add_metric(labels, seen.clock_skew.total_seconds())
        if seen.push.state is not PushState.OFF:
            pushes.add_metric(labels, seen.push.state is PushState.UP)
            changes.add_metric(labels, seen.push.changes)
    yield from (states, ages, budgets, held, skews, pushes, changes)


def _counter(name: str, meaning: str, counts: dict[tuple[str, ...], int], *labels: str) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _plain(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)
