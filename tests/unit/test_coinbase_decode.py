"""Coinbase's wire format of accounts, contracts, rights and times, field by field."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler_service.model import Product as Kind
from reconciler_service.model import Side
from reconciler_service.venues import VenueDataError, VenueRefused
from reconciler_service.venues.coinbase import decode, errors
from reconciler_service.venues.coinbase.fields import Moment, exact, moment, price
from reconciler_service.venues.coinbase.products import Product, product
from tests.coinbase_samples import account, contract, future_product, spot_product

JSON = "application/json"


def without(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}


def test_a_balance_is_available_plus_hold_without_padding() -> None:
    found = decode.account(account(available="242.2100000000000000", hold="0.0000000000000001"))
    assert found.total == Decimal("242.2100000000000001")
    assert found.updated_at == Moment(datetime(2026, 11, 22, 14, 0, 0, 123_000, tzinfo=UTC))


@pytest.mark.parametrize(
    "row",
    [
        without(account(), "hold"),
        without(account(), "available_balance"),
        without(account(), "currency"),
        without(account(), "uuid"),
        account(uuid=""),
        account(available="NaN"),
        account(available="Infinity"),
        account(available=""),
        account(available="1" * 21),
        account(available="0.1234567890123456789"),
        account() | {"hold": {"value": "1", "currency": "ETH"}},
        account() | {"hold": "1"},
        account(updated_at="yesterday"),
        account(updated_at=5),
        account(currency="B C"),
        [],
        None,
    ],
)
def test_an_account_that_breaks_the_format(row: Any) -> None:
    with pytest.raises(VenueDataError):
        decode.account(row)


@pytest.mark.parametrize(
    ("more", "counts"),
    [
        ({}, True),
        ({"type": "FIAT", "ready": False, "active": False, "deleted_at": "2021-05-31T09:59:59Z"}, True),
        ({"type": "ACCOUNT_TYPE_VAULT"}, True),
        ({"type": None, "updated_at": None}, True),
        ({"platform": "ACCOUNT_PLATFORM_CONSUMER"}, True),
        ({"platform": "ACCOUNT_PLATFORM_UNSPECIFIED"}, True),
        ({"platform": "ACCOUNT_PLATFORM_CFM_CONSUMER"}, False),
        ({"platform": "ACCOUNT_PLATFORM_INTX"}, False),
        ({"type": "ACCOUNT_TYPE_PERP_FUTURES"}, False),
    ],
)
def test_only_spot_wallets_are_summed(more: dict[str, Any], counts: bool) -> None:
    row = decode.account(account(**more))
    assert row.is_spot is counts
    assert decode.balances([row], ()) == ({"BTC": Decimal("1.5")} if counts else {})


def test_balances_are_summed_by_currency_without_cash_and_zeros() -> None:
    rows = [
        account(),
        account(available="0.25", uuid="vault", type="ACCOUNT_TYPE_VAULT"),
        account("USD"),
        account("ETH", "0.0000000000000000"),
        account("SOL", "0", "2"),
    ]
    found = decode.balances(map(decode.account, rows), {"USD"})
    assert found == {"BTC": Decimal("1.75"), "SOL": Decimal(2)}
    with pytest.raises(VenueDataError, match=r"BTC: the balance .* is below zero"):
        decode.balances([decode.account(account(available="-0.5"))], ())


def test_an_account_that_stands_on_two_pages_counts_once_the_newer() -> None:
    old, new = account(available="1"), account(available="2", updated_at="2026-11-22T14:00:00.124Z")
    for order in ((old, new), (new, old)):
        (kept,) = decode.newest(map(decode.account, order)).values()
        assert kept.total == 2
    undated = account(available="3", updated_at="")
    for order in ((old, undated), (undated, undated)):
        (kept,) = decode.newest(map(decode.account, order)).values()
        assert kept.total == 3
    (kept,) = decode.newest(map(decode.account, (undated, old))).values()
    assert kept.total == 1


@pytest.mark.parametrize(
    ("end", "cursor"),
    [
        ({"has_next": True, "cursor": "c"}, "c"),
        ({"has_next": False, "cursor": "stale"}, ""),
        ({"has_next": False, "cursor": ""}, ""),
        ({"has_next": False, "cursor": None}, ""),
        ({"has_next": False}, ""),
        ({}, ""),
        ({"cursor": "c"}, "c"),
    ],
)
def test_pages_of_accounts(end: dict[str, Any], cursor: str) -> None:
    page = decode.account_page({"accounts": [account()]} | end)
    assert (len(page.rows), page.cursor) == (1, cursor)


@pytest.mark.parametrize(
    "end", [{"has_next": True}, {"has_next": True, "cursor": ""}, {"has_next": "true"}, {"has_next": 1, "cursor": "c"}]
)
def test_a_page_that_hides_the_next_one_is_no_answer(end: dict[str, Any]) -> None:
    with pytest.raises(VenueDataError):
        decode.account_page({"accounts": [account()]} | end)


def test_a_cursor_to_nothing_ends_the_list() -> None:
    assert decode.account_page({"accounts": [], "cursor": "c"}).cursor == ""


def test_a_holding() -> None:
    market = product(spot_product())
    held = decode.holding("BTC", Decimal("1.123456789"), "USD", market, Decimal(90000))
    assert (held.symbol, held.asset, held.product, held.side) == ("BTC-USD", "BTC/USD", Kind.SPOT, Side.LONG)
    assert (held.size, held.size_step, held.raw_size) == (Decimal("1.123456789"), Decimal("1e-8"), "1.123456789")
    assert (held.entry_price, held.mark_price) == (None, Decimal(90000))
    unknown = decode.holding("XYZ", Decimal(1), "USD", None, None)
    assert (unknown.asset, unknown.size_step) == (None, Decimal("1e-8"))
    assert decode.holding("XYZ", Decimal(1), "USD", product(spot_product(base_increment="")), None).size_step > 0


PLAIN = contract(expiration_time="2026-11-28T16:00:00Z", unrealized_pnl="33", daily_realized_pnl="0")
AMOUNTS = contract(
    current_price={"value": "91000", "currency": "USD"},
    avg_entry_price={"value": "90000", "currency": "USD"},
    contract_size={"value": "0.01", "currency": "BTC"},
    entry_vwap={"value": "90001", "currency": "USD"},
    liquidation_price={"value": "50000.5", "currency": "USD"},
    leverage="3.5",
    expiration_time="",
    number_of_contracts="2.0000",
)


def test_a_contract_position_in_both_shapes() -> None:
    market = product(future_product())
    (plain,), (rich,) = (decode.positions({"positions": [row]}) for row in (PLAIN, AMOUNTS))
    for held in (decode.contract(plain, market), decode.contract(rich, market)):
        assert (held.symbol, held.asset, held.product) == ("BIT-28NOV26-CDE", "BTC/USD", Kind.FUTURE)
        assert (held.side, held.size, held.size_step) == (Side.LONG, Decimal("0.02"), Decimal("0.01"))
        assert (held.entry_price, held.mark_price) == (Decimal(90000), Decimal(91000))
    assert decode.contract(plain, market).raw_size == "2 contracts"
    assert (rich.liquidation_price, rich.leverage) == (Decimal("50000.5"), Decimal("3.5"))
    assert (plain.liquidation_price, plain.leverage) == (None, None)


def test_a_perpetual_and_a_contract_that_no_metadata_names() -> None:
    (held,) = decode.positions({"positions": [contract(side="short", contract_size="0.01")]})
    perpetual = decode.contract(held, product(future_product(funding_rate="0.0001")))
    assert (perpetual.product, perpetual.side, perpetual.size) == (Kind.PERPETUAL, Side.SHORT, Decimal("0.02"))
    unknown = decode.contract(held, None)
    assert (unknown.asset, unknown.product, unknown.size) == (None, Kind.FUTURE, Decimal("0.02"))
    rootless = decode.contract(held, product(future_product(contract_root_unit="") | {"quote_currency_id": ""}))
    assert rootless.asset is None
    quoteless = decode.contract(held, product(future_product() | {"quote_currency_id": ""}))
    assert quoteless.asset == "BTC/USD"


def test_entry_prices_that_are_none() -> None:
    rows = [
        contract("A", avg_entry_price="", entry_vwap={"value": "5", "currency": "USD"}),
        contract("B", avg_entry_price="0", current_price=None),
    ]
    first, second = decode.positions({"positions": rows})
    assert first.entry_price == 5
    assert (second.entry_price, second.mark_price) == (None, None)


def test_flat_contracts_are_left_out() -> None:
    row = contract(count="0", side="FUTURES_POSITION_SIDE_UNSPECIFIED")
    assert decode.positions({"positions": [row]}) == ()
    assert decode.positions({"positions": []}) == ()


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([contract(side="FUTURES_POSITION_SIDE_UNSPECIFIED")], "the side is not told"),
        ([contract(side="BOTH")], "unknown side 'BOTH'"),
        ([without(contract(), "side")], "unknown side"),
        ([contract(count="-1")], "no number of contracts"),
        ([contract(count="1.5")], "no number of contracts"),
        ([contract(count="NaN")], "number_of_contracts"),
        ([contract(count="")], "number_of_contracts"),
        ([without(contract(), "number_of_contracts")], "number_of_contracts"),
        ([contract(avg_entry_price="NaN")], "avg_entry_price"),
        ([contract(current_price={"value": "1e400"})], "current_price"),
        ([contract(contract_size="-0.01")], "below zero"),
        ([contract(), contract()], "twice"),
        ([contract("")], "product_id"),
        (None, "expected an array"),
    ],
)
def test_contracts_that_break_the_format(rows: Any, text: str) -> None:
    with pytest.raises(VenueDataError, match=text):
        decode.positions({"positions": rows})


def test_a_size_without_a_contract_size_is_none() -> None:
    (bare,) = decode.positions({"positions": [PLAIN]})
    for market in (None, product(future_product(size=""))):
        with pytest.raises(VenueDataError, match="contract size is not known"):
            decode.contract(bare, market)
    (told,) = decode.positions({"positions": [AMOUNTS]})
    with pytest.raises(VenueDataError, match=r"0.01 in the position, 0.1 in the product"):
        decode.contract(told, product(future_product(size="0.1")))
    assert decode.contract(told, product(future_product(size="0"))).size == Decimal("0.02")
    stepless = Product("BIT-28NOV26-CDE", "FUTURE", "BTC", "USD", contract_size=Decimal("0.01"))
    assert decode.contract(told, stepless).size_step == Decimal("0.01")


@given(
    st.integers(1, 10**9),
    st.decimals(min_value="0.0001", max_value=10**4, places=4, allow_nan=False, allow_infinity=False),
)
def test_a_size_is_contracts_times_contract_size(count: int, unit: Decimal) -> None:
    (held,) = decode.positions({"positions": [contract(count=str(count))]})
    found = decode.contract(held, product(future_product(size=f"{unit:f}")))
    assert found.size == count * unit
    assert found.size % found.size_step == 0


def test_permissions_must_all_be_told() -> None:
    told = {"can_view": True, "can_trade": False, "can_transfer": False, "portfolio_uuid": "p"}
    assert decode.permissions(told) == decode.Permissions(True, False, False, "p", "")
    for right in ("can_view", "can_trade", "can_transfer"):
        for broken in (without(told, right), told | {right: "false"}, told | {right: 0}):
            with pytest.raises(VenueDataError, match=right):
                decode.permissions(broken)


def test_the_venues_time() -> None:
    at = datetime(2023, 11, 28, 0, 0, 22, 115_000, tzinfo=UTC)
    assert decode.server_time({"iso": "2023-11-28T00:00:22Z", "epochMillis": "1701129622115"}) == at
    assert decode.server_time({"epochMillis": 1701129622115}) == at
    assert decode.server_time({"iso": "2023-11-28T01:00:22.115+01:00", "epochMillis": ""}) == at
    for broken in ({}, {"epochMillis": "0"}, {"epochMillis": "9" * 19}, {"iso": "now"}, []):
        with pytest.raises(VenueDataError):
            decode.server_time(broken)


def test_portfolios_and_the_balance_summary() -> None:
    (one,) = decode.portfolios({"portfolios": [{"uuid": "u", "name": "Default", "type": "DEFAULT", "deleted": True}]})
    assert one == decode.Portfolio("u", "Default", "DEFAULT", is_deleted=True)
    with pytest.raises(VenueDataError):
        decode.portfolios({"portfolios": [{}]})
    told = {"total_usd_balance": {"value": "-5.50", "currency": "USD"}, "initial_margin": "", "unrealized_pnl": "7"}
    summary = decode.balance_summary({"balance_summary": told})
    assert (summary.total_usd, summary.initial_margin, summary.unrealized_pnl) == (Decimal("-5.5"), None, Decimal(7))
    with pytest.raises(VenueDataError):
        decode.balance_summary({"balance_summary": {"total_usd_balance": "NaN"}})


@pytest.mark.parametrize(
    ("text", "microsecond", "nanoseconds"),
    [
        ("2023-01-18T01:37:38Z", 0, 0),
        ("2023-01-18t01:37:38.1z", 100_000, 0),
        ("2023-01-18T01:37:38.091377090Z", 91_377, 90),
        ("2023-01-18T02:37:38.091377090+01:00", 91_377, 90),
    ],
)
def test_times_to_the_nanosecond(text: str, microsecond: int, nanoseconds: int) -> None:
    assert moment(text, "x") == Moment(datetime(2023, 1, 18, 1, 37, 38, microsecond, tzinfo=UTC), nanoseconds)


@pytest.mark.parametrize(
    "text",
    [
        "2023-01-18",
        "2023-01-18T01:37:38",
        "2023-13-18T01:37:38Z",
        "2023-01-18T01:37:38.1234567890Z",
        "0001-01-01T00:00:00+01:00",
        "2023-01-18T01:37:38+99:00",
        "٢٠٢٣-01-18T01:37:38Z",
        5,
        None,
    ],
)
def test_times_that_are_none(text: Any) -> None:
    with pytest.raises(VenueDataError, match="x: "):
        moment(text, "x")


def test_numbers() -> None:
    assert exact("1.10", "x") == Decimal("1.1")
    assert exact(Decimal("16.711822509765625"), "x") == Decimal("16.711822509765625")
    assert price({"p": "1.1234567890123456789"}, "p", "x") == Decimal("1.123456789012345679")
    assert price({"p": "-1"}, "p", "x") is None
    assert price({}, "p", "x") is None


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("text/plain", b"Unauthorized\n", "Unauthorized"),
        (
            JSON,
            b'{"error":"PERMISSION_DENIED","error_details":"no access","message":"no access"}',
            "PERMISSION_DENIED: no access",
        ),
        (JSON, b'{"error":"unknown","code":5,"message":"not found","details":[]}', "unknown: not found"),
        (JSON, b'{"errors":[{"id":"a","message":"b"},{"id":"c"},5]}', "a: b; c"),
        (JSON, b'{"error":"invalid_request","error_description":"bad"}', "invalid_request: bad"),
        (JSON, b'{"error":"same","message":"same"}', "same"),
        (JSON, b'{"error":"","message":"only this"}', "only this"),
        (JSON, b'{"error":"\\u001b[31m red","message":""}', "[31m red"),
        (JSON, b'{"error": 5}', ""),
        (JSON, b"[1]", ""),
        (JSON, b"{", ""),
        (JSON, b"[" * 100_000, ""),
        ("text/html", b"<html>", ""),
    ],
)
def test_the_venues_words_in_every_shape(kind: str, body: bytes, words: str) -> None:
    assert errors.reason(kind, body) == words


def test_an_error_with_status_200_is_no_answer() -> None:
    assert errors.refuse({"accounts": []}) == {"accounts": []}
    with pytest.raises(VenueRefused, match="coinbase says: unknown: no"):
        errors.refuse({"error": "unknown", "message": "no"})


NOT_FOUND = b'{"error":"NOT_FOUND","message":"no futures account"}'


@pytest.mark.parametrize(
    ("status", "kind", "body", "enrolled"),
    [
        (404, JSON, NOT_FOUND, False),
        (403, JSON, b'{"error":"PERMISSION_DENIED","error_details":"User is not onboarded"}', False),
        (403, JSON, b'{"error":"unknown","error_details":"Missing required scopes"}', True),
        (404, JSON, b"{}", True),
        (404, JSON, b"null", True),
        (404, "text/html", b"<html>", True),
        (404, "text/plain", b"404 page not found", True),
        (400, JSON, NOT_FOUND, True),
        (500, JSON, NOT_FOUND, True),
    ],
)
def test_only_the_venues_own_word_means_that_there_are_no_futures(
    status: int, kind: str, body: bytes, enrolled: bool
) -> None:
    assert errors.means_not_enrolled(status, kind, body) is not enrolled
