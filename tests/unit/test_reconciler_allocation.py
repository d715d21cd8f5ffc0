"""Allocation: shares against targets, exactly at the edge of the tolerance, and of nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler_service.allocation import Targets, allocate, notionals
from reconciler_service.model import BookState
from tests.reconciler_samples import booked

TARGETS = Targets({"hyperliquid": Decimal("0.80"), "coinbase": Decimal("0.20")}, Decimal("0.05"))
amounts = st.decimals(min_value=0, max_value=10**12, places=6)


def held(hyperliquid: str, coinbase: str) -> dict[str, Decimal]:
    return {"hyperliquid": Decimal(hyperliquid), "coinbase": Decimal(coinbase)}


def test_eighty_twenty_with_five_points() -> None:
    """A portfolio of 100 000: 82 000 at one venue, 18 000 at the other."""
    made = allocate(held("82000", "18000"), TARGETS, Decimal(100_000))
    shown = {v: (s.target, s.actual, s.drift, s.within_tolerance) for v, s in made.shares.items()}
    assert shown == {
        "hyperliquid": (Decimal("0.8"), Decimal("0.82"), Decimal("0.02"), True),
        "coinbase": (Decimal("0.2"), Decimal("0.18"), Decimal("-0.02"), True),
    }
    assert made.portfolio_value == 100_000


@pytest.mark.parametrize(
    ("hyperliquid", "within"), [("85000", True), ("85000.01", False), ("75000", True), ("74999.99", False)]
)
def test_the_edge_of_the_tolerance_is_within(hyperliquid: str, within: bool) -> None:
    made = allocate(held(hyperliquid, "20000"), TARGETS, Decimal(100_000))
    assert made.shares["hyperliquid"].within_tolerance is within


def test_without_a_portfolio_value_the_shares_are_of_the_sum() -> None:
    made = allocate(held("2", "1"), TARGETS)
    assert made.portfolio_value == 3
    assert made.shares["hyperliquid"].actual == pytest.approx(Decimal(2) / 3)
    assert not made.shares["coinbase"].within_tolerance


def test_an_empty_portfolio_is_not_misallocated() -> None:
    made = allocate({}, TARGETS)
    assert made.portfolio_value == 0
    assert {v: (s.actual, s.drift, s.within_tolerance) for v, s in made.shares.items()} == {
        "hyperliquid": (0, 0, True),
        "coinbase": (0, 0, True),
    }


def test_a_venue_without_a_target_should_hold_nothing() -> None:
    share = allocate({"kraken": Decimal(10)}, TARGETS, Decimal(100)).shares["kraken"]
    assert (share.target, share.actual, share.within_tolerance) == (0, Decimal("0.1"), False)


@given(st.dictionaries(st.sampled_from(["hyperliquid", "coinbase", "kraken"]), amounts))
def test_shares_of_the_sum_add_up(values: dict[str, Decimal]) -> None:
    made = allocate(values, TARGETS)
    assert sum(s.value for s in made.shares.values()) == made.portfolio_value
    total = sum(s.actual for s in made.shares.values())
    assert abs(total - (1 if made.portfolio_value else 0)) < Decimal("1e-20")


def test_what_counts_as_held() -> None:
    positions = [
        booked("0.5", mark_price=Decimal(43_000)),
        booked("1", symbol="ETH", entry_price=Decimal(2_000), state=BookState.CLOSING),
        booked("9", symbol="SOL", state=BookState.OPENING),
        booked("2", account="second", entry_price=Decimal(10)),
        booked("3", venue="coinbase", entry_price=Decimal(1)),
    ]
    assert notionals(positions) == {"hyperliquid": 21_500 + 2_000 + 20, "coinbase": 3}
    assert notionals(positions, "second") == {"hyperliquid": 20}
