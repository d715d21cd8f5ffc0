"""Spells a SIMULATED portfolio as Coinbase's REST API would. Pure.

Where the venue is known to answer in more than one shape, ``Style`` says in which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from reconciler_service.simulator.coinbase.gate import ApiKey
from reconciler_service.simulator.coinbase.portfolio import Portfolio
from reconciler_service.simulator.coinbase.records import FUTURE, Contracts, Fill, Market, Wallet

Json = Any
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PADDING = Decimal("1e-16")
USER = "cccccccc-0000-4000-8000-000000000001"


@dataclass(frozen=True, slots=True)
class Style:
    """Which of the known shapes to answer in."""

    page_end: Literal["empty", "null", "absent"] = "empty"  # the cursor of the last page of accounts
    amounts: bool = False  # contracts with {"value", "currency"}, and with a contract size
    trailing_cursor: bool = False  # the last page of fills has a cursor, to a page without rows
    page: int = 250  # rows at most, whatever the client asks for


def number(value: Decimal) -> str:
    """Plain notation without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def amount(value: Decimal, currency: str) -> Json:
    return {"value": number(value), "currency": currency}


def stamp(milliseconds: int, nanoseconds: int = 0) -> str:
    """RFC 3339, with as many fraction digits as it takes, in the manner of Go."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    fraction = f"{milliseconds % 1000:03}{nanoseconds:06}".rstrip("0")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}Z"


def account(wallet: Wallet, portfolio: Portfolio) -> Json:
    return {
        "uuid": wallet.uuid,
        "name": f"{wallet.currency} Wallet",
        "currency": wallet.currency,
        "available_balance": _padded(wallet.available, wallet.currency),
        "default": True,
        "active": True,
        "created_at": "2021-02-12T06:25:40.515Z",
        "updated_at": stamp(wallet.updated_at),
        "deleted_at": None,
        "type": wallet.type,
        "ready": wallet.is_ready,
        "hold": _padded(wallet.hold, wallet.currency),
        "retail_portfolio_id": portfolio.uuid,
        "platform": wallet.platform,
    }


def accounts(portfolio: Portfolio, query: Mapping[str, str], style: Style) -> Json:
    rows, rest = _page(list(portfolio.wallets.values()), query, style, most=250)
    answer: Json = {"accounts": [account(one, portfolio) for one in rows], "has_next": bool(rest), "size": len(rows)}
    if rest or style.page_end != "absent":
        answer["cursor"] = rest or {"empty": "", "null": None}[style.page_end]
    return answer


def contract(held: Contracts, market: Market, style: Style) -> Json:
    assert market.contract_size is not None
    entry = held.cost / (held.count * market.contract_size)
    pnl = held.count * market.contract_size * market.price - held.cost
    prices = {
        "current_price": market.price,
        "avg_entry_price": entry.quantize(Decimal("1e-8")),
        "unrealized_pnl": pnl,
        "daily_realized_pnl": held.realized,
    }
    row: Json = {
        "product_id": held.product_id,
        "expiration_time": market.expiry if not (style.amounts and market.funding_rate) else "",
        "side": "LONG" if held.count > 0 else "SHORT",
        "number_of_contracts": number(abs(held.count)),
    }
    if not style.amounts:
        return row | {name: number(value) for name, value in prices.items()}
    more = {
        "contract_size": number(market.contract_size),
        "leverage": "4",
        "liquidation_price": amount(Decimal(0), "USD"),
    }
    return row | {name: amount(value, "USD") for name, value in prices.items()} | more


def positions(portfolio: Portfolio, style: Style) -> Json:
    held = [one for one in portfolio.contracts.values() if one.count]
    return {"positions": [contract(one, portfolio.markets[one.product_id], style) for one in held]}


def product(market: Market) -> Json:
    is_future = market.kind == FUTURE
    return {
        "product_id": market.product_id,
        "price": number(market.price),
        "volume_24h": "18.5",
        "base_increment": number(market.step),
        "quote_increment": "0.01",
        "base_min_size": number(market.step),
        "base_name": "" if is_future else market.base,
        "quote_name": market.quote,
        "is_disabled": False,
        "status": "" if is_future else "online",
        "trading_disabled": False,
        "product_type": market.kind,
        "quote_currency_id": market.quote,
        "base_currency_id": "" if is_future else market.base,
        "fcm_trading_session_details": {"is_session_open": True} if is_future else None,
        "mid_market_price": "",
        "alias": "",
        "alias_to": [],
        "display_name": f"{market.base} {'PERP' if market.funding_rate else market.product_id[4:11]}",
        "future_product_details": _details(market) if is_future else None,
    }


def products(portfolio: Portfolio, query: Mapping[str, str], style: Style) -> Json:
    kind = query.get("product_type")
    listed = [one for one in portfolio.markets.values() if one.is_listed and kind in (None, one.kind)]
    rows, rest = _page(listed, query, style, most=1000)
    pagination = {"prev_cursor": "", "next_cursor": rest, "has_next": bool(rest), "has_prev": "cursor" in query}
    return {"products": [product(one) for one in rows], "num_products": len(rows), "pagination": pagination}


def best_bid_ask(portfolio: Portfolio, product_ids: Sequence[str]) -> Json:
    tick = Decimal("0.01")
    books = [
        {
            "product_id": market.product_id,
            "bids": [{"price": number(market.price - tick), "size": "0.5"}],
            "asks": [{"price": number(market.price + tick), "size": "0.25"}],
            "time": stamp(portfolio.now(), 44_000),
        }
        for market in portfolio.markets.values()
        if not product_ids or market.product_id in product_ids
    ]
    return {"pricebooks": books}


def fill(one: Fill) -> Json:
    return {
        "entry_id": f"{one.tid:064x}",
        "trade_id": one.trade_id,
        "order_id": f"order-{one.trade_id}",
        "trade_time": stamp(one.time, one.nanoseconds),
        "trade_type": one.trade_type,
        "price": number(one.price),
        "size": number(one.size),
        "commission": number(one.commission),
        "product_id": one.product_id,
        "sequence_timestamp": stamp(one.recorded_at, 829_980),
        "liquidity_indicator": "TAKER",
        "size_in_quote": one.is_size_in_quote,
        "user_id": USER,
        "side": "BUY" if one.is_buy else "SELL",
    }


def fills(listed: Sequence[Fill], query: Mapping[str, str], style: Style) -> Json:
    """Newest first, as at the venue; there is no ``has_next``."""
    rows, rest = _page(list(reversed(listed)), query, style, most=3000)
    if rows and not rest and style.trailing_cursor:
        rest = str(len(listed))
    return {"fills": [fill(one) for one in rows], "cursor": rest}


def order(portfolio: Portfolio, order_id: str) -> Json | None:
    """``/orders/historical/{id}``: every trade here is an order of its own; None where there is none."""
    parts = [one for one in portfolio.fills if f"order-{one.trade_id}" == order_id]
    if not parts:
        return None
    told = {
        "order_id": order_id,
        "product_id": parts[0].product_id,
        "side": "BUY" if parts[0].is_buy else "SELL",
        "status": "FILLED",
        "filled_size": number(sum((one.base_size for one in parts), Decimal(0))),
        "number_of_fills": str(len(parts)),
        "size_in_quote": parts[0].is_size_in_quote,
    }
    return {"order": told}


def key_permissions(key: ApiKey, portfolio: Portfolio) -> Json:
    rights = {"can_view": key.can_view, "can_trade": key.can_trade, "can_transfer": key.can_transfer}
    return rights | {"portfolio_uuid": portfolio.uuid, "portfolio_type": "DEFAULT"}


def server_time(now_ms: int) -> Json:
    return {"iso": stamp(now_ms // 1000 * 1000), "epochSeconds": str(now_ms // 1000), "epochMillis": str(now_ms)}


def portfolios(portfolio: Portfolio) -> Json:
    return {"portfolios": [{"name": "Default", "uuid": portfolio.uuid, "type": "DEFAULT", "deleted": False}]}


def breakdown(portfolio: Portfolio, style: Style) -> Json:
    """``/portfolios/{uuid}``: its spot amounts are binary floats, which is why nobody should reckon with them."""
    spot = [
        {
            "asset": one.currency,
            "account_uuid": one.uuid,
            "total_balance_crypto": float(one.available + one.hold),
            "is_cash": one.currency in ("USD", "USDC"),
        }
        for one in portfolio.wallets.values()
    ]
    described = {"name": "Default", "uuid": portfolio.uuid, "type": "DEFAULT", "deleted": False}
    contracts = positions(portfolio, style)["positions"]
    return {
        "breakdown": {
            "portfolio": described,
            "portfolio_balances": {},
            "spot_positions": spot,
            "perp_positions": [],
            "futures_positions": contracts,
        }
    }


def balance_summary(portfolio: Portfolio) -> Json:
    pnl = Decimal(0)
    for held in portfolio.contracts.values():
        market = portfolio.markets[held.product_id]
        assert market.contract_size is not None
        pnl += held.count * market.contract_size * market.price - held.cost
    realized = sum((held.realized for held in portfolio.contracts.values()), Decimal(0))
    told = {
        "total_usd_balance": portfolio.futures_cash + portfolio.spot_cash,
        "cbi_usd_balance": portfolio.spot_cash,
        "cfm_usd_balance": portfolio.futures_cash,
        "unrealized_pnl": pnl,
        "daily_realized_pnl": realized,
    }
    return {"balance_summary": {name: amount(value, "USD") for name, value in told.items()}}


def _padded(value: Decimal, currency: str) -> Json:
    """As the venue pads: sixteen fraction digits, or more where there are more."""
    exact = value.as_tuple().exponent
    text = f"{value:f}" if isinstance(exact, int) and exact < -16 else f"{value.quantize(_PADDING):f}"
    return {"value": text, "currency": currency}


def _details(market: Market) -> Json:
    return {
        "venue": "cde",
        "contract_code": market.product_id[:3],
        "contract_expiry": market.expiry,
        "contract_size": number(market.contract_size or Decimal(0)),
        "contract_root_unit": market.base,
        "group_short_description": f"Nano {market.base}",
        "contract_expiry_type": "EXPIRING",
        "funding_rate": market.funding_rate,
    }


def _page(items: list[Any], query: Mapping[str, str], style: Style, most: int) -> tuple[list[Any], str]:
    """The rows of a page, and the cursor to the next, empty when there is none. Raises ValueError."""
    start, limit = int(query.get("cursor") or 0), int(query.get("limit") or style.page)
    if start < 0 or limit < 1:
        raise ValueError("cursor or limit")
    end = start + min(limit, most, max(style.page, 1))
    return items[start:end], str(end) if end < len(items) else ""
