"""Maps a path of the SIMULATED Coinbase to an answer, bent by faults. Pure.

Endpoints, as faults name them in ``types``: accounts, cfm/positions, cfm/balance_summary, products, product,
best_bid_ask, fills, order, key_permissions, portfolios, portfolio, time. Everything else does not exist here, the
retired INTX paths included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler_service.simulator.coinbase import wire
from reconciler_service.simulator.coinbase.gate import ApiKey
from reconciler_service.simulator.coinbase.portfolio import Portfolio
from reconciler_service.simulator.coinbase.records import Fill
from reconciler_service.simulator.coinbase.wire import Json, Style
from reconciler_service.simulator.faults import Fault, Faults, Kind

ROOT = "/api/v3/brokerage"
TIME = "time"  # the one endpoint without a key

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
# The number a NaN does most harm in.
_NAN_FIRST = ("value", "number_of_contracts", "size", "contract_size", "base_increment", "price", "epochMillis")


class Refused(Exception):
    """An answer that is none: a status and a body in one of the venue's error shapes."""

    def __init__(self, status: int, error: str, details: str) -> None:
        super().__init__(details)
        self.status = status
        self.body = {"error": error, "error_details": details, "message": details}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, past the gate."""

    portfolio: Portfolio
    key: ApiKey | None
    argument: str  # what stands in the path behind the endpoint
    query: Mapping[str, str]
    product_ids: Sequence[str]
    faults: Faults
    style: Style


def endpoint_of(method: str, path: str) -> tuple[str, str]:
    """The endpoint of a path below the root, and its argument. Raises Refused."""
    if method != "GET":
        raise Refused(405, "unknown", "method not allowed")
    for pattern, endpoint in _PATHS:
        if match := re.fullmatch(pattern, path):
            return endpoint, match.group(1) if match.groups() else ""
    raise Refused(404, "unknown", "route not found")


def answer(endpoint: str, ask: Ask) -> Json:
    """The JSON value of an answer. Raises Refused."""
    stale = ask.faults.get(Kind.STALE)
    if stale is not None and stale.frozen is not None:
        ask = Ask(stale.frozen, ask.key, ask.argument, ask.query, ask.product_ids, ask.faults, ask.style)
    try:
        value = _ANSWERS[endpoint](ask)
    except ValueError as error:
        raise Refused(400, "INVALID_ARGUMENT", str(error)) from error
    if ask.faults.get(Kind.EMPTY):
        value = {key: [] if isinstance(inner, list) else inner for key, inner in value.items()}
        value |= {"has_next": False, "cursor": ""} if "has_next" in value else {}
    nan = ask.faults.get(Kind.NAN)
    return _with_nan(value, bare=nan.bare) if nan is not None else value


def _futures(tell: Callable[[Ask], Json]) -> Callable[[Ask], Json]:
    """An endpoint that exists only for those who are enrolled."""

    def told(ask: Ask) -> Json:
        if not ask.portfolio.is_enrolled:
            raise Refused(404, "NOT_FOUND", "no futures account for this user")
        return tell(ask)

    return told


def _time(ask: Ask) -> Json:
    skew = ask.faults.get(Kind.CLOCK_SKEW)
    return wire.server_time(ask.portfolio.now() + (skew.skew_ms if skew else 0))


def _fills(ask: Ask) -> Json:
    since = ask.query.get("start_sequence_timestamp")
    start_ms = int(datetime.fromisoformat(since).timestamp() * 1000) if since else 0
    hiding = [fault for kind in (Kind.LATE_FILLS, Kind.LOST_FILLS) if (fault := ask.faults.get(kind))]
    now = ask.portfolio.now()
    seen = [
        fill
        for fill in ask.portfolio.fills
        if fill.recorded_at >= start_ms and not any(_hides(fault, fill, now) for fault in hiding)
    ]
    if ask.faults.get(Kind.DUPLICATE_FILLS):
        seen = [fill for fill in seen for _ in range(2)]
    return wire.fills(seen, ask.query, ask.style)


def _hides(fault: Fault, fill: Fill, now: int) -> bool:
    if fill.tid <= fault.since_tid or fault.coin not in (None, fill.product_id):
        return False
    return fault.kind is Kind.LOST_FILLS or now < fill.recorded_at + fault.delay_s * 1000


def _product(ask: Ask) -> Json:
    market = ask.portfolio.markets.get(ask.argument)
    if market is None:
        raise Refused(404, "NOT_FOUND", f"valid product_id not found: {ask.argument}")
    return wire.product(market)


def _order(ask: Ask) -> Json:
    told = wire.order(ask.portfolio, ask.argument)
    if told is None:
        raise Refused(404, "NOT_FOUND", f"order with this orderID was not found: {ask.argument}")
    return told


def _portfolio(ask: Ask) -> Json:
    if ask.argument != ask.portfolio.uuid:
        raise Refused(403, "PERMISSION_DENIED", "User does not have access to portfolio")
    return wire.breakdown(ask.portfolio, ask.style)


def _permissions(ask: Ask) -> Json:
    assert ask.key is not None, "the gate lets nobody in without a key"
    return wire.key_permissions(ask.key, ask.portfolio)


def _with_nan(value: Json, *, bare: bool) -> Json:
    """The value with one number replaced: the most harmful one, else the first there is."""
    places = list(_numbers(value))
    if places:
        holder, key = next((place for name in _NAN_FIRST for place in places if place[1] == name), places[0])
        holder[key] = float("nan") if bare else "NaN"
    return value


def _numbers(value: Json) -> Iterator[tuple[Any, Any]]:
    """Where decimal strings are: (container, key), depth first."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(inner, str) and _NUMBER.fullmatch(inner):
            yield value, key
        else:
            yield from _numbers(inner)


_PATHS = (
    ("/accounts", "accounts"),
    ("/cfm/positions", "cfm/positions"),
    ("/cfm/balance_summary", "cfm/balance_summary"),
    ("/products", "products"),
    ("/products/([A-Za-z0-9_-]+)", "product"),
    ("/best_bid_ask", "best_bid_ask"),
    ("/orders/historical/fills", "fills"),
    ("/orders/historical/([A-Za-z0-9-]+)", "order"),
    ("/key_permissions", "key_permissions"),
    ("/portfolios", "portfolios"),
    ("/portfolios/([A-Za-z0-9-]+)", "portfolio"),
    ("/time", TIME),
)
ENDPOINTS = tuple(endpoint for _, endpoint in _PATHS)

_ANSWERS: Mapping[str, Callable[[Ask], Json]] = {
    "accounts": lambda ask: wire.accounts(ask.portfolio, ask.query, ask.style),
    "cfm/positions": _futures(lambda ask: wire.positions(ask.portfolio, ask.style)),
    "cfm/balance_summary": _futures(lambda ask: wire.balance_summary(ask.portfolio)),
    "products": lambda ask: wire.products(ask.portfolio, ask.query, ask.style),
    "product": _product,
    "best_bid_ask": lambda ask: wire.best_bid_ask(ask.portfolio, ask.product_ids),
    "fills": _fills,
    "order": _order,
    "key_permissions": _permissions,
    "portfolios": lambda ask: wire.portfolios(ask.portfolio),
    "portfolio": _portfolio,
    "time": _time,
}
