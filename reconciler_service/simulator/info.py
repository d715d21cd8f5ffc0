"""Answers one ``/info`` body from the SIMULATED venue, bent by faults. Pure: no sockets, no clock but the venue's.

BadRequestError (422 at the venue): unknown type, missing or malformed field. UnknownMarketError (500 null at the
venue): a coin or dex that does not exist. Weights as documented: 2 for the cheap types, 60 for userRole, 20 for the
rest, plus 1 for every full 20 rows of a history.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler_service.simulator import wire, wire_history
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.faults import Fault, Faults, Kind
from reconciler_service.simulator.records import ADDRESS, Fill
from reconciler_service.simulator.wire import Json, Style

_NUMBER = re.compile(r"-?\d+\.\d+")
_NOBODY = "0x"  # never a known address: answers zeros
_HISTORIES = frozenset({"userFills", "userFillsByTime", "userFunding", "userNonFundingLedgerUpdates", "fundingHistory"})
_CHEAP = frozenset({"clearinghouseState", "spotClearinghouseState", "allMids"})
_OF_ONE_DEX = frozenset(
    {"clearinghouseState", "allMids", "meta", "metaAndAssetCtxs", "openOrders", "frontendOpenOrders"}
)
_NAN_FIRST = ("szi", "px", "markPx", "total", "usdc")  # the number a NaN does most harm in


class BadRequestError(ValueError):
    """A body the venue would not deserialise."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request body with typed access to its fields. Every accessor raises BadRequestError."""

    exchange: Exchange
    body: Mapping[str, Any]
    faults: Faults
    style: Style

    @property
    def kind(self) -> str:
        return str(self.body["type"])

    @property
    def user(self) -> str:
        value = self.body.get("user")
        if not isinstance(value, str) or not ADDRESS.fullmatch(value):
            raise BadRequestError("user")
        return value.lower()

    @property
    def dex(self) -> str:
        value = self.body.get("dex")
        if value is not None and not isinstance(value, str):
            raise BadRequestError("dex")
        return value or ""

    @property
    def coin(self) -> str:
        value = self.body.get("coin")
        if not isinstance(value, str):
            raise BadRequestError("coin")
        return value

    @property
    def start(self) -> int:
        value = self._time("startTime")
        if value is None:
            raise BadRequestError("startTime")
        return value

    @property
    def end(self) -> int | None:
        return self._time("endTime")

    def flag(self, name: str) -> bool:
        value = self.body.get(name)
        if value is not None and not isinstance(value, bool):
            raise BadRequestError(name)
        return bool(value)

    def fills(self) -> Sequence[Fill]:
        """The user's fills as far as late and lost ones let them be seen."""
        account = self.exchange.accounts.get(self.user)
        hiding = [fault for kind in (Kind.LATE_FILLS, Kind.LOST_FILLS) if (fault := self.faults.get(kind))]
        fills = account.history.fills if account else []
        return [fill for fill in fills if not any(_hides(fault, fill, self.exchange.now()) for fault in hiding)]

    def _time(self, name: str) -> int | None:
        value = self.body.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise BadRequestError(name)
        return value


def parse(body: object) -> tuple[str, str | None]:
    """The type of a body and the dex it is about (None: the type knows no dex). Raises BadRequestError."""
    if not isinstance(body, dict) or not isinstance(kind := body.get("type"), str) or kind not in _ANSWERS:
        raise BadRequestError("type")
    dex = body.get("dex")
    return kind, (dex if isinstance(dex, str) else "") if kind in _OF_ONE_DEX else None


def weight(kind: str) -> int:
    """What asking costs, before the answer is known."""
    return 2 if kind in _CHEAP else 60 if kind == "userRole" else 20


def surcharge(kind: str, answer: Json) -> int:
    """What the rows of a history cost on top."""
    return len(answer) // 20 if kind in _HISTORIES else 0


def answer(exchange: Exchange, body: Mapping[str, Any], faults: Faults, style: Style) -> Json:
    """The JSON value of an answer, after ``parse``. Raises BadRequestError and UnknownMarketError."""
    stale = faults.get(Kind.STALE)
    if stale is not None and stale.frozen is not None:
        exchange = stale.frozen
    if faults.get(Kind.FLOAT_NOISE):
        style = replace(style, noise_percent=100)
    ask = Ask(exchange, body, faults, style)
    value = _ANSWERS[ask.kind](ask)
    if faults.get(Kind.EMPTY):
        value = _emptied(ask, value)
    skew = faults.get(Kind.CLOCK_SKEW)
    if skew is not None and isinstance(value, dict) and "time" in value:
        value["time"] += skew.skew_ms
    nan = faults.get(Kind.NAN)
    return _with_nan(value, bare=nan.bare) if nan is not None else value


def _hides(fault: Fault, fill: Fill, now: int) -> bool:
    if fill.tid <= fault.since_tid or fault.coin not in (None, fill.coin):
        return False
    return fault.kind is Kind.LOST_FILLS or now < fill.recorded_at + fault.delay_s * 1000


def _fills(ask: Ask) -> Json:
    rows = wire_history.user_fills(ask.fills(), aggregate=ask.flag("aggregateByTime"))
    return _doubled(ask, rows)


def _fills_by_time(ask: Ask) -> Json:
    rows = wire_history.user_fills_by_time(
        ask.fills(),
        ask.start,
        ask.end,
        aggregate=ask.flag("aggregateByTime"),
        newest_first=ask.flag("reversed"),
    )
    return _doubled(ask, rows)


def _doubled(ask: Ask, rows: list[Json]) -> list[Json]:
    fault = ask.faults.get(Kind.DUPLICATE_FILLS)
    if fault is None:
        return rows
    return [row for row in rows for _ in range(2 if fault.coin in (None, row["coin"]) else 1)]


def _funding(ask: Ask) -> Json:
    account = ask.exchange.accounts.get(ask.user)
    return wire_history.user_funding(account.history.funding if account else [], ask.start, ask.end)


def _ledger(ask: Ask) -> Json:
    account = ask.exchange.accounts.get(ask.user)
    return wire_history.user_ledger_updates(account.history.ledger if account else [], ask.start, ask.end, ask.user)


def _of_user(value: Json) -> Callable[[Ask], Json]:
    """A constant answer to a request that must still name a user."""

    def constant(ask: Ask) -> Json:
        _ = ask.user  # raises for a missing or malformed one
        return value

    return constant


def _emptied(ask: Ask, value: Json) -> Json:
    if isinstance(value, list):
        return []
    if isinstance(value, dict) and "assetPositions" in value:
        return wire.clearinghouse_state(ask.exchange, _NOBODY, ask.dex)
    if not isinstance(value, dict):
        return value
    return value | {name: [] for name in ("balances", "universe", "tokens") if name in value}


def _with_nan(value: Json, *, bare: bool) -> Json:
    """The value with one number replaced: the most harmful one, else the first there is."""
    places = list(_numbers(value))
    if places:
        holder, key = next((place for name in _NAN_FIRST for place in places if place[1] == name), places[0])
        holder[key] = float("nan") if bare else "NaN"
    return value


def _numbers(value: Json) -> list[tuple[Any, Any]]:
    """Where the decimal strings are: (container, key), depth first."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[tuple[Any, Any]] = []
    for key, inner in items:
        if isinstance(inner, str) and _NUMBER.fullmatch(inner):
            found.append((value, key))
        else:
            found += _numbers(inner)
    return found


_ANSWERS: Mapping[str, Callable[[Ask], Json]] = {
    "clearinghouseState": lambda ask: wire.clearinghouse_state(ask.exchange, ask.user, ask.dex, ask.style),
    "spotClearinghouseState": lambda ask: wire.spot_clearinghouse_state(ask.exchange, ask.user),
    "allMids": lambda ask: wire.all_mids(ask.exchange, ask.dex),
    "meta": lambda ask: wire.meta(ask.exchange, ask.dex),
    "allPerpMetas": lambda ask: wire.all_perp_metas(ask.exchange),
    "metaAndAssetCtxs": lambda ask: wire.meta_and_asset_ctxs(ask.exchange, ask.dex),
    "perpDexs": lambda ask: wire.perp_dexs(ask.exchange),
    "spotMeta": lambda _: wire.spot_meta(),
    "userFills": _fills,
    "userFillsByTime": _fills_by_time,
    "userFunding": _funding,
    "userNonFundingLedgerUpdates": _ledger,
    "fundingHistory": lambda ask: wire_history.funding_history(ask.exchange, ask.coin, ask.start, ask.end),
    "userRole": lambda ask: wire.user_role(ask.exchange, ask.user),
    "userAbstraction": lambda ask: wire.user_abstraction(ask.exchange, ask.user),
    "userRateLimit": lambda ask: wire.user_rate_limit(ask.exchange, ask.user),
    "subAccounts": lambda ask: wire.sub_accounts(ask.exchange, ask.user, ask.style, with_dexes=False),
    "subAccounts2": lambda ask: wire.sub_accounts(ask.exchange, ask.user, ask.style),
    "openOrders": _of_user([]),
    "frontendOpenOrders": _of_user([]),
}
