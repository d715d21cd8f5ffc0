"""The allocation of the whole portfolio as one cycle saw it: which venues have a case, and which one is over.

Nothing is concluded unless every account was read completely in this cycle, and every venue that has a target is
configured: an unconfigured venue has no share, so the shares of the others would be wrong by its part. Then no case
begins and none ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from trueup.types.v1 import drift_pb2

from reconciler_service import convert_allocation as convert
from reconciler_service.allocation import Exposure, Targets, allocate, by_venue, restoring
from reconciler_service.allocation_watch import Watch, judge
from reconciler_service.book import Book
from reconciler_service.desk import Desk
from reconciler_service.holding import STEP
from reconciler_service.model import Outcome, ScopeReading, Snapshot, Source

Read = tuple[ScopeReading, Snapshot]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a cycle says of the allocation. ``watch`` is what to remember when it is recorded."""

    watch: Watch
    drifts: tuple[drift_pb2.Drift, ...] = ()
    resolved: tuple[str, ...] = ()  # drift ids


class Portfolio:
    """Every configured desk, and how the venues should share. Owned by the task that runs the cycles."""

    def __init__(self, targets: Targets, desks: Callable[[], Sequence[Desk]]) -> None:
        self.watch = Watch()
        self._targets = targets
        self._desks = desks

    async def look(self, reads: Sequence[Read], book: Book, run_id: str) -> Findings:
        """Judge what one cycle has read. Raises grpc.aio.AioRpcError when the open cases cannot be read."""
        reads = [(scope, snapshot) for scope, snapshot in reads if not scope.if_booked]  # nothing of it is compared
        held = exposures_of(reads) if self._is_whole(reads) else None
        if held is None:
            return Findings(self.watch)
        cases = {drift.venue: drift.drift_id for drift in await book.open_drifts(drift_pb2.DRIFT_KIND_ALLOCATION)}
        made = allocate(by_venue(held), self._targets)
        at = min(snapshot.requested_at for _, snapshot in reads)
        judged = judge(self.watch, made, self._targets, cases.keys(), at)
        trades = restoring(made, held) if judged.confirmed else ()
        source = _source(snapshot.source for _, snapshot in reads)
        drifts = tuple(
            convert.drift(venue, made, self._targets, trades, convert.Seen(since, at, source, run_id))
            for venue, since in judged.confirmed.items()
        )
        return Findings(judged.watch, drifts, tuple(cases[venue] for venue in judged.over))

    def _is_whole(self, reads: Sequence[Read]) -> bool:
        """Whether every account was read, all of it, and every venue that has a target has an account."""
        desks = {(desk.health.venue, desk.health.account) for desk in self._desks()}
        targeted = {venue for venue, target in self._targets.shares.items() if target}
        return (
            {(snapshot.venue, snapshot.account) for _, snapshot in reads} == desks
            and targeted <= {venue for venue, _ in desks}
            and all(scope.outcome is Outcome.OK for scope, _ in reads)
        )


def exposures_of(reads: Iterable[Read]) -> list[Exposure] | None:
    """What the venues hold, at the mark or else the entry price; None when something has neither."""
    held = []
    for scope, snapshot in reads:
        marks = dict(snapshot.marks)
        for one in scope.positions:
            price = one.mark_price or marks.get(one.symbol) or one.entry_price
            if price is None:
                return None
            step = one.size_step or STEP
            account, venue, asset = snapshot.account, snapshot.venue, one.asset or ""
            held.append(Exposure(account, venue, one.symbol, asset, one.side, one.size, price, step))
    return held


def _source(sources: Iterable[Source]) -> Source | None:
    """Simulated or live; None when both are."""
    different = set(sources)
    return different.pop() if len(different) == 1 else None
