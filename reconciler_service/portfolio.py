"""The allocation of the whole portfolio as it was read last: which venues have a case, and which one is over.

Nothing is concluded unless every account was read completely since the last conclusion, and every venue that has a
target is configured: an unconfigured venue has no share, so the shares of the others would be wrong by its part. Then
no case begins and none ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from trueup.types.v1 import drift_pb2

from reconciler_service import convert_allocation as convert
from reconciler_service.allocation import Exposure, Targets, allocate, by_venue, restoring
from reconciler_service.allocation_watch import Watch, judge
from reconciler_service.book import Book
from reconciler_service.desk import Desk
from reconciler_service.holding import STEP
from reconciler_service.model import ScopeReading, Snapshot, Source

Read = tuple[ScopeReading, Snapshot]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a cycle says of the allocation. ``watch`` is what to remember when it is recorded."""

    watch: Watch
    drifts: tuple[drift_pb2.Drift, ...] = ()
    resolved: tuple[str, ...] = ()  # drift ids


@dataclass(frozen=True, slots=True)
class Seen:
    """What a venue held when it was read last. ``at``: when the oldest part of it was asked for."""

    held: tuple[Exposure, ...]
    at: datetime


class Portfolio:
    """Every configured desk, and how the venues should share."""

    def __init__(self, targets: Targets, desks: Callable[[], Sequence[Desk]]) -> None:
        self.watch = Watch()
        self._targets = targets
        self._desks = desks

    async def look(self, book: Book, run_id: str) -> Findings:
        """Judge what was read last. Raises grpc.aio.AioRpcError when the open cases cannot be read."""
        reads = self._whole()
        held = exposures_of(reads) if reads else None
        if held is None:
            return Findings(self.watch)
        cases = {drift.venue: drift.drift_id for drift in await book.open_drifts(drift_pb2.DRIFT_KIND_ALLOCATION)}
        made = allocate(by_venue(held), self._targets)
        times = [snapshot.requested_at for _, snapshot in reads]
        judged = judge(self.watch, made, self._targets, cases.keys(), min(times), max(times))
        trades = restoring(made, held) if judged.confirmed else ()
        source = _source(snapshot.source for _, snapshot in reads)
        drifts = tuple(
            convert.drift(venue, made, self._targets, trades, convert.Seen(since, min(times), source, run_id))
            for venue, since in judged.confirmed.items()
        )
        return Findings(judged.watch, drifts, tuple(cases[venue] for venue in judged.over))

    def remember(self, watch: Watch) -> None:
        """Keep what a look has shown, once it is recorded; of two at the same time, the later one."""
        if self.watch.at is None or (watch.at is not None and watch.at > self.watch.at):
            self.watch = watch

    def _whole(self) -> list[Read]:
        """The last read of every scope; none unless each was read since the last conclusion.

        And unless every venue that has a target has an account.
        """
        desks = self._desks()
        targeted = {venue for venue, target in self._targets.shares.items() if target}
        if not targeted <= {desk.health.venue for desk in desks}:
            return []
        compared = [
            (scope, desk.reads.get(scope.scope)) for desk in desks for scope in desk.scopes if not scope.if_booked
        ]
        reads = [read for _, read in compared if read is not None]
        is_new = self.watch.at is None or all(snapshot.requested_at > self.watch.at for _, snapshot in reads)
        return reads if is_new and len(reads) == len(compared) else []


def seen_at_venues(desks: Iterable[Desk], account: str = "") -> dict[str, Seen]:
    """What the venues hold, of one account or "" of all, as drift cases weigh it: from each scope's last good read.

    Without the venues of which something was never read, or has no price.
    """
    reads: dict[str, list[Read | None]] = {}
    for desk in desks:
        if account in {"", desk.health.account}:
            compared = [scope.scope for scope in desk.scopes if not scope.if_booked]
            reads.setdefault(desk.health.venue, []).extend(desk.reads.get(name) for name in compared)
    seen = {}
    for venue, all_of_it in reads.items():
        known = [read for read in all_of_it if read is not None]
        held = exposures_of(known)
        if known and len(known) == len(all_of_it) and held is not None:
            seen[venue] = Seen(tuple(held), min(snapshot.requested_at for _, snapshot in known))
    return seen


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
