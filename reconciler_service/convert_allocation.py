"""From allocations to protobuf: the answer of ValidateAllocation, and a venue's case."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from trueup.reconciler.v1 import reconciler_service_pb2
from trueup.types.v1 import drift_pb2, types_pb2

from reconciler_service.allocation import Allocation, Targets, Trade
from reconciler_service.convert import decimal_text, source, stamp
from reconciler_service.findings import ZERO
from reconciler_service.holding import EXACT
from reconciler_service.model import Source
from reconciler_service.wording import percent, signed, spaced

EVERY_ACCOUNT = "*"  # the account of a case that is about a venue as a whole


@dataclass(frozen=True, slots=True)
class Seen:
    """When and by which run; ``source`` None: partly simulated, partly live."""

    since: datetime
    at: datetime
    source: Source | None
    run_id: str


@dataclass(frozen=True, slots=True)
class Basis:
    """What the values rest on: when each venue was seen that was, and what the book holds there."""

    seen_at: Mapping[str, datetime]
    booked: Mapping[str, Decimal]
    configured: Collection[str]


def answer(
    made: Allocation, targets: Targets, trades: Iterable[Trade], basis: Basis
) -> reconciler_service_pb2.ValidateAllocationResponse:
    """The venues' shares, what they are shares of, and what would restore them."""
    by_venue, by_book = reconciler_service_pb2.ALLOCATION_BASIS_VENUE, reconciler_service_pb2.ALLOCATION_BASIS_BOOK
    shares = {
        venue: reconciler_service_pb2.VenueAllocation(
            target=decimal_text(share.target),
            actual=decimal_text(share.actual),
            drift=decimal_text(share.drift),
            within_tolerance=share.within_tolerance,
            value=decimal_text(share.value),
            configured=venue in basis.configured,
            basis=by_venue if venue in basis.seen_at else by_book,
            observed_at=stamp(basis.seen_at.get(venue)),
            booked_value=decimal_text(basis.booked.get(venue, ZERO)),
        )
        for venue, share in made.shares.items()
    }
    return reconciler_service_pb2.ValidateAllocationResponse(
        allocations=shares,
        portfolio_value=decimal_text(made.portfolio_value),
        tolerance=decimal_text(targets.tolerance),
        trades=[_trade(trade) for trade in trades],
    )


def drift(venue: str, made: Allocation, targets: Targets, trades: Iterable[Trade], seen: Seen) -> drift_pb2.Drift:
    """A venue outside its target as RecordRun takes it."""
    share = made.shares[venue]
    off = abs(EXACT.subtract(share.value, EXACT.multiply(share.target, made.portfolio_value)))
    points, bound = percent(round(abs(share.drift), 6)), targets.tolerance
    relation = f"{points} > {percent(bound)}"
    if share.within_tolerance:
        relation = f"{points} <= {percent(bound)}, and it ends below {percent(targets.release)}"
    word = "too much" if share.drift > 0 else "too little"
    text = f"The venue holds about {spaced(off.quantize(Decimal(1)))} USD {word} for its target."
    return drift_pb2.Drift(
        kind=drift_pb2.DRIFT_KIND_ALLOCATION,
        status=drift_pb2.DRIFT_STATUS_CONFIRMED,
        severity=drift_pb2.DRIFT_SEVERITY_WARNING,
        account=EVERY_ACCOUNT,
        venue=venue,
        notional_delta=decimal_text(off),
        rule=f"allocation: {relation} (of the portfolio)",
        first_seen=stamp(seen.since),
        last_seen=stamp(seen.at),
        times_seen=1,
        source=source(seen.source) if seen.source else types_pb2.SOURCE_UNSPECIFIED,
        explanation=drift_pb2.Explanation(cause=drift_pb2.DRIFT_CAUSE_UNEXPLAINED, text=text),
        summary=(
            f"{venue} holds {percent(round(share.actual, 4))} of the portfolio, its target is {percent(share.target)} "
            f"({signed(round(share.drift * 100, 2))} points). {text}"
        ),
        run_id=seen.run_id,
        allocation=drift_pb2.AllocationState(
            target=decimal_text(share.target),
            actual=decimal_text(share.actual),
            drift=decimal_text(share.drift),
            value=decimal_text(share.value),
            portfolio_value=decimal_text(made.portfolio_value),
            tolerance=decimal_text(bound),
            trades=[_trade(trade) for trade in trades],
        ),
    )


def _trade(made: Trade) -> drift_pb2.AllocationTrade:
    return drift_pb2.AllocationTrade(
        account=made.account,
        venue=made.venue,
        symbol=made.symbol,
        asset=made.asset,
        is_buy=made.is_buy,
        size=decimal_text(made.size) if made.size else "",
        notional=decimal_text(made.notional),
    )
