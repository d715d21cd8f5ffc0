"""Whether an account is worth what its parts explain: positions may match, and money be missing all the same. Pure.

    value now = value at the start + realised PnL of the book, fees in it + funding and transfers + change in unrealised PnL

Of contracts only: of coins, the venue's value is not made of cash flows. The start is the first look that a second one
agrees with, since a fill in flight would shift a single one for good. A gap is confirmed by a second look at the same
gap, and over when two looks do not show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from reconciler_service.findings import ZERO
from reconciler_service.holding import EXACT
from reconciler_service.model import CashFlow, Outcome, Product, Snapshot

OVERLAP = timedelta(minutes=10)  # what moved may be listed late
ASK_AGAIN = timedelta(minutes=1)  # what moved, about a gap that stays as it is; each question costs a venue's weight
ASK_UNSETTLED = timedelta(minutes=10)  # the same while the gap says nothing


@dataclass(frozen=True, slots=True)
class Worth:
    """What the contracts of an account are worth by the venue's word. ``times`` are those of each scope's state."""

    at: datetime  # when it was asked for
    cash: Decimal
    unrealized: Decimal
    times: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def value(self) -> Decimal:
        return EXACT.add(self.cash, self.unrealized)


@dataclass(frozen=True, slots=True)
class Account:
    """What is remembered of one account. Amounts are sums since the start."""

    start: Worth
    now: Worth
    revision: int  # the book's, up to which its realised PnL is counted
    realized: Decimal = ZERO
    moved: Decimal = ZERO  # funding and transfers
    flows: Mapping[tuple[str, str], datetime] = field(default_factory=dict)  # counted lately, by id and scope
    flows_at: datetime | None = None  # until when they are counted
    asked_at: datetime | None = None  # the look that asked what moved last
    asked_gap: Decimal = ZERO  # what the answer left unexplained
    is_agreed: bool = False  # a second look has agreed with the start
    looks: int = 0  # in a row at the gap there is now
    clear: int = 0  # in a row without one
    since: datetime | None = None  # the first look at the gap
    was_confirmed: bool = False  # at an earlier look

    @property
    def gap(self) -> Decimal:
        """Venue minus what is explained; the change in unrealised PnL is on both sides."""
        return EXACT.subtract(self.now.cash, EXACT.add(EXACT.add(self.start.cash, self.realized), self.moved))

    @property
    def expected(self) -> Decimal:
        return EXACT.subtract(self.now.value, self.gap)

    def is_to_ask(self, tolerance: Decimal, *, is_settled: bool) -> bool:
        """Whether to ask the venue what moved: there is a gap, another one than at the last question, or that is old."""
        if abs(self.gap) <= tolerance:
            return False
        if self.asked_at is None:
            return True
        is_other = is_settled and abs(EXACT.subtract(self.gap, self.asked_gap)) > tolerance
        return is_other or self.now.at - self.asked_at >= (ASK_AGAIN if is_settled else ASK_UNSETTLED)

    @property
    def is_confirmed(self) -> bool:
        return self.looks > 1


def worth(snapshot: Snapshot) -> Worth | None:
    """None unless every scope of contracts was read and tells its worth."""
    cash, unrealized, times = ZERO, ZERO, {}
    for scope in snapshot.scopes:
        if scope.product is Product.SPOT:
            continue
        told = scope.equity
        if scope.outcome is not Outcome.OK or told is None or told.holdings or told.unpriced:
            return None
        cash, unrealized = EXACT.add(cash, told.cash), EXACT.add(unrealized, told.unrealized_pnl)
        times[scope.scope] = scope.observed_at or snapshot.requested_at
    return Worth(snapshot.requested_at, cash, unrealized, times) if times else None


def seen(known: Account, now: Worth, realized: Decimal, revision: int) -> Account:
    """One more look, with what the book has realised since the last one."""
    return replace(known, now=now, realized=EXACT.add(known.realized, realized), revision=revision)


def moved(known: Account, flows: Iterable[CashFlow], quote: frozenset[str]) -> Account:
    """Count what moved the balances of contracts between the start and now, each flow once."""
    counted, total = dict(known.flows), known.moved
    for flow in flows:
        key, until = (flow.flow_id, flow.scope), known.now.times.get(flow.scope)
        if until is None or flow.currency not in quote or key in counted:
            continue
        if known.start.times.get(flow.scope, known.start.at) < flow.time <= until:
            total, counted[key] = EXACT.add(total, flow.amount), flow.time
    until = min(known.now.times.values())
    recent = {key: at for key, at in counted.items() if at > until - 2 * OVERLAP}
    after = replace(known, moved=total, flows=recent, flows_at=until)
    return replace(after, asked_at=known.now.at, asked_gap=after.gap)


def judged(known: Account, before: Decimal, tolerance: Decimal, *, is_settled: bool) -> Account:
    """Decide about the gap. ``before`` is that of the last look.

    ``is_settled``: no position is known to be wrong; while one is, a gap is no news and says nothing.
    """
    is_off = abs(known.gap) > tolerance
    if not known.is_agreed:
        if not is_off and is_settled:
            return replace(known, is_agreed=True)
        return Account(known.now, known.now, known.revision, flows_at=min(known.now.times.values()))
    if not is_settled:
        return known
    if not is_off:
        return replace(known, looks=0, since=None, clear=known.clear + 1)
    same = known.looks > 0 and abs(EXACT.subtract(known.gap, before)) <= tolerance
    looks = known.looks + 1 if same else 1
    since = known.since if same else known.now.at
    return replace(known, looks=looks, since=since, clear=0, was_confirmed=known.was_confirmed or looks > 1)
