"""What the venues hold at a glance: shares of the notional, the oldest read, assets by their canonical names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from reconciler_service.overview import Holdings, overview
from tests.reconciler_samples import NOW, held

BTC = held("0.5")  # at 42 150
ETH = replace(held("10", symbol="ETH", asset="ETH/USD"), mark_price=Decimal("2107.5"))


def test_shares_are_of_the_notional_at_all_venues() -> None:
    seen = overview([Holdings("hyperliquid", NOW, (BTC,)), Holdings("coinbase", NOW, (ETH, ETH, ETH))])
    assert seen.venues["hyperliquid"].share == Decimal("0.25")
    assert seen.venues["coinbase"].share == Decimal("0.75")
    assert (seen.venues["hyperliquid"].positions, seen.venues["coinbase"].positions, seen.positions) == (1, 3, 4)
    assert seen.assets == ("BTC/USD", "ETH/USD")


def test_a_venue_is_as_old_as_its_oldest_account() -> None:
    earlier = NOW - timedelta(minutes=5)
    two = overview([Holdings("hyperliquid", NOW, (BTC,)), Holdings("hyperliquid", earlier, (ETH,))])
    assert two.venues["hyperliquid"].at == earlier
    assert two.venues["hyperliquid"].share == 1
    unread = overview([Holdings("hyperliquid", NOW, (BTC,)), Holdings("hyperliquid", None, ())])
    assert unread.venues["hyperliquid"].at is None


def test_nothing_held_and_no_marks_are_no_division_by_zero() -> None:
    assert overview([]).venues == {}
    seen = overview([Holdings("hyperliquid", NOW, (replace(BTC, mark_price=None, asset=None),))])
    assert seen.venues["hyperliquid"].share == 0
    assert (seen.positions, seen.assets) == (1, ("BTC",))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 10**9)), max_size=20))
def test_shares_add_up(rows: list[tuple[str, int]]) -> None:
    seen = overview([Holdings(venue, NOW, (replace(BTC, size=Decimal(size)),)) for venue, size in rows])
    assert sum(view.positions for view in seen.venues.values()) == seen.positions == len(rows)
    if rows:
        assert abs(sum(view.share for view in seen.venues.values()) - 1) < Decimal("1e-27")
