"""Allocation: shares against targets, exactly at the edge of the tolerance, and of nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler_service.allocation import Allocation, Exposure, Targets, Trade, allocate, by_venue, exposures, restoring
from reconciler_service.allocation_watch import Judgement, Watch, judge
from reconciler_service.model import BookState, Side
from tests.reconciler_samples import NOW, booked

TARGETS = Targets({"hyperliquid": Decimal("0.80"), "coinbase": Decimal("0.20")}, Decimal("0.05"), Decimal("0.04"))
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
    assert by_venue(exposures(positions)) == {"hyperliquid": 21_500 + 2_000 + 20, "coinbase": 3}
    assert by_venue(exposures(positions, "second")) == {"hyperliquid": 20}


def exposure(size: str, price: str = "100", **fields: object) -> Exposure:
    values = {"account": "main", "venue": "hyperliquid", "symbol": "BTC", "asset": "BTC/USD", "side": Side.LONG}
    return Exposure(size=Decimal(size), price=Decimal(price), **values | fields)  # type: ignore[arg-type]


def test_the_trades_that_restore_the_shares_are_whole_steps_of_what_is_held() -> None:
    step = Decimal("0.01")
    positions = [
        exposure("600", symbol="BTC", size_step=step),
        exposure("300", symbol="ETH", side=Side.SHORT, size_step=step),
        exposure("100", venue="coinbase", symbol="BTC-USD", size_step=step),
    ]
    made = allocate(by_venue(positions), TARGETS)
    assert not made.is_within
    trades = restoring(made, positions)
    assert [(t.venue, t.symbol, t.is_buy, t.size, t.notional) for t in trades] == [
        ("coinbase", "BTC-USD", True, Decimal(100), Decimal(10_000)),
        ("hyperliquid", "BTC", False, Decimal("66.66"), Decimal(6_666)),
        ("hyperliquid", "ETH", True, Decimal("33.33"), Decimal(3_333)),
    ]


def test_a_venue_that_holds_nothing_is_told_how_much_it_should() -> None:
    positions = [exposure("10")]
    trades = restoring(allocate(by_venue(positions), TARGETS), positions)
    assert trades == (
        Trade("coinbase", Decimal(200)),
        Trade("hyperliquid", Decimal(200), "main", "BTC", "BTC/USD", is_buy=False, size=Decimal(2)),
    )


def test_what_is_at_its_target_or_less_than_a_step_off_is_not_traded() -> None:
    coarse = exposure("1", "800", size_step=Decimal(1))
    other = exposure("1", "200", venue="coinbase", size_step=Decimal(1))
    assert restoring(allocate(by_venue([coarse, other]), TARGETS), [coarse, other]) == ()
    dear = exposure("1", "900", size_step=Decimal(1))
    assert [t.venue for t in restoring(allocate(by_venue([dear, other]), TARGETS), [dear, other])] == []


@given(amounts, amounts, st.sampled_from(["1", "0.001", "0.00001"]))
def test_after_the_trades_every_share_is_at_its_target_but_for_a_step(one: Decimal, other: Decimal, step: str) -> None:
    positions = [
        exposure(f"{one:f}", size_step=Decimal(step)),
        exposure(f"{other:f}", venue="coinbase", size_step=Decimal(step)),
    ]
    made = allocate(by_venue(positions), TARGETS)
    sizes = {held.venue: held.size for held in positions}
    for trade in restoring(made, positions):
        if trade.symbol:
            sizes[trade.venue] += trade.size if trade.is_buy else -trade.size
    for venue, size in sizes.items():
        if made.shares[venue].value:
            assert abs(size * 100 - made.shares[venue].target * made.portfolio_value) < Decimal(step) * 100


def shares_of(hyperliquid: str) -> Allocation:
    return allocate(held(hyperliquid, str(100 - Decimal(hyperliquid))), TARGETS)


def looks(shares: Sequence[str], cases: Collection[str] = (), watch: Watch | None = None) -> Judgement:
    """Look after look, a minute apart."""
    judged = Judgement(watch or Watch())
    start = judged.watch.at or NOW
    for number, hyperliquid in enumerate(shares, 1):
        at = start + timedelta(minutes=number)
        judged = judge(judged.watch, shares_of(hyperliquid), TARGETS, cases, at)
    return judged


BOTH = {"hyperliquid", "coinbase"}


def test_a_share_is_confirmed_by_a_second_look_and_not_by_the_same_one() -> None:
    once = looks(["86"])
    assert (once.confirmed, once.watch.suspected) == ({}, 2)
    again = judge(once.watch, shares_of("86"), TARGETS, (), once.watch.at or NOW)
    assert (again.watch, again.confirmed) == (once.watch, {})
    twice = looks(["86.5"], watch=once.watch)
    assert twice.confirmed == dict.fromkeys(BOTH, once.watch.at)
    assert twice.watch.suspected == 0


@pytest.mark.parametrize("shares", [["86", "85"], ["86", "74"], ["86", "85", "86"], ["85", "75", "80"]])
def test_what_comes_and_goes_or_lies_within_is_no_drift(shares: list[str]) -> None:
    assert not looks(shares).confirmed


def test_a_case_goes_on_until_two_looks_are_below_the_smaller_bound() -> None:
    assert set(looks(["84.5"], BOTH).confirmed) == BOTH  # within the tolerance, not near enough
    assert not looks(["84"], BOTH).over
    assert not looks(["84", "84.5", "84"], BOTH).over
    ended = looks(["84", "76"], BOTH)
    assert (set(ended.over), ended.confirmed) == (BOTH, {})
    assert set(looks(["87"], BOTH).confirmed) == BOTH  # whoever has lost the memory goes on with the case


def test_the_case_of_a_venue_that_is_no_more_ends() -> None:
    assert looks(["80", "80"], {"kraken"}).over == ("kraken",)
    assert judge(Watch(), allocate({}, TARGETS), TARGETS, BOTH, NOW).watch.released
