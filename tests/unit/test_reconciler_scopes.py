"""Scopes that are compared only where the book keeps their product; what a scope is worth; health that tells the mode."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler_service import convert_health
from reconciler_service.compare import Tolerances, compare
from reconciler_service.confirm import Suspicion
from reconciler_service.desk import Desk
from reconciler_service.evidence import Search, explain_all
from reconciler_service.findings import Cause, Kind
from reconciler_service.health import Health, State, after
from reconciler_service.model import Equity, Outcome, Product, ScopeReading, Source
from reconciler_service.venues import VenueUnreachable
from tests.reconciler_samples import NOW, TestVenue, booked, held, scope, snapshot

SPOT = scope(
    held("2", symbol="@107", asset="HYPE/USD", product=Product.SPOT),
    scope="spot",
    product=Product.SPOT,
    if_booked=True,
)


def desk() -> Desk:
    venue = TestVenue()
    return Desk(venue, Health(venue.account, venue.name, venue.source))


def kinds(*scopes: ScopeReading) -> list[tuple[str, Kind]]:
    return [(one.symbol, one.kind) for one in compare([booked()], snapshot(*scopes), Tolerances())]


def test_an_optional_scope_says_nothing_until_the_book_keeps_its_product() -> None:
    one = desk()
    seen = one.narrowed(snapshot(scope(held()), SPOT), [Product.PERPETUAL, None])
    assert [reading.if_booked for reading in seen.scopes] == [False, True]
    assert kinds(*seen.scopes) == []
    later = one.narrowed(snapshot(scope(held()), SPOT), [Product.PERPETUAL, Product.SPOT])
    assert kinds(*later.scopes) == [("@107", Kind.MISSING_LOCALLY)]


def test_it_goes_on_counting_when_the_book_has_closed_all_of_them() -> None:
    one = desk()
    one.narrowed(snapshot(SPOT), [Product.SPOT])
    assert kinds(scope(held()), *one.narrowed(snapshot(SPOT), []).scopes) == [("@107", Kind.MISSING_LOCALLY)]


def test_the_parts_of_an_equity_add_up_exactly() -> None:
    tiny = Decimal("1e-18")
    assert Equity(Decimal(10) ** 19 + tiny, tiny, tiny).value == Decimal(10) ** 19 + 3 * tiny
    assert Equity(Decimal(-5), Decimal(2), Decimal("0.5")).value == Decimal("-2.5")


def test_health_tells_the_mode_and_the_skew_and_keeps_what_it_knew() -> None:
    health = Health("main", "hyperliquid", Source.LIVE)
    health = after(health, snapshot(scope(held()), mode="unifiedAccount", clock_skew=timedelta(seconds=-1.5)), 10)
    failed = snapshot(scope(outcome=Outcome.FAILED), at=NOW)
    kept = after(health, failed, 10)
    assert (kept.state, kept.mode, kept.clock_skew) == (State.FAILED, "unifiedAccount", timedelta(seconds=-1.5))
    sent = convert_health.health(kept, NOW)
    assert (sent.account_mode, sent.clock_skew_ms) == ("unifiedAccount", -1500)
    exact = after(kept, snapshot(scope(held()), clock_skew=timedelta(0)), 10)
    assert (exact.clock_skew, convert_health.health(exact, NOW).clock_skew_ms) == (timedelta(0), 0)
    assert not convert_health.health(Health("main", "hyperliquid", Source.LIVE), NOW).HasField("clock_skew_ms")


class Failing(TestVenue):
    """Its fills can be read, what moved its balances cannot."""

    wrong: Exception = RuntimeError("a defect of the adapter")

    asked = 0

    async def cash_flows(self, since: Any) -> Any:
        self.asked += 1
        raise self.wrong


@pytest.mark.parametrize("wrong", [VenueUnreachable("status 502"), TimeoutError(), RuntimeError("a defect")])
async def test_flows_that_cannot_be_read_leave_it_unexplained(wrong: Exception) -> None:
    venue = Failing()
    venue.wrong = wrong
    made = Desk(venue, Health(venue.account, venue.name, venue.source))
    (finding,) = compare([booked()], snapshot(scope(held(liquidation_price=Decimal(30000)))), Tolerances())
    explained = await explain_all(made, [Suspicion(finding, NOW, 2)], Search())
    assert [one.cause for one in explained.values()] == [Cause.UNEXPLAINED]


async def test_flows_are_asked_for_only_where_they_may_explain() -> None:
    venue = Failing()
    made = Desk(venue, Health(venue.account, venue.name, venue.source))
    (finding,) = compare([booked()], snapshot(scope(held("0.7"))), Tolerances())
    await explain_all(made, [Suspicion(finding, NOW, 2)], Search())
    assert venue.asked == 0  # a size of contracts is not moved by money
