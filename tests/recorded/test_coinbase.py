"""Every recorded Coinbase payload goes through its decoder; none is forgotten. They stand beside the repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from reconciler_service.venues import VenueRefused, VenueUnreachable
from reconciler_service.venues.coinbase import decode, errors, fills, products
from reconciler_service.venues.coinbase.auth import key
from reconciler_service.venues.coinbase.fields import exact
from reconciler_service.venues.coinbase.push import CoinbaseDialect
from reconciler_service.venues.http import Reply, parse, read_reply
from tests.coinbase_samples import KEY_NAME, SEC1
from tests.conftest import RECORDED

FOLDER = RECORDED / "coinbase"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.json")) if FOLDER.is_dir() else []

pytestmark = pytest.mark.skipif(
    not FILES, reason="no recorded payloads beside the repository: ../shared/recorded/coinbase, or TRUEUP_RECORDED"
)

# What this adapter does not ask for, and why not.
NOT_READ = {
    "default_failure_response": "the answer to an order; none is ever sent",
    "drb_ticker": "Global Derivatives, another gateway",
    "get_product_book": "a book; best_bid_ask is enough for a mark",
    "get_transactions_summary": "fee tiers",
    "list_orders": "orders: what they hold is part of the balance",
    "orders_historical_batch": "orders",
    "product_ticker": "trades; best_bid_ask is the mark",
    "transaction_summary": "fee tiers",
    "Account_GetFeeInfo": "fee tiers",
    "Account_GetFuturesCurrentMarginWindow": "margin times",
    "Account_GetPortfolio.json": "floats where /accounts has strings",
}
# Paths that the venue retired, and that are never called.
RETIRED = {
    "intx_positions": "INTX ended on 2026-10-01",
    "Account_GetPerpetualBalances": "INTX",
    "Trading_GetPerpetualPosition": "INTX",
}


def load(file: str) -> Any:
    return parse((FOLDER / file).read_bytes(), file)


def raw(file: str) -> Any:
    """The same, read by the standard parser alone: what the decoders are checked against."""
    return json.loads((FOLDER / file).read_bytes(), parse_float=Decimal)


def check_push(file: str) -> None:
    """Frames as the venue sends them: none breaks the format, none of these is a change, and what we ask is asked so."""
    said = json.loads((FOLDER / file).read_bytes())
    dialogue = said if isinstance(said, list) else [{"dir": "server", "msg": said}]
    listening = CoinbaseDialect(key(KEY_NAME, SEC1), ["wss://nowhere"], lambda: datetime.now(UTC))
    asked = {json.loads(one)["channel"]: json.loads(one) for one in listening.hello()}
    for step in dialogue:
        message = step["msg"]
        if step["dir"] == "client":
            ours = asked.get(message["channel"], message)
            assert ours | {"jwt": ""} == message | {"jwt": ""}
            continue
        message.pop("sequence_num", None)  # put together from several recordings: they do not count on
        told = listening.hear(json.dumps(message))
        assert bool(told.error) == told.is_over == (message.get("type") == "error")
        assert not told.change
        assert message.get("channel") not in listening.missing


def check_account(found: decode.Account, row: dict[str, Any]) -> None:
    assert (found.uuid, found.currency) == (row["uuid"], row["currency"])
    assert found.total == Decimal(row["available_balance"]["value"]) + Decimal(row["hold"]["value"])
    assert found.is_spot
    assert found.updated_at is not None
    assert found.updated_at.at.isoformat()[:19] == row["updated_at"][:19]


def check_one_account(file: str) -> None:
    row = raw(file)
    check_account(decode.account(load(file).get("account", load(file))), row.get("account", row))


def check_accounts(file: str) -> None:
    answer = raw(file)
    page = decode.account_page(load(file))
    for found, row in zip(page.rows, answer["accounts"], strict=True):
        check_account(found, row)
    assert page.cursor == (answer["cursor"] if answer.get("has_next") else "")
    held = decode.balances(decode.newest(page.rows).values(), ())
    wire = {row["currency"]: Decimal(0) for row in answer["accounts"]}
    for row in {row["uuid"]: row for row in answer["accounts"]}.values():
        wire[row["currency"]] += Decimal(row["available_balance"]["value"]) + Decimal(row["hold"]["value"])
    assert held == {currency: total for currency, total in wire.items() if total}


def check_positions(file: str) -> None:
    rows = raw(file)["positions"]
    for found, row in zip(decode.positions(load(file)), rows, strict=True):
        assert (found.product_id, found.side.value) == (row["product_id"], row["side"])
        assert found.contracts == Decimal(row["number_of_contracts"])
        assert found.entry_price == Decimal(row["avg_entry_price"])
        assert found.mark_price == Decimal(row["current_price"])


def check_product(file: str) -> None:
    check_row(products.product(load(file)), raw(file))


def check_products(file: str) -> None:
    page = products.listing(load(file))
    for found, row in zip(page.rows, raw(file)["products"], strict=True):
        check_row(found, row)
    assert page.cursor == ""


def check_row(found: products.Product, row: dict[str, Any]) -> None:
    details = row.get("future_product_details") or {}
    assert (found.product_id, found.kind, found.quote) == (
        row["product_id"],
        row["product_type"],
        row["quote_currency_id"],
    )
    assert found.base == (details["contract_root_unit"] if found.kind == "FUTURE" else row["base_currency_id"])
    assert found.step == Decimal(row["base_increment"])
    assert found.price == Decimal(row["price"])
    assert found.contract_size == (Decimal(details["contract_size"]) if details else None)
    assert (found.expiry is not None) is bool(details)


def check_bids(file: str) -> None:
    books = raw(file)["pricebooks"]
    assert products.mids(load(file)) == {
        book["product_id"]: (Decimal(book["bids"][0]["price"]) + Decimal(book["asks"][0]["price"])) / 2
        for book in books
    }


def check_fills(file: str) -> None:
    rows = raw(file)["fills"]
    page = fills.page(load(file))
    assert page.cursor == raw(file)["cursor"]
    known = {
        row["product_id"]: products.product({"product_id": row["product_id"], "quote_currency_id": "USDT"})
        for row in rows
    }
    found = fills.executions(page.rows, known, ("USD",))
    by_id = {fill.fill_id: fill for fill in found}
    assert len(by_id) == len(found) == len(rows)
    assert [fill.time for fill in found] == sorted(fill.time for fill in found)
    for row in rows:
        fill = by_id[row["entry_id"]]
        size, paid = Decimal(row["size"]), Decimal(row["price"])
        assert abs(fill.size - (size / paid if row["size_in_quote"] else size)) < Decimal("1e-18")
        assert (fill.price, fill.fee, fill.is_buy) == (paid, Decimal(row["commission"]), row["side"] == "BUY")
        assert fill.time.isoformat()[:19] == row["trade_time"][:19]


def check_order(file: str) -> None:
    wire = raw(file).get("order", raw(file))
    found = fills.order(load(file) if "order" in load(file) else {"order": load(file)})
    assert (found.order_id, found.filled) == (wire["order_id"], Decimal(wire["filled_size"]))


def check_rights(file: str) -> None:
    answer, found = raw(file), decode.permissions(load(file))
    assert (found.can_view, found.can_trade, found.can_transfer, found.portfolio_uuid) == (
        answer["can_view"],
        answer["can_trade"],
        answer["can_transfer"],
        answer["portfolio_uuid"],
    )


def check_time(file: str) -> None:
    answer, at = raw(file), decode.server_time(load(file))
    assert int(at.timestamp()) == int(answer["epochSeconds"])
    assert at.microsecond == int(answer["epochMillis"]) % 1000 * 1000


def check_portfolios(file: str) -> None:
    assert [(one.uuid, one.kind) for one in decode.portfolios(load(file))] == [
        (row["uuid"], row["type"]) for row in raw(file)["portfolios"]
    ]


def check_summary(file: str) -> None:
    found, wire = decode.balance_summary(load(file)), raw(file)["balance_summary"]
    assert found.total_usd == Decimal(wire["total_usd_balance"]["value"])
    assert found.liquidation_buffer == Decimal(wire["liquidation_buffer_amount"]["value"])


def check_error(file: str) -> None:
    wire = raw(file)
    body = wire["body"] if isinstance(wire["body"], str) else json.dumps(wire["body"])
    words = errors.reason(wire["content_type"], body.encode())
    told = str(wire["body"])
    assert words
    assert all(part in told for part in words.split(": ", 1))
    expected = VenueUnreachable if wire["status"] in (429, 500) else VenueRefused
    with pytest.raises(expected):
        read_reply(Reply(wire["status"], wire["content_type"], body.encode()), "asking")
    assert not errors.means_not_enrolled(wire["status"], wire["content_type"], body.encode()) or wire["status"] in (
        403,
        404,
    )


def check_numbers(file: str) -> None:
    """Not read, but its numbers must come through the parser exactly."""
    answer = raw(file)

    def walk(value: Any) -> None:
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner)
        assert not isinstance(value, float)
        if isinstance(value, Decimal):
            assert exact(value, file) == value

    walk(answer)
    assert load(file) == answer


CHECKS: dict[str, Callable[[str], None]] = {
    "accounts_single": check_one_account,
    "get_account_": check_one_account,
    "list_accounts": check_accounts,
    "Account_GetAccounts": check_accounts,
    "cfm_positions": check_positions,
    "Trading_GetFuturesPositions": check_positions,
    "product_future": check_product,
    "product_spot": check_product,
    "get_product_success": check_product,
    "list_products": check_products,
    "ExchangeData_GetSymbols": check_products,
    "best_bid_ask": check_bids,
    "get_best_bid_ask": check_bids,
    "fills": check_fills,
    "list_fills": check_fills,
    "order_single": check_order,
    "Account_GetApiKeyInfo": check_rights,
    "get_unix_time": check_time,
    "list_portfolios": check_portfolios,
    "Account_GetPortfolios": check_portfolios,
    "Account_GetFuturesBalanceSummary": check_summary,
    "ws_": check_push,
} | dict.fromkeys({**NOT_READ, **RETIRED}, check_numbers)


def check_of(file: str) -> Callable[[str], None]:
    folder, _, name = file.rpartition("/")
    if folder == "errors" and not name.startswith("ws_"):
        return check_error
    named = [prefix for prefix in CHECKS if name.startswith(prefix)]
    assert named, f"nothing checks {file}: say how it is read, or that it is not"
    return CHECKS[max(named, key=len)]


@pytest.mark.parametrize("file", FILES)
def test_recorded(file: str) -> None:
    check_of(file)(file)
