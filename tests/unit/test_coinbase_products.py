"""Coinbase's metadata and fills."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from reconciler_service.model import VenueFill
from reconciler_service.venues import VenueDataError
from reconciler_service.venues.coinbase import fills, products
from reconciler_service.venues.coinbase.products import product
from tests.coinbase_samples import fill, future_product, spot_product

QUOTES = ("USD", "USDC")
MARKETS = {
    one.product_id: one
    for one in (
        product(spot_product()),
        product(spot_product("BTC-USDC")),
        product(spot_product("BTC-EUR")),
        product(future_product()),
    )
}


def executed(*rows: dict[str, Any]) -> list[VenueFill]:
    return fills.executions(fills.page({"fills": list(rows)}).rows, MARKETS, QUOTES)


def test_a_spot_product() -> None:
    found = product(spot_product())
    assert (found.kind, found.base, found.quote) == ("SPOT", "BTC", "USD")
    assert (found.step, found.price, found.contract_size) == (Decimal("1e-8"), Decimal(90000), None)
    assert (found.expiry, found.is_perpetual) == (None, False)


def test_a_product_needs_only_its_id() -> None:
    assert product({"product_id": "X"}).kind == "SPOT"
    assert product({"product_id": "X", "future_product_details": {"venue": "cde"}}).kind == "FUTURE"
    empty = product(spot_product(base_increment="0", price=""))
    assert (empty.step, empty.price) == (None, None)


@pytest.mark.parametrize(
    ("details", "perpetual"),
    [
        ({}, False),
        ({"funding_rate": None}, False),
        ({"funding_rate": "0.0001"}, True),
        ({"funding_rate": "0"}, True),
        ({"perpetual_details": {"funding_rate": "1"}}, True),
        ({"perpetual_details": {"funding_rate": ""}}, False),
        ({"contract_expiry_type": "PERPETUAL"}, True),
    ],
)
def test_what_tells_a_perpetual(details: dict[str, Any], perpetual: bool) -> None:
    assert product(future_product(**details)).is_perpetual is perpetual


def test_a_name_or_a_rate_of_its_own_tells_a_perpetual() -> None:
    assert product(future_product() | {"display_name": "BTC PERP"}).is_perpetual
    assert not product(future_product() | {"display_name": "PERPLEX 28 NOV"}).is_perpetual
    assert product(future_product() | {"funding_rate": "0.1"}).is_perpetual
    assert not product(spot_product() | {"display_name": "BTC PERP"}).is_perpetual


@pytest.mark.parametrize(
    ("raw", "expiry"),
    [
        ("2026-11-28T16:00:00Z", datetime(2026, 11, 28, 16, tzinfo=UTC)),
        ("1727686200", datetime(2024, 9, 30, 8, 50, tzinfo=UTC)),
        (1727686200, datetime(2024, 9, 30, 8, 50, tzinfo=UTC)),
        ("", None),
        (None, None),
    ],
)
def test_expiries(raw: Any, expiry: datetime | None) -> None:
    assert product(future_product(contract_expiry=raw)).expiry == expiry


@pytest.mark.parametrize(
    "row",
    [
        spot_product(base_increment="NaN"),
        spot_product(base_increment="-1"),
        spot_product(price="NaN"),
        spot_product() | {"product_id": "no spaces please"},
        future_product(size="1e999"),
        future_product(contract_expiry="soon"),
        future_product(contract_expiry="9" * 19),
        {},
        None,
    ],
)
def test_a_product_that_breaks_the_format(row: Any) -> None:
    with pytest.raises(VenueDataError):
        product(row)


def test_pages_of_products() -> None:
    rows = [spot_product(), future_product()]
    for pagination in (None, {"has_next": False, "next_cursor": "x"}, {"has_next": True, "next_cursor": None}):
        assert products.listing({"products": rows, "pagination": pagination}).cursor == ""
    page = products.listing({"products": rows, "pagination": {"has_next": True, "next_cursor": "x"}})
    assert (len(page.rows), page.cursor) == (2, "x")


def test_the_market_that_measures_a_holding() -> None:
    of = products.of_holding
    assert of("BTC", MARKETS.values(), QUOTES) is MARKETS["BTC-USD"]
    assert of("BTC", MARKETS.values(), ("USDC", "USD")) is MARKETS["BTC-USDC"]
    assert of("BTC", [MARKETS["BTC-EUR"]], QUOTES) is MARKETS["BTC-EUR"]
    assert of("ETH", MARKETS.values(), QUOTES) is None
    assert of("BTC", [MARKETS["BIT-28NOV26-CDE"]], QUOTES) is None


def test_mids_of_books_that_have_two_sides() -> None:
    def book(product_id: str, bids: Any, asks: Any) -> dict[str, Any]:
        return {"product_id": product_id, "bids": bids, "asks": asks}

    bid, ask = [{"price": "100", "size": "1"}], [{"price": "100.01", "size": "1"}]
    books = [book("A", bid, ask), book("B", bid, []), book("C", None, ask), book("D", [{"price": ""}], ask)]
    assert products.mids({"pricebooks": books}) == {"A": Decimal("100.005")}
    for broken in (book("A", [{"price": "NaN"}], ask), book("A", [5], ask), book("A", 5, ask), {"bids": []}):
        with pytest.raises(VenueDataError):
            products.mids({"pricebooks": [broken]})


def test_a_fill() -> None:
    (found,) = executed(fill())
    assert found == VenueFill(
        fill_id="e1",
        symbol="BTC-USD",
        is_buy=True,
        size=Decimal("0.5"),
        price=Decimal(90000),
        time=datetime(2026, 11, 22, 13, 0, 0, 123_456, tzinfo=UTC),
        fee=Decimal("1.25"),
        fee_currency="USD",
    )


def test_fills_of_one_wallet_have_one_symbol_and_other_prices_their_own() -> None:
    usdc, eur = executed(fill("a", "BTC-USDC"), fill("b", "BTC-EUR"))
    assert (usdc.symbol, usdc.fee_currency) == ("BTC-USD", "USDC")
    assert (eur.symbol, eur.fee_currency) == ("BTC-EUR", "EUR")
    assert fills.symbol_of(product({"product_id": "X", "quote_currency_id": "USD"}), QUOTES) == "X"


def test_futures_are_filled_in_contracts() -> None:
    (found,) = executed(fill("a", "BIT-28NOV26-CDE", size="3", side="SELL"))
    assert (found.symbol, found.size, found.is_buy) == ("BIT-28NOV26-CDE", Decimal("0.03"), False)
    sizeless = {"BIT-28NOV26-CDE": product(future_product(size=""))}
    with pytest.raises(VenueDataError, match="contract size is not known"):
        fills.executions(fills.page({"fills": [fill("a", "BIT-28NOV26-CDE")]}).rows, sizeless, QUOTES)


def test_a_size_in_quote_is_divided_and_says_so() -> None:
    (found,) = executed(fill(size="0.0046830664333996", price="21220.64", size_in_quote=True))
    assert found.size == Decimal("0.000000220684504963")
    assert found.text == "size from quote, rounded"


def test_order_is_by_the_nanosecond_then_by_the_venues_sequence() -> None:
    early = fill("z", trade_time="2026-11-22T13:00:00.123456788Z")
    first = fill("y", sequence_timestamp="2026-11-22T13:00:00.5Z")
    rows = [fill("a"), first, early, fill("a"), fill("b", sequence_timestamp=None, commission="")]
    assert [one.fill_id for one in executed(*rows)] == ["z", "b", "y", "a"]


def test_a_reversal_undoes_its_fill_and_the_correction_stands() -> None:
    wrong = fill("a", trade_id="t", price="80000")
    undo = fill("b", trade_id="t", price="80000", trade_type="REVERSAL", trade_time="2026-11-22T13:05:00Z")
    right = fill("c", trade_id="t", trade_type="CORRECTION", trade_time="2026-11-22T13:05:00Z")
    other = fill("d", trade_id="t2", price="80000")
    found = executed(undo, right, wrong, other)
    assert [(one.fill_id, one.text) for one in found] == [("d", ""), ("c", "CORRECTION")]
    with pytest.raises(VenueDataError, match="REVERSAL"):
        executed(undo, right, other)


@pytest.mark.parametrize(
    "more",
    [
        {"side": "Buy"},
        {"side": None},
        {"trade_type": "GIFT"},
        {"trade_type": 5},
        {"size": "0"},
        {"size": "NaN"},
        {"price": "-1"},
        {"price": ""},
        {"commission": "NaN"},
        {"entry_id": ""},
        {"product_id": ""},
        {"trade_time": "now"},
        {"sequence_timestamp": "now"},
    ],
)
def test_a_fill_that_breaks_the_format(more: dict[str, Any]) -> None:
    with pytest.raises(VenueDataError):
        executed(fill() | more)


def test_the_kind_of_a_trade_may_be_absent() -> None:
    assert executed(fill(trade_type=None))[0].text == ""


def test_a_cursor_leads_on_only_from_a_page_with_rows() -> None:
    assert fills.page({"fills": [fill()], "cursor": "c"}).cursor == "c"
    assert fills.page({"fills": [], "cursor": "c"}).cursor == ""
    assert fills.page({"fills": [fill()], "cursor": None}).cursor == ""


def sized_in_quote(*worth: str, **more: Any) -> list[dict[str, Any]]:
    return [
        fill(f"e{n}", size=one, price="3", size_in_quote=True, order_id="o1", **more) for n, one in enumerate(worth)
    ]


def filled(size: str, count: str) -> dict[str, fills.Order]:
    return {"o1": fills.order({"order": {"order_id": "o1", "filled_size": size, "number_of_fills": count}})}


def sizes(rows: list[dict[str, Any]], orders: dict[str, fills.Order]) -> list[Decimal]:
    return [one.size for one in fills.executions(fills.page({"fills": rows}).rows, MARKETS, QUOTES, orders)]


def test_sizes_in_quote_add_up_to_what_the_order_filled() -> None:
    found = sizes(sized_in_quote("1", "1", "1"), filled("1.00000001", "3"))
    assert found[:2] == [Decimal("0.333333333333333333")] * 2
    assert sum(found) == Decimal("1.00000001")


@pytest.mark.parametrize("orders", [{}, filled("1", "3"), filled("7", "2")])
def test_an_order_that_is_not_known_or_not_complete_leaves_them_rounded(orders: dict[str, fills.Order]) -> None:
    assert sizes(sized_in_quote("1", "1"), orders) == [Decimal("0.333333333333333333")] * 2


@pytest.mark.parametrize(
    "row", [{}, {"order_id": "o"}, {"order_id": "o", "filled_size": "NaN", "number_of_fills": "1"}, {"order_id": ""}]
)
def test_an_order_that_breaks_the_format(row: dict[str, Any]) -> None:
    with pytest.raises(VenueDataError, match="order"):
        fills.order({"order": row})
