"""compare: one finding per fact, none from noise, none outside of what was read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler_service.compare import compare, scope_of
from reconciler_service.findings import Finding, Kind
from reconciler_service.model import (
    BookPosition,
    BookState,
    MarginMode,
    Outcome,
    Product,
    Side,
    Snapshot,
    VenuePosition,
)
from reconciler_service.tolerances import Tolerances
from tests.reconciler_samples import NOW, STEP, booked, held, scope, snapshot

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # timings never decide a test

EXACT = Tolerances(usd=Decimal(0), price=Decimal(0), leverage=Decimal(0))


def found(local: Any, actual: Any, tolerances: Tolerances | None = None, **fields: Any) -> list[Finding]:
    book = [] if local is None else [local]
    seen = snapshot(scope(*([] if actual is None else [actual])), **fields)
    return compare(book, seen, tolerances or Tolerances())


def kinds(*args: Any, **fields: Any) -> list[Kind]:
    return [finding.kind for finding in found(*args, **fields)]


def test_equal_sides_are_nothing() -> None:
    assert not found(booked(), held())
    assert not found(booked(state=BookState.REDUCED, liquidation_price=None), held())
    assert not found(None, None)


@pytest.mark.parametrize(
    ("change", "kind", "rule"),
    [
        ({"size": Decimal("0.6")}, Kind.SIZE, "size: 0.1 > 0.0000237248 (1 USD at 42150)"),
        ({"side": Side.SHORT}, Kind.SIDE, "side: SHORT is not LONG"),
        ({"entry_price": Decimal(42100)}, Kind.ENTRY_PRICE, "entry price: 100 > 4.21 (0.01 % of 42100)"),
        ({"leverage": Decimal(10)}, Kind.LEVERAGE, "leverage: 5 > 0.01"),
        ({"margin_mode": MarginMode.ISOLATED}, Kind.MARGIN_MODE, "margin mode: ISOLATED is not CROSS"),
        (
            {"liquidation_price": Decimal(30000)},
            Kind.LIQUIDATION_PRICE,
            "liquidation price: 8000 > 3800 (10 % of 38000, cross margin)",
        ),
    ],
)
def test_one_fact_is_one_finding(change: dict[str, Any], kind: Kind, rule: str) -> None:
    (finding,) = found(booked(), replace(held(), **change))
    assert (finding.kind, finding.rule) == (kind, rule)
    assert (finding.mark, finding.account, finding.symbol) == (Decimal(42150), "main", "BTC")


def test_missing_on_either_side() -> None:
    (here,) = found(None, held())
    (there,) = found(booked(), None)
    assert (here.kind, here.local, here.size_delta) == (Kind.MISSING_LOCALLY, None, Decimal("0.5"))
    assert (there.kind, there.actual, there.size_delta) == (Kind.MISSING_AT_VENUE, None, Decimal("-0.5"))
    assert here.notional_delta == Decimal("21075.0")
    assert there.notional_delta is None
    assert there.product is Product.PERPETUAL


def test_zero_size_at_the_venue_is_no_position() -> None:
    assert kinds(booked(), held("0")) == [Kind.MISSING_AT_VENUE]


def test_unknown_instrument_is_unmapped_unless_the_book_has_it() -> None:
    assert kinds(None, held(asset=None)) == [Kind.UNMAPPED]
    assert not kinds(booked(), held(asset=None))
    assert found(None, held(asset=None))[0].asset == ""


def test_side_stands_for_size_and_both_for_the_entry_price() -> None:
    elsewhere = Decimal(50000)
    assert kinds(booked(), held("0.9", side=Side.SHORT, entry_price=elsewhere)) == [Kind.SIDE]
    assert kinds(booked(), held("0.9", entry_price=elsewhere)) == [Kind.SIZE]


def test_one_size_step_is_found_and_less_is_dust() -> None:
    one = Decimal("0.5") + STEP
    assert kinds(booked(), held(str(one)), EXACT) == [Kind.SIZE]
    assert found(booked(), held(str(one)), EXACT)[0].rule == "size: 0.00001 >= 0.00001 (one size step)"
    assert not kinds(booked("0.5000099"), held(), EXACT)
    assert not kinds(booked(), held(str(one)))  # 42 cents


@pytest.mark.parametrize(("size", "is_found"), [("0.505", False), ("0.506", True)])
def test_relative_size_tolerance(size: str, is_found: bool) -> None:
    assert bool(found(booked(), held(size), Tolerances(size=Decimal("0.01")))) is is_found


def test_size_without_any_price_counts_from_one_step() -> None:
    bare = held("0.50001", mark_price=None, entry_price=None)
    assert not found(booked(), bare)  # the book's own entry price values it: dust
    assert kinds(booked(entry_price=Decimal(0)), bare) == [Kind.SIZE]


def test_whole_positions_that_are_worth_nothing_are_dust() -> None:
    assert not found(None, held("0.00002"))
    assert not found(booked("0.00002"), None)
    assert kinds(None, held("0.00002"), EXACT) == [Kind.MISSING_LOCALLY]
    assert kinds(None, held("0.00002", mark_price=None, entry_price=None)) == [Kind.MISSING_LOCALLY]


def test_marks_of_the_snapshot_value_what_has_none() -> None:
    (finding,) = found(booked(), None, marks=(("BTC", Decimal(43000)),))
    assert finding.notional_delta == Decimal(21500)


def test_entry_prices_within_the_venues_rounding_or_a_dollar_agree() -> None:
    assert not found(booked(entry_price=Decimal("42003.1")), held())
    assert not found(booked("0.01", entry_price=Decimal(42050)), held("0.01"))
    assert kinds(booked(entry_price=Decimal("42004.3")), held()) == [Kind.ENTRY_PRICE]
    assert not found(booked(), held(entry_price=None))


def test_settings_are_compared_where_both_sides_have_them() -> None:
    nothing: dict[str, Any] = {"leverage": None, "margin_mode": None, "liquidation_price": None}
    assert not found(booked(**nothing), held())
    assert not found(booked(), held(**nothing))
    assert not found(booked(), held(leverage=Decimal("5.01")))


def test_liquidation_price_is_strict_under_isolated_margin_only() -> None:
    isolated: dict[str, Any] = {"margin_mode": MarginMode.ISOLATED}
    assert not found(booked(), held(liquidation_price=Decimal(37000)))
    assert kinds(booked(**isolated), held(liquidation_price=Decimal(37000), **isolated)) == [Kind.LIQUIDATION_PRICE]


@pytest.mark.parametrize("state", [BookState.OPENING, BookState.CLOSING])
@pytest.mark.parametrize("actual", [None, held(), held("0.1"), held(side=Side.SHORT)])
def test_announced_positions_are_judged_by_their_deadline_alone(state: BookState, actual: VenuePosition | None) -> None:
    assert not found(booked(state=state), actual)
    assert not found(booked(state=state, deadline=NOW), actual)
    (finding,) = found(booked(state=state, deadline=NOW - timedelta(seconds=90)), actual)
    assert finding.kind is Kind.OVERDUE
    assert finding.rule == f"overdue: {state.value} 90 s past its deadline"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.SUSPECT])
def test_nothing_is_concluded_from_a_scope_that_is_not_ok(outcome: Outcome) -> None:
    assert not compare([booked()], snapshot(scope(held("0.9"), outcome=outcome)), EXACT)
    late = booked(state=BookState.OPENING, deadline=NOW - timedelta(days=1))
    assert not compare([late], snapshot(scope(outcome=outcome)), EXACT)


def test_positions_belong_to_the_longest_prefix_of_their_product() -> None:
    stock = booked(symbol="xyz:TSLA", asset="TSLA/USD")
    main, dex = scope(), scope(scope="xyz", symbol_prefix="xyz:", outcome=Outcome.FAILED)
    assert not compare([stock], snapshot(main, dex), EXACT)
    assert not compare([stock], snapshot(dex, main), EXACT)
    assert not compare([stock], snapshot(main), EXACT), "of a dex that was not read nothing is known"
    assert compare([stock], snapshot(main, replace(dex, outcome=Outcome.OK)), EXACT)
    assert not compare([booked(product=Product.SPOT)], snapshot(main), EXACT)
    wide, narrow = scope(scope="a", symbol_prefix="BT"), scope(scope="b", symbol_prefix="BTC")
    assert scope_of(snapshot(wide, narrow), Product.PERPETUAL, "BTC") is narrow
    assert scope_of(snapshot(narrow, wide), Product.PERPETUAL, "BTC") is narrow
    assert scope_of(snapshot(wide), Product.PERPETUAL, "ETH") is None


def test_other_accounts_and_venues_are_passed_over() -> None:
    strangers = [booked(account="second"), booked(venue="coinbase")]
    assert [finding.kind for finding in compare(strangers, snapshot(scope(held())), EXACT)] == [Kind.MISSING_LOCALLY]


SIZES = st.integers(1, 10**7).map(lambda steps: steps * STEP)
PRICES = st.integers(1, 10**7).map(lambda cents: Decimal(cents) / 100)
SYMBOLS = st.sampled_from([f"S{number}" for number in range(12)])


@st.composite
def venue_positions(draw: st.DrawFn) -> VenuePosition:
    price = draw(PRICES)
    return held(
        symbol=draw(SYMBOLS),
        size=draw(SIZES),
        side=draw(st.sampled_from(Side)),
        entry_price=price,
        mark_price=price,
        leverage=Decimal(draw(st.integers(1, 50))),
        margin_mode=draw(st.sampled_from(MarginMode)),
        liquidation_price=draw(st.none() | PRICES),
    )


books = st.lists(venue_positions(), unique_by=lambda position: position.symbol)


def mirrored(positions: list[VenuePosition]) -> list[BookPosition]:
    """The same positions as a book has them."""
    names = ("symbol", "size", "side", "entry_price", "leverage", "margin_mode", "liquidation_price", "mark_price")
    return [booked(**{name: getattr(position, name) for name in names}) for position in positions]


def of(positions: list[VenuePosition]) -> Snapshot:
    return snapshot(scope(*positions))


@UNTIMED
@given(books, books)
def test_findings_are_symmetric(left: list[VenuePosition], right: list[VenuePosition]) -> None:
    swapped = {Kind.MISSING_LOCALLY: Kind.MISSING_AT_VENUE, Kind.MISSING_AT_VENUE: Kind.MISSING_LOCALLY}
    # The mark and the mode of margin are the venue's: give both sides the same.
    modes = {position.symbol: position for position in left}
    right = [
        replace(position, mark_price=same.mark_price, margin_mode=same.margin_mode)
        if (same := modes.get(position.symbol))
        else position
        for position in right
    ]
    one = {(f.symbol, f.kind) for f in compare(mirrored(left), of(right), Tolerances())}
    other = {(f.symbol, swapped.get(f.kind, f.kind)) for f in compare(mirrored(right), of(left), Tolerances())}
    assert one == other


@UNTIMED
@given(books, st.randoms(use_true_random=False))
def test_noise_below_every_tolerance_is_nothing(positions: list[VenuePosition], random: Any) -> None:
    def noisy(position: VenuePosition) -> VenuePosition:
        share = Decimal(random.randint(-99, 99)) / Decimal(10**6)
        return replace(
            position,
            entry_price=(position.entry_price or Decimal(0)) * (1 + share),
            liquidation_price=position.liquidation_price and position.liquidation_price * (1 + share),
        )

    assert not compare(mirrored(positions), of([noisy(position) for position in positions]), Tolerances())


MUTATIONS: dict[Kind, Any] = {
    Kind.SIZE: lambda p: replace(p, size=p.size * 2),
    Kind.SIDE: lambda p: replace(p, side=Side.SHORT if p.side is Side.LONG else Side.LONG),
    Kind.ENTRY_PRICE: lambda p: replace(p, entry_price=p.entry_price * 2),
    Kind.LEVERAGE: lambda p: replace(p, leverage=p.leverage + 1),
    Kind.MARGIN_MODE: lambda p: replace(
        p, margin_mode=MarginMode.CROSS if p.margin_mode is MarginMode.ISOLATED else MarginMode.ISOLATED
    ),
    Kind.LIQUIDATION_PRICE: lambda p: replace(p, liquidation_price=p.liquidation_price * 2),
}


@UNTIMED
@given(books.filter(bool), st.sampled_from(list(MUTATIONS)), st.data())
def test_one_changed_field_is_exactly_that_finding(
    positions: list[VenuePosition], kind: Kind, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(positions) - 1))
    positions[index] = replace(positions[index], liquidation_price=Decimal(7))
    changed = [MUTATIONS[kind](p) if i == index else p for i, p in enumerate(positions)]
    result = compare(mirrored(positions), of(changed), EXACT)
    assert [(finding.kind, finding.symbol) for finding in result] == [(kind, positions[index].symbol)]


@UNTIMED
@given(books, books, st.sampled_from([Outcome.FAILED, Outcome.SUSPECT]))
def test_a_failed_scope_gives_no_findings(
    left: list[VenuePosition], right: list[VenuePosition], outcome: Outcome
) -> None:
    assert not compare(mirrored(left), snapshot(scope(*right, outcome=outcome)), EXACT)


OF_ITS_OWN = Tolerances(
    overrides={
        ("hyperliquid", ""): {"size": Decimal("0.01"), "leverage": Decimal(1), "usd": Decimal(5)},
        ("", "BTC"): {"size": Decimal("0.02"), "price": Decimal("0.01")},
        ("hyperliquid", "BTC"): {"size": Decimal("0.03"), "liquidation_cross": Decimal("0.5")},
        ("coinbase", "BTC"): {"size": Decimal("0.9"), "leverage": Decimal(50)},
    }
)


def test_of_each_tolerance_the_most_specific_one_counts() -> None:
    btc, eth = OF_ITS_OWN.of("hyperliquid", "BTC"), OF_ITS_OWN.of("hyperliquid", "ETH")
    assert (btc.size, btc.price, btc.leverage, btc.usd) == (Decimal("0.03"), Decimal("0.01"), 1, 5)
    assert (btc.told("size"), btc.told("price")) == ("set for hyperliquid BTC", "set for BTC")
    assert (eth.size, eth.price, eth.told("size"), eth.told("price")) == (
        Decimal("0.01"),
        Tolerances().price,
        "set for hyperliquid",
        "",
    )
    assert OF_ITS_OWN.of("coinbase", "SOL-USD") is OF_ITS_OWN


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"size": Decimal("0.51")}, ""),
        ({"size": Decimal("0.6")}, "size: 0.1 > 0.018 (3 % of 0.6, set for hyperliquid BTC)"),
        ({"entry_price": Decimal(42100)}, ""),
        ({"entry_price": Decimal(44000)}, "entry price: 2000 > 440 (1 % of 44000, set for BTC)"),
        ({"leverage": Decimal(6)}, ""),
        ({"leverage": Decimal(10)}, "leverage: 5 > 1 (set for hyperliquid)"),
        ({"liquidation_price": Decimal(30000)}, ""),
        (
            {"liquidation_price": Decimal(18000)},
            "liquidation price: 20000 > 19000 (50 % of 38000, cross margin, set for hyperliquid BTC)",
        ),
    ],
)
def test_the_rule_says_what_its_tolerance_was_set_for(change: dict[str, Any], rule: str) -> None:
    assert [finding.rule for finding in found(booked(), replace(held(), **change), OF_ITS_OWN)] == (
        [rule] if rule else []
    )


def test_the_rule_of_a_whole_position_says_from_what_worth_on_it_counts() -> None:
    assert found(None, held())[0].rule == (
        "missing locally: the venue holds 0.5, the book nothing (worth 21075 >= 1 USD)"
    )
    assert found(booked(), None, OF_ITS_OWN)[0].rule == (
        "missing at venue: the book holds 0.5, the venue nothing (worth 21000 >= 5 USD, set for hyperliquid)"
    )
    assert not found(None, held("0.0001"), OF_ITS_OWN)  # 4.2 USD
    bare = held(mark_price=None, entry_price=None)
    assert found(None, bare)[0].rule.endswith("the book nothing (of unknown worth)")
