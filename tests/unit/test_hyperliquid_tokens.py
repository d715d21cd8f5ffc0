"""Spot balances as positions: names, steps, dust, cash, what is borrowed, what nobody names."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from reconciler_service.model import Product, Side, VenuePosition
from reconciler_service.venues import VenueDataError
from reconciler_service.venues.hyperliquid import decode, tokens
from reconciler_service.venues.hyperliquid.spot import CASH
from reconciler_service.venues.hyperliquid.tokens import Tokens


def token(index: int, name: str, size: int, wei: int = 8, full: str | None = None) -> dict[str, Any]:
    return {"index": index, "name": name, "szDecimals": size, "weiDecimals": wei, "fullName": full}


def pair(index: int, name: str, base: int, quote: int = 0) -> dict[str, Any]:
    return {"index": index, "name": name, "tokens": [base, quote]}


META = {
    "tokens": [
        token(0, "USDC", 8),
        token(1, "PURR", 0, 5),
        token(150, "HYPE", 2, 8, "Hyperliquid"),
        token(197, "UBTC", 5, 10, "Unit Bitcoin"),
        token(221, "UETH", 4, 9),
        token(300, "UFART", 1, 8, "Unit Fartcoin"),
        token(301, "UNI", 1, 8, "Uniswap"),
        token(360, "USDH", 2),
        token(400, "LONELY", 2),
        token(401, "OTHER", 2),
    ],
    "universe": [
        pair(0, "PURR/USDC", 1),
        pair(232, "@232", 150, 360),  # listed before the one against USDC
        pair(107, "@107", 150),
        pair(142, "@142", 197),
        pair(151, "@151", 221),
        pair(170, "@170", 300),
        pair(171, "@171", 301),
        pair(180, "@180", 401, 360),
        pair(190, "@190", 197, 150),  # against another coin: no price in USD
    ],
}
KNOWN = tokens.tokens(META, CASH, {})
MIDS = {"@107": Decimal("22.1"), "@142": Decimal(91000)}


def held(coin: str, total: str, known: Tokens = KNOWN) -> VenuePosition | None:
    (balance,) = decode.spot_balances({"balances": [{"coin": coin, "token": 1, "total": total, "hold": "1.0"}]})
    return tokens.position(balance, known, MIDS)


@pytest.mark.parametrize(
    ("coin", "symbol", "asset"),
    [
        ("HYPE", "@107", "HYPE/USD"),
        ("PURR", "PURR/USDC", "PURR/USD"),
        ("UBTC", "@142", "BTC/USD"),
        ("UETH", "@151", "ETH/USD"),  # without a full name
        ("UFART", "@170", "FART/USD"),
        ("UNI", "@171", "UNI/USD"),  # no bridge: it only begins with the letter
        ("OTHER", "@180", "OTHER/USD"),  # sold against USDH only
    ],
)
def test_a_holding_is_named_by_its_pair_and_what_it_stands_for(coin: str, symbol: str, asset: str) -> None:
    found = held(coin, "5")
    assert found is not None
    assert (found.symbol, found.asset, found.product, found.side) == (symbol, asset, Product.SPOT, Side.LONG)
    assert found.entry_price is None


def test_a_setting_overrides_what_a_token_stands_for() -> None:
    known = tokens.tokens(META, CASH, {"UFART": "FARTCOIN", "UBTC": "XBT"})
    assert {coin: one.asset for coin, one in known.by_name.items() if coin in ("UFART", "UBTC", "UETH")} == {
        "UFART": "FARTCOIN",
        "UBTC": "XBT",
        "UETH": "ETH",
    }


def test_the_balance_is_whole_with_its_hold_and_exact_beyond_the_lot() -> None:
    found = held("UETH", "0.003397716")
    assert found is not None
    assert (found.size, found.size_step, found.raw_size) == (Decimal("0.003397716"), Decimal("0.0001"), "0.003397716")
    noisy = held("HYPE", "4.437627520000001")
    assert noisy is not None
    assert noisy.size == Decimal("4.43762752")
    assert noisy.mark_price == Decimal("22.1")


def test_less_than_one_lot_is_dust() -> None:
    assert held("UBTC", "0.0000099999") is None
    assert held("UBTC", "0.00001") is not None
    assert held("PURR", "0.99999") is None


def test_what_is_borrowed_is_short() -> None:
    found = held("UBTC", "-0.25")
    assert found is not None
    assert (found.side, found.size, found.signed_size) == (Side.SHORT, Decimal("0.25"), Decimal("-0.25"))


@pytest.mark.parametrize(
    ("coin", "symbol"),
    [("+10", "+10"), ("o10", "o10/USDC"), ("NEW", "NEW/USDC"), ("LONELY", "LONELY/USDC"), ("BTC", "BTC/USDC")],
)
def test_what_nobody_names_is_unmapped_and_never_bears_the_name_of_a_perpetual(coin: str, symbol: str) -> None:
    found = held(coin, "3")
    assert found is not None
    assert (found.symbol, found.asset) == (symbol, None)


def test_outcome_tokens_may_lack_a_token_index() -> None:
    (balance,) = decode.spot_balances({"balances": [{"coin": "+10", "total": "7", "hold": "0"}]})
    assert (balance.token, tokens.position(balance, KNOWN, {}) is not None) == (None, True)


def test_cash_and_flat_tokens_are_no_positions() -> None:
    rows = [{"coin": coin, "total": total} for coin, total in (("USDC", "5"), ("USDH", "-2"), ("HYPE", "0.0"))]
    balances = decode.spot_balances({"balances": [*rows, {"coin": "UBTC", "total": "-1"}]})
    assert tokens.coins(balances, CASH) == {"UBTC"}


def test_fills_on_every_pair_against_cash_move_the_one_holding() -> None:
    assert {name: one.pair for name, one in KNOWN.pairs.items() if one.name == "HYPE"} == {
        "@107": "@107",
        "@232": "@107",
    }
    assert "@190" not in KNOWN.pairs


@pytest.mark.parametrize(
    ("meta", "error"),
    [
        ({}, "spotMeta tokens: expected an array"),
        ({"tokens": [token(0, "A", 19)], "universe": []}, "A szDecimals: 19 is out of range"),
        ({"tokens": [token(0, "A", 1, -1)], "universe": []}, "A weiDecimals"),
        ({"tokens": [token(0, "A", 1), token(0, "B", 1)], "universe": []}, "an index is listed twice"),
        ({"tokens": [token(0, "A", 1)], "universe": [pair(1, "@1", 0, 7)]}, "are not two tokens"),
        ({"tokens": [token(0, "A", 1)], "universe": [{"name": "@1", "tokens": [0], "index": 1}]}, "are not two tokens"),
        ({"tokens": [token(0, "A B", 1)], "universe": []}, "the list is empty"),
        ({"tokens": [], "universe": []}, "the list is empty"),
    ],
)
def test_metadata_that_breaks_the_format_is_refused(meta: dict[str, Any], error: str) -> None:
    with pytest.raises(VenueDataError, match=error):
        tokens.tokens(meta, CASH, {})


def test_a_token_whose_name_nobody_can_book_hides_no_other_and_is_an_error_where_it_is_held() -> None:
    listed = [token(0, "USDC", 8), token(1, "ODD ₿", 1), token(2, "HYPE", 2)]
    markets = [pair(1, "@1", 1, 0), pair(2, "@2", 2, 0), pair(3, "ODD ₿/USDC", 2, 0), pair(4, "@4", 2, 1)]
    known = tokens.tokens({"tokens": listed, "universe": markets}, CASH, {})
    assert (set(known.by_name), known.listed) == ({"USDC", "HYPE"}, {"@2"})
    (held,) = decode.spot_balances({"balances": [{"coin": "ODD ₿", "token": 1, "total": "5", "hold": "0"}]})
    with pytest.raises(VenueDataError, match="balances coin: expected a name"):
        tokens.position(held, known, {})


def test_a_balance_off_its_smallest_unit_is_refused() -> None:
    with pytest.raises(VenueDataError, match=r"PURR total: 1\.000001 is not a multiple of 0\.00001"):
        held("PURR", "1.000001")
    with pytest.raises(VenueDataError, match="balances coin"):
        held("BAD COIN", "1")


def test_mids_of_books_without_a_price_are_left_out() -> None:
    assert decode.mids({"BTC": "91000.5", "@107": "22.1", "@9": None, "@8": "0.0"}) == {
        "BTC": Decimal("91000.5"),
        "@107": Decimal("22.1"),
    }
    with pytest.raises(VenueDataError, match="mid of BTC"):
        decode.mids({"BTC": "NaN"})
