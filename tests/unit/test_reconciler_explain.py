"""explain: the cause, the evidence and the exact correction; and how a trader reads them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from position_service.domain import numbers
from reconciler_service.compare import compare
from reconciler_service.describe import severity, summary
from reconciler_service.explain import MOST_EVIDENCE, Trades, explain
from reconciler_service.findings import Cause, Explanation, Finding, Kind, Severity
from reconciler_service.holding import Holding, adopt, book_fills, trade
from reconciler_service.missed import missed_fills
from reconciler_service.model import (
    BookPosition,
    BookState,
    CashFlow,
    FlowKind,
    MarginMode,
    Product,
    Side,
    VenueFill,
    VenuePosition,
)
from reconciler_service.tolerances import Tolerances
from reconciler_service.wording import plain, short, signed, spaced
from tests.reconciler_samples import NOW, booked, fill, held, scope, snapshot

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # timings never decide a test

QUOTE = frozenset({"USD", "USDC"})
EVERY_STEP = Tolerances(usd=Decimal(0))


def minutes(number: int) -> Any:
    return NOW + timedelta(minutes=number)


def find(local: BookPosition | None, actual: VenuePosition | None, product: Product = Product.PERPETUAL) -> Finding:
    seen = snapshot(scope(*(() if actual is None else (actual,)), product=product), marks=(("BTC", Decimal(42150)),))
    (finding,) = compare([] if local is None else [local], seen, EVERY_STEP)
    return finding


def why(finding: Finding, *fills: VenueFill, error: str = "") -> Explanation:
    return explain(finding, Trades(fills, NOW - timedelta(days=1), error), QUOTE)


def diff(explanation: Explanation) -> dict[str, tuple[str, str]]:
    return {change.field: (change.before, change.after) for change in explanation.correction}


def test_a_missed_buy() -> None:
    finding = find(booked(), held("0.6", entry_price=Decimal(42025)))
    made = why(finding, fill("0.1", start="0.5", fee=Decimal("1.5"), fee_currency="USDC"))
    assert made.cause is Cause.MISSED_FILLS
    assert made.text == "A buy of 0.1 at 42 150 never reached the book."
    assert diff(made) == {
        "size": ("0.5", "0.6"),
        "entry_price": ("42000", "42025"),
        "realized_pnl": ("0", "-1.5"),
    }
    assert [fact.text for fact in made.evidence] == ["bought 0.1 BTC at 42150, fee 1.5 USDC"]
    assert not made.estimated
    assert summary(finding, made) == (
        "BTC long on hyperliquid: venue holds 0.6, book says 0.5 (+0.1 BTC, about 4 215 USD). "
        "A buy of 0.1 at 42 150 never reached the book."
    )
    assert severity(finding, made) is Severity.WARNING


def test_fees_in_other_currencies_are_not_mixed_in() -> None:
    made = why(find(booked(), held("0.6")), fill("0.1", start="0.5", fee=Decimal("0.2"), fee_currency="HYPE"))
    assert "realized_pnl" not in diff(made)
    assert made.evidence[0].text.endswith("fee 0.2 HYPE")


def test_a_missed_partial_close_realises_what_it_earned() -> None:
    made = why(find(booked(), held("0.3")), fill("-0.2", "42500", start="0.5"))
    assert made.text == "A sell of 0.2 at 42 500 never reached the book."
    assert diff(made) == {"size": ("0.5", "0.3"), "realized_pnl": ("0", "100")}


def test_fills_that_are_in_the_book_already_do_not_count() -> None:
    known = fill("0.5", "42000", start="0", at=minutes(-90))
    made = why(find(booked(), held("0.7")), known, fill("0.1", start="0.5"), fill("0.1", start="0.6", at=minutes(1)))
    assert made.text == "2 buys of 0.2 at 42 150 on average never reached the book."
    assert len(made.evidence) == 2


def test_fills_without_start_position_are_aligned_by_their_sum() -> None:
    made = why(find(booked(), held("0.6")), fill("0.5", at=minutes(-90)), fill("0.1"))
    assert made.text == "A buy of 0.1 at 42 150 never reached the book."


def test_a_round_trip_before_the_missed_fill_is_missed_as_well_when_it_is_younger_than_the_book() -> None:
    trip = fill("0.2", "42000", start="0.5"), fill("-0.2", "42300", start="0.7", at=minutes(1))
    last = fill("0.1", start="0.5", at=minutes(2))
    finding = find(booked(), held("0.6"))
    assert len(why(finding, *trip, last).evidence) == 3
    older = find(booked(updated_at=minutes(1)), held("0.6"))
    assert len(why(older, *trip, last).evidence) == 1
    made = why(finding, *trip, last)
    assert made.text == "3 fills, net 0.1 at 42 150 on average, never reached the book."


def test_a_run_that_reaches_back_no_further_than_the_book_is_second_choice() -> None:
    # The venue's clock is ahead: a booked fill looks younger than the book.
    booked_one, missed = fill("0.5", start="0"), fill("0.1", start="0.5", at=minutes(1))
    assert len(why(find(booked(), held("0.6")), booked_one, missed).evidence) == 1


def test_a_fill_lost_in_the_middle_is_found_when_only_one_fits() -> None:
    lost, later = fill("0.125", start="0.5", at=minutes(-2)), fill("0.2", start="0.625", at=minutes(-1))
    finding = find(booked("0.7", updated_at=minutes(-1)), held("0.825"))
    assert [fact.id for fact in why(finding, lost, later).evidence] == [lost.fill_id]
    twin = fill("0.125", "43000", start="0.375", at=minutes(-3))
    assert why(finding, twin, lost, later).cause is Cause.UNEXPLAINED
    same = fill("0.125", "42150", start="0.375", at=minutes(-3))
    entry = (Decimal("0.7") * 42000 + Decimal("0.125") * 42150) / Decimal("0.825")
    either = find(booked("0.7", updated_at=minutes(-1)), held("0.825", entry_price=entry))
    assert why(either, same, lost, later).cause is Cause.UNEXPLAINED


def test_fills_after_the_snapshot_are_not_in_it() -> None:
    missed, after = fill("0.1", start="0.5"), fill("0.1", start="0.6", at=minutes(1))
    assert [fact.id for fact in why(find(booked(), held("0.6")), missed, after).evidence] == [missed.fill_id]


def test_a_gap_in_the_venues_own_fills_explains_nothing() -> None:
    broken = fill("0.1", start="0.3", at=minutes(-9)), fill("0.1", start="0.5")
    assert why(find(booked("0.4"), held("0.6")), *broken).cause is Cause.UNEXPLAINED
    assert why(find(booked("0.5"), held("0.6")), *broken).cause is Cause.MISSED_FILLS
    half_told = fill("0.1", at=minutes(-9)), fill("0.1", start="0.5")
    assert why(find(booked("0.4"), held("0.6")), *half_told).cause is Cause.UNEXPLAINED


def test_fills_that_are_behind_the_snapshot_explain_nothing() -> None:
    assert why(find(booked(), held("0.6")), fill("0.1", start="0.2")).cause is Cause.UNEXPLAINED


def test_the_entry_price_tells_two_lost_fills_apart() -> None:
    lost = fill("0.1", "52000", start="0.5", at=minutes(-3))
    booked_ones = fill("0.1", "42000", start="0.6", at=minutes(-2)), fill("0.2", "42000", start="0.7", at=minutes(-1))
    entry = (Decimal("0.8") * 42000 + Decimal(5200)) / Decimal("0.9")
    finding = find(booked("0.8", updated_at=minutes(-1)), held("0.9", entry_price=entry))
    assert [fact.id for fact in why(finding, lost, *booked_ones).evidence] == [lost.fill_id]


def test_too_many_ways_to_make_up_the_difference_are_none() -> None:
    steps = [fill("0.1" if number % 2 else "-0.1", at=minutes(-20 + number)) for number in range(20)]
    finding = find(booked("0.5", updated_at=NOW), held("0.6"))
    assert why(finding, *steps, fill("0.7")).cause is Cause.UNEXPLAINED


def test_shares_of_a_cost_are_what_the_position_service_books() -> None:
    """Its rule is repeated here, and must not come apart."""
    tenth = Decimal("0.1")
    exact = trade(Holding(Decimal(8), Decimal("1E-18")), -Decimal(1), Decimal(0))
    assert exact.cost == Decimal("0.875E-18"), "ends within 36 digits"
    endless = trade(Holding(Decimal(3), tenth), -Decimal(1), Decimal(0))
    assert endless.cost == tenth - Decimal("0.033333333333333333")
    tiny = trade(Holding(Decimal(3), Decimal("0.5E-18")), -Decimal(2), Decimal(0))
    assert tiny.cost >= 0, "never more than there is"


@UNTIMED
@given(
    st.integers(1, 10**30).map(lambda n: Decimal(n).scaleb(-30)),
    st.integers(1, 10**12).map(lambda n: Decimal(n).scaleb(-6)),
    st.data(),
)
def test_every_share_is_what_the_position_service_books(cost: Decimal, size: Decimal, data: st.DataObject) -> None:
    part = Decimal(data.draw(st.integers(1, int(size.scaleb(6))))).scaleb(-6)
    after = trade(Holding(size, cost), -part, Decimal(0))
    assert after.cost == (cost - numbers.share(cost, part, size) if part < size else 0)


def test_a_round_trip_shows_in_the_entry_price_alone() -> None:
    trip = fill("-0.2", "42500", start="0.5"), fill("0.2", "43000", start="0.3", at=minutes(1))
    made = why(find(booked(), held(entry_price=Decimal(42400))), *trip)
    assert made.cause is Cause.MISSED_FILLS
    assert diff(made) == {"entry_price": ("42000", "42400"), "realized_pnl": ("0", "100")}
    other = why(find(booked(), held(entry_price=Decimal(50000))), *trip)
    assert (other.cause, other.estimated) == (Cause.UNEXPLAINED, True)
    assert diff(other) == {"entry_price": ("42000", "50000")}


def test_closed_at_the_venue() -> None:
    finding = find(booked(), None)
    made = why(finding, fill("-0.5", "42500", start="0.5"))
    assert made.cause is Cause.CLOSED_AT_VENUE
    assert made.text == "It was closed at the venue: a sell of 0.5 at 42 500 never reached the book."
    assert diff(made) == {"size": ("0.5", "0"), "realized_pnl": ("0", "250")}
    assert severity(finding, made) is Severity.CRITICAL


def test_liquidation() -> None:
    finding = find(booked(), held("0.4999"))
    made = why(finding, fill("-0.0001", "38000", start="0.5", liquidation=True))
    assert made.cause is Cause.LIQUIDATION
    assert made.text == "The venue liquidated 0.0001 at 38 000."
    assert made.evidence[0].kind == "liquidation"
    assert severity(finding, made) is Severity.CRITICAL, "however small"


def test_flip() -> None:
    finding = find(booked(), held("0.3", side=Side.SHORT, entry_price=Decimal(42500)))
    made = why(finding, fill("-0.8", "42500", start="0.5"))
    assert diff(made) == {
        "side": ("LONG", "SHORT"),
        "size": ("0.5", "0.3"),
        "entry_price": ("42000", "42500"),
        "realized_pnl": ("0", "250"),
    }
    assert summary(finding, made).startswith("BTC on hyperliquid: venue is short 0.3, book says long 0.5 (-0.8 BTC")


def test_unexplained_adopts_the_venue_at_the_mark_and_says_so() -> None:
    made = why(find(booked(), held("0.3")))
    assert (made.cause, made.estimated) == (Cause.UNEXPLAINED, True)
    assert made.text == "No fill since 2026-11-21 12:00:00 UTC accounts for it."
    assert diff(made) == {"size": ("0.5", "0.3"), "realized_pnl": ("0", "30")}
    assert why(find(booked(), held("0.3")), error="429").text == "The venue's fills could not be read: 429."
    unread = explain(find(booked(), held("0.3")), Trades(), QUOTE)
    assert unread.text == "The venue's fills were not read."


def test_a_position_only_the_venue_knows() -> None:
    finding = find(None, held(side=Side.SHORT))
    made = why(finding)
    assert diff(made) == {"side": ("", "SHORT"), "size": ("0", "0.5"), "entry_price": ("", "42000")}
    assert "BTC short on hyperliquid: venue holds 0.5, book says nothing (-0.5 BTC" in summary(finding, made)
    explained = why(finding, fill("-0.5", "42000", start="0"))
    assert explained.cause is Cause.MISSED_FILLS


def test_fees_taken_from_the_bought_asset() -> None:
    spot: dict[str, Any] = {"product": Product.SPOT, "leverage": None, "liquidation_price": None}
    local = booked(**spot)
    actual = held("0.4995", entry_price=None, **spot)
    charged = [fill("0.25", fee=Decimal("0.00025"), fee_currency="BTC", at=minutes(-90 + i)) for i in range(2)]
    earlier = fill("0.1", fee=Decimal("0.0001"), fee_currency="BTC", at=minutes(-99))
    made = why(find(local, actual, Product.SPOT), earlier, *charged)
    assert made.cause is Cause.FEE_IN_BASE
    assert made.text == "Fees of 0.0005 were taken from the bought asset itself."
    assert diff(made)["size"] == ("0.5", "0.4995")
    assert len(made.evidence) == 2
    assert why(find(local, actual, Product.SPOT), charged[0]).cause is Cause.UNEXPLAINED


@pytest.mark.parametrize(
    ("change", "text", "correction"),
    [
        ({"leverage": Decimal(10)}, "The leverage was set to 10 at the venue; the book says 5.", ("5", "10")),
        (
            {"margin_mode": MarginMode.ISOLATED},
            "The margin mode was set to ISOLATED at the venue; the book says CROSS.",
            ("CROSS", "ISOLATED"),
        ),
    ],
)
def test_settings(change: dict[str, Any], text: str, correction: tuple[str, str]) -> None:
    finding = find(booked(), held(**change))
    made = why(finding)
    assert (made.cause, made.text) == (Cause.SETTING_CHANGED, text)
    assert list(diff(made).values()) == [correction]
    assert severity(finding, made) is Severity.INFO


def test_liquidation_price_is_told_and_not_explained() -> None:
    made = why(find(booked(), held(liquidation_price=Decimal(30000))))
    assert made.cause is Cause.UNEXPLAINED
    assert diff(made) == {"liquidation_price": ("38000", "30000")}


def test_unmapped() -> None:
    finding = find(None, held(asset=None))
    made = why(finding)
    assert made.cause is Cause.UNEXPLAINED
    assert not made.correction
    assert "an instrument without a canonical name" in summary(finding, made)
    assert severity(finding, made) is Severity.WARNING


def overdue(state: BookState, actual: VenuePosition | None, *fills: VenueFill) -> Explanation:
    return why(find(booked(state=state, deadline=NOW - timedelta(minutes=1)), actual), *fills)


def test_overdue_opening() -> None:
    opened = overdue(BookState.OPENING, held())
    assert (opened.cause, diff(opened)) == (Cause.MISSED_FILLS, {"status": ("OPENING", "OPEN")})
    never = overdue(BookState.OPENING, None)
    assert never.text.startswith("It never opened: the venue holds nothing. No fill since")
    assert diff(never) == {"status": ("OPENING", "CLOSED")}
    partly = overdue(BookState.OPENING, held("0.2"))
    assert partly.text == "It opened at another size: the venue holds 0.2 of 0.5."
    assert diff(partly)["size"] == ("0.5", "0.2")


def test_overdue_closing() -> None:
    still = overdue(BookState.CLOSING, held())
    assert (still.text, diff(still)) == (
        "The close was never executed: the venue holds all of it.",
        {"status": ("CLOSING", "OPEN")},
    )
    closed = overdue(BookState.CLOSING, None, fill("-0.5", "42500", start="0.5"))
    assert closed.cause is Cause.CLOSED_AT_VENUE
    assert overdue(BookState.CLOSING, None).estimated


def test_evidence_is_bounded() -> None:
    fills = [
        fill("0.01", start=str(Decimal("0.5") + number * Decimal("0.01")), at=minutes(number)) for number in range(25)
    ]
    made = why(find(booked(), held("0.75")), *fills)
    assert len(made.evidence) == MOST_EVIDENCE + 1
    assert made.evidence[-1].text == "and 5 more"


def test_summaries_of_the_other_kinds() -> None:
    def line(local: BookPosition | None, actual: VenuePosition | None) -> str:
        finding = find(local, actual)
        return summary(finding, Explanation(Cause.UNEXPLAINED, "Why."))

    assert line(booked(), None) == (
        "BTC long on hyperliquid: venue holds nothing, book says 0.5 (-0.5 BTC, about 21 075 USD). Why."
    )
    assert "entry price at the venue is 42 100.5, book says 42 000" in line(
        booked(), held(entry_price=Decimal("42100.5"))
    )
    assert "leverage at the venue is 10, book says 5" in line(booked(), held(leverage=Decimal(10)))
    assert "liquidation price at the venue is 30 000, book says 38 000" in line(
        booked(), held(liquidation_price=Decimal(30000))
    )
    assert "margin mode at the venue is isolated, book says cross" in line(
        booked(), held(margin_mode=MarginMode.ISOLATED)
    )
    late = booked(state=BookState.CLOSING, deadline=NOW - timedelta(minutes=1))
    assert "CLOSING past its deadline, book says 0.5, venue holds nothing" in line(late, None)
    assert "venue holds 0.5. Why" in line(late, held())


def test_small_amounts_are_info_and_other_accounts_are_named() -> None:
    (finding,) = compare(
        [booked(account="second")], snapshot(scope(held("0.5001", mark_price=Decimal(42150))), account="second"),
        EVERY_STEP,
    )  # fmt: skip
    made = Explanation(Cause.UNEXPLAINED, "Why.")
    assert severity(finding, made) is Severity.INFO
    assert "on hyperliquid (second): venue" in summary(finding, made)
    assert "about 4.22 USD" in summary(finding, made)
    bare = find(None, held(mark_price=None))
    assert severity(bare, made) is Severity.CRITICAL


def test_no_mark_no_worth() -> None:
    (finding,) = compare([booked()], snapshot(scope()), EVERY_STEP)
    assert "(-0.5 BTC)" in summary(finding, Explanation(Cause.UNEXPLAINED, "Why."))
    assert finding.kind is Kind.MISSING_AT_VENUE
    assert diff(why(finding)) == {"size": ("0.5", "0")}, "nothing is realised without a price"


def test_adopting_without_any_price_keeps_what_there_is() -> None:
    assert adopt(Holding(), Decimal(1), None, None) == Holding(Decimal(1), Decimal(0))
    assert adopt(Holding(Decimal(1), Decimal(10)), Decimal(2), None, None) == Holding(Decimal(2), Decimal(20))


@pytest.mark.parametrize(
    ("amount", "plainly", "with_spaces"),
    [("42150.50", "42150.5", "42 150.5"), ("1E+3", "1000", "1 000"), ("-0.0", "0", "-0"), ("0.10", "0.1", "0.1")],
)
def test_wording(amount: str, plainly: str, with_spaces: str) -> None:
    assert plain(Decimal(amount)) == plainly
    assert spaced(Decimal(amount)) == with_spaces
    assert signed(Decimal(7)) == "+7"
    assert short(Decimal(1) / 3) == "0.333333"


AMOUNTS = st.integers(1, 10**6).map(lambda number: Decimal(number) / 1000)
TRADES = st.lists(st.tuples(AMOUNTS, AMOUNTS, st.booleans()), max_size=20)


@UNTIMED
@given(TRADES)
def test_once_flat_the_realised_pnl_is_the_cash_that_moved(trades: list[tuple[Decimal, Decimal, bool]]) -> None:
    holding, cash = Holding(), Decimal(0)
    for size, price, is_buy in trades:
        change = size if is_buy else -size
        holding = trade(holding, change, price, Decimal("0.01"))
        cash -= change * price + Decimal("0.01")
    if holding.size:
        cash += holding.size * 3
        holding = trade(holding, -holding.size, Decimal(3))
    assert (holding.size, holding.cost, holding.realized) == (0, 0, cash)
    assert holding.entry is None


@UNTIMED
@given(TRADES.filter(bool), st.data())
def test_whatever_suffix_was_missed_is_found_and_leads_to_the_venue(
    trades: list[tuple[Decimal, Decimal, bool]], data: st.DataObject
) -> None:
    fills, at = [], Decimal(0)
    for number, (size, price, is_buy) in enumerate(trades):
        signed_size = size if is_buy else -size
        fills.append(fill(str(signed_size), str(price), start=str(at), at=minutes(number)))
        at += signed_size
    known = data.draw(st.integers(0, len(fills) - 1))
    book = book_fills(Holding(), fills[:known], QUOTE)
    venue = book_fills(Holding(), fills, QUOTE)
    booked_at = minutes(known) - timedelta(seconds=1)
    run = missed_fills(book, venue.size, venue.entry, fills, booked_at)
    if book.size == venue.size:
        return  # nothing to explain by size
    assert list(run) == fills[known:]
    assert book_fills(book, run, QUOTE) == venue


SPOT: dict[str, Any] = {"product": Product.SPOT, "leverage": None, "liquidation_price": None}


def flow(amount: str, minute: int, currency: str = "BTC", **fields: Any) -> CashFlow:
    values = {"kind": FlowKind.TRANSFER, "scope": "spot", "text": "spotTransfer"} | fields
    return CashFlow(f"t{minute}", time=minutes(minute), currency=currency, amount=Decimal(amount), **values)


def why_with(finding: Finding, flows: list[CashFlow], *fills: VenueFill) -> Explanation:
    return explain(finding, Trades(fills, NOW - timedelta(days=1)), QUOTE, flows)


def test_a_missed_purchase_whose_fee_came_out_of_what_was_bought() -> None:
    finding = find(booked(**SPOT), held("0.7498", entry_price=None, **SPOT), Product.SPOT)
    made = why(finding, fill("0.25", "40000", fee=Decimal("0.0002"), fee_currency="BTC"))
    assert (made.cause, made.estimated) == (Cause.MISSED_FILLS, False)
    assert made.text.endswith("never reached the book. Fees were taken from the bought asset itself.")
    assert diff(made)["size"] == ("0.5", "0.7498")
    # Nothing was taken from the asset, so the fill does not account for it; nor does one that starts elsewhere.
    gap = find(booked(**SPOT), held("0.75", entry_price=None, **SPOT), Product.SPOT)
    assert why(gap, fill("0.25", "40000", start="9")).cause is Cause.UNEXPLAINED
    assert why(finding, fill("0.25", "40000", fee=Decimal("0.0002"), fee_currency="USDC")).cause is Cause.UNEXPLAINED


def test_tokens_that_were_transferred() -> None:
    came = find(booked(**SPOT), held("0.8", entry_price=None, **SPOT), Product.SPOT)
    made = why_with(came, [flow("9", -50), flow("0.1", -30), flow("5", -20, "USDC"), flow("0.2", -10)])
    assert (made.cause, made.estimated) == (Cause.TRANSFER, True)
    assert made.text == "0.3 BTC were transferred in, not traded."
    assert [(fact.kind, fact.id, fact.text) for fact in made.evidence] == [
        ("transfer", "t-30", "+0.1 BTC, spotTransfer"),
        ("transfer", "t-10", "+0.2 BTC, spotTransfer"),
    ]
    left = find(booked(**SPOT), None, Product.SPOT)
    assert why_with(left, [flow("-0.5", -10)]).text == "0.5 BTC were transferred out, not traded."
    assert why_with(came, [flow("0.25", -10), flow("0.3", -5, kind=FlowKind.FUNDING)]).cause is Cause.UNEXPLAINED


def test_a_transfer_explains_no_contract() -> None:
    assert why_with(find(booked(), held("0.8")), [flow("0.3", -10)]).cause is Cause.UNEXPLAINED


@pytest.mark.parametrize(
    ("mode", "flows", "cause", "words"),
    [
        (MarginMode.CROSS, [], Cause.UNEXPLAINED, "it moves with collateral, funding and leverage."),
        (
            MarginMode.CROSS,
            [flow("-12.5", -9, "USDC", kind=FlowKind.FUNDING, scope="", symbol="ETH", text="funding")],
            Cause.FUNDING,
            "of the collateral behind it, -12.5 came as funding.",
        ),
        (
            MarginMode.CROSS,
            [
                flow("-2", -9, "USDC", kind=FlowKind.FUNDING, scope="", symbol="BTC", text="funding"),
                flow("100", -5, "USDC", scope="", text="deposit"),
                flow("100", -5, "USDC", scope="xyz"),
            ],
            Cause.TRANSFER,
            "of the collateral behind it, +100 moved by transfers and -2 came as funding.",
        ),
        (
            MarginMode.ISOLATED,
            [
                flow("100", -5, "USDC", scope=""),
                flow("-3", -4, "USDC", kind=FlowKind.FUNDING, scope="", symbol="BTC"),
                flow("-9", -3, "USDC", kind=FlowKind.FUNDING, scope="", symbol="ETH"),
            ],
            Cause.FUNDING,
            "of the collateral behind it, -3 came as funding.",
        ),
        (
            MarginMode.CROSS,
            [flow("5", -5, "USDC", scope=""), flow("-5", -4, "USDC", scope="")],
            Cause.TRANSFER,
            "of the collateral behind it, what came and went adds up to nothing.",
        ),
    ],
)
def test_what_moved_a_liquidation_price(mode: MarginMode, flows: list[CashFlow], cause: Cause, words: str) -> None:
    finding = find(booked(margin_mode=mode), held(margin_mode=mode, liquidation_price=Decimal(33000)))
    made = why_with(finding, flows)
    assert finding.kind is Kind.LIQUIDATION_PRICE
    assert (made.cause, made.text) == (cause, f"The venue liquidates at 33000, the book says 38000; {words}")
    assert diff(made) == {"liquidation_price": ("38000", "33000")}


def test_of_many_flows_the_newest_are_quoted() -> None:
    many = [flow("1", n, "USDC", scope="") for n in range(MOST_EVIDENCE + 5)]
    finding = find(booked(), held(liquidation_price=Decimal(33000)))
    facts = why_with(finding, many).evidence
    assert (len(facts), facts[0].text, facts[-1].id) == (MOST_EVIDENCE + 1, "and 5 before", f"t{MOST_EVIDENCE + 4}")
