"""Our own control API of a SIMULATED venue, under ``/control``. No venue has anything like it.

Bodies and answers are JSON, amounts decimal strings (JSON numbers are taken too, exactly). ``address`` may be left
out when there is one account. Answers carry ``"simulated": true``; refusals an ``error`` and 400 (malformed), 404
(no such account, market or position), 409 (the venue would not do it) or 415 (not JSON; also keeps web pages out).

    POST /control/trade      {coin, side: buy|sell, size, price?, at?, parts?, address?}
    POST /control/close      {coin, price?, at?, address?}
    POST /control/liquidate  {coin, price?, at?, address?}
    POST /control/leverage   {coin, value, mode: cross|isolated, address?}
    POST /control/mark       {coin, price}
    POST /control/deposit    {usdc, dex?, at?, address?}
    POST /control/funding    {coin, rate, at?}
    POST /control/account    {address, role?, master?, label?}
    POST /control/spot       {token, side: buy|sell, size, price?, at?, address?}
    POST /control/transfer   {token, amount, at?, address?}              below zero: sent away
    POST /control/class      {usdc, to_perp, at?, address?}              between spot and the main dex
    POST /control/mode       {mode, address?}
    POST /control/fault      {kind, types?, dex?, coin?, count?, percent?, delay_s?, skew_ms?, size?, bare?, location?}
    POST /control/faults/clear  {id?}
    GET  /control/state
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar

from aiohttp import web

from reconciler_service.simulator import wire, wire_history
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.faults import Fault, FaultPlan, Kind
from reconciler_service.simulator.floor import SpotFloor
from reconciler_service.simulator.records import (
    ExchangeError,
    Fill,
    Mode,
    NoPositionError,
    Role,
    UnknownAccountError,
    UnknownMarketError,
)

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
_MISSING = object()


class Arguments:
    """The fields of one body, each taken once; what nobody took is refused, so that typos do not pass."""

    def __init__(self, body: object) -> None:
        if not isinstance(body, dict):
            raise ValueError("the body is a JSON object")  # noqa: TRY004 - bad input, not a bug
        self._left: dict[str, Any] = dict(body)

    def text(self, name: str, default: Any = _MISSING) -> Any:
        return self._take(name, default, (str,))

    def integer(self, name: str, default: Any = _MISSING) -> Any:
        return self._take(name, default, (int,))

    def flag(self, name: str) -> bool:
        return bool(self._take(name, default=False, kinds=(bool,)))

    def decimal(self, name: str, default: Any = _MISSING) -> Any:
        value = self._take(name, default, (str, int, Decimal))
        if value is default:
            return value
        try:
            return Decimal(value)
        except InvalidOperation:
            raise ValueError(f"{name} is not a decimal number: {value!r}") from None

    def choice(self, name: str, kinds: type[E], default: Any = _MISSING) -> E:
        value = self._take(name, default, (str,))
        try:
            return kinds(value)
        except ValueError:
            raise ValueError(f"{name} is one of {', '.join(kinds)}, got {value!r}") from None

    def texts(self, name: str) -> frozenset[str]:
        value = self._take(name, [], (list,))
        if not all(isinstance(one, str) for one in value):
            raise ValueError(f"{name} is a list of strings")
        return frozenset(value)

    def done(self) -> None:
        if self._left:
            raise ValueError(f"unknown fields: {', '.join(sorted(self._left))}")

    def _take(self, name: str, default: Any, kinds: tuple[type, ...]) -> Any:
        value = self._left.pop(name, _MISSING)
        if value is _MISSING or (value is None and default is not _MISSING):
            if default is _MISSING:
                raise ValueError(f"{name} is missing")
            return default
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"{name} is not a {' or '.join(kind.__name__ for kind in kinds)}: {value!r}")
        return value


class Control:
    """The routes; each reads its arguments, calls the exchange once and tells what became of it."""

    def __init__(self, exchange: Exchange, plan: FaultPlan, requests: Counter[str]) -> None:
        self._exchange = exchange
        self._floor = SpotFloor(exchange)
        self._plan = plan
        self._requests = requests

    def add_to(self, app: web.Application) -> None:
        for operation in (
            *(self.trade, self.close, self.liquidate, self.leverage, self.mark, self.deposit, self.funding),
            *(self.account, self.spot, self.transfer, self.mode, self.fault),
        ):
            app.router.add_post(f"/control/{operation.__name__}", posted(operation))
        app.router.add_post("/control/class", posted(self.between_classes))
        app.router.add_post("/control/faults/clear", posted(self.clear))
        app.router.add_get("/control/state", self.state)

    def trade(self, given: Arguments) -> Any:
        address, coin, side = self._address(given), given.text("coin"), given.choice("side", Side)
        size, price = given.decimal("size"), given.decimal("price", None)
        at, parts = given.integer("at", None), given.integer("parts", 1)
        given.done()
        return _told(self._exchange.trade(address, coin, side is Side.BUY, size, price, at, parts))

    def close(self, given: Arguments) -> Any:
        return _told(self._exchange.close(*self._exit(given)))

    def liquidate(self, given: Arguments) -> Any:
        return _told(self._exchange.liquidate(*self._exit(given)))

    def leverage(self, given: Arguments) -> Any:
        address, coin = self._address(given), given.text("coin")
        value, mode = given.integer("value"), given.choice("mode", Mode)
        given.done()
        self._exchange.set_leverage(address, coin, value, mode)
        return {"coin": coin, "value": value, "mode": mode.value}

    def mark(self, given: Arguments) -> Any:
        coin, price = given.text("coin"), given.decimal("price")
        given.done()
        self._exchange.set_mark(coin, price)
        return {"coin": coin, "price": wire.number(price)}

    def deposit(self, given: Arguments) -> Any:
        address, usdc = self._address(given), given.decimal("usdc")
        dex, at = given.text("dex", ""), given.integer("at", None)
        given.done()
        self._exchange.deposit(address, usdc, dex, at)
        return {"address": address, "usdc": wire.number(usdc), "dex": dex}

    def funding(self, given: Arguments) -> Any:
        coin, rate, at = given.text("coin"), given.decimal("rate"), given.integer("at", None)
        given.done()
        self._exchange.pay_funding(coin, rate, at)
        return {"coin": coin, "rate": wire.number(rate)}

    def account(self, given: Arguments) -> Any:
        address, role, master = given.text("address"), given.choice("role", Role, "user"), given.text("master", None)
        label = given.text("label", "")
        given.done()
        opened = self._exchange.open_account(address, role, master, label)
        return {"address": opened.address, "role": opened.role.value}

    def spot(self, given: Arguments) -> Any:
        address, token, side = self._address(given), given.text("token"), given.choice("side", Side)
        size, price, at = given.decimal("size"), given.decimal("price", None), given.integer("at", None)
        given.done()
        return _told([self._floor.trade(address, token, side is Side.BUY, size, price, at)])

    def transfer(self, given: Arguments) -> Any:
        address, token, amount = self._address(given), given.text("token"), given.decimal("amount")
        at = given.integer("at", None)
        given.done()
        self._floor.transfer(address, token, amount, at)
        return {"token": token, "amount": wire.number(amount)}

    def between_classes(self, given: Arguments) -> Any:
        address, usdc, to_perp = self._address(given), given.decimal("usdc"), given.flag("to_perp")
        at = given.integer("at", None)
        given.done()
        self._floor.between_classes(address, usdc, to_perp=to_perp, at=at)
        return {"usdc": wire.number(usdc), "to_perp": to_perp}

    def mode(self, given: Arguments) -> Any:
        address, mode = self._address(given), given.text("mode")
        given.done()
        self._exchange.set_abstraction(address, mode)
        return {"mode": mode}

    def fault(self, given: Arguments) -> Any:
        usual = Fault(Kind.HTTP_500)
        fault = Fault(
            kind=given.choice("kind", Kind),
            types=given.texts("types"),
            dex=given.text("dex", None),
            coin=given.text("coin", None),
            count=given.integer("count", None),
            percent=given.integer("percent", usual.percent),
            delay_s=float(given.decimal("delay_s", usual.delay_s)),
            skew_ms=given.integer("skew_ms", usual.skew_ms),
            size=given.integer("size", usual.size),
            bare=given.flag("bare"),
            location=given.text("location", usual.location),
        )
        given.done()
        return {"fault": self._plan.add(fault, self._exchange).describe()}

    def clear(self, given: Arguments) -> Any:
        ident = given.integer("id", None)
        given.done()
        return {"cleared": self._plan.clear(ident)}

    async def state(self, _: web.Request) -> web.Response:
        """Everything as it truly is: no faults, no noise."""
        exchange, plain = self._exchange, wire.Style(noise_percent=0)
        accounts = [
            {
                "address": account.address,
                "role": account.role.value,
                "dexes": {
                    dex: wire.clearinghouse_state(exchange, account.address, dex, plain) for dex in exchange.dexes
                },
                "spot": wire.spot_clearinghouse_state(exchange, account.address),
                "mode": account.abstraction,
                "fills": len(account.history.fills),
            }
            for account in exchange.accounts.values()
        ]
        told = {
            "source": "SIMULATED",
            "revision": exchange.revision,
            "time": exchange.now(),
            "accounts": accounts,
            "marks": {market.coin: wire.number(market.mark) for market in exchange.markets.values()},
            "faults": [fault.describe() for fault in self._plan.active],
            "requests": dict(self._requests),
        }
        return _json(200, told)

    def _exit(self, given: Arguments) -> tuple[str, str, Decimal | None, int | None]:
        address, coin = self._address(given), given.text("coin")
        price, at = given.decimal("price", None), given.integer("at", None)
        given.done()
        return address, coin, price, at

    def _address(self, given: Arguments) -> str:
        address = given.text("address", None)
        if address is not None:
            return str(address)
        if len(self._exchange.accounts) != 1:
            raise ValueError(f"address is needed: there are {len(self._exchange.accounts)} accounts")
        return next(iter(self._exchange.accounts))


class Side(StrEnum):
    """Which way a trade goes."""

    BUY = "buy"
    SELL = "sell"


def posted(operation: Callable[[Arguments], Any]) -> Callable[[web.Request], Any]:
    """An HTTP handler around one operation: reads the body, maps refusals to statuses."""

    async def handle(request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return _json(415, {"error": "the body is application/json"})
        try:
            return _json(200, operation(Arguments(json.loads(await request.read(), parse_float=Decimal))))
        except (UnknownAccountError, UnknownMarketError, NoPositionError) as error:
            return _json(404, {"error": str(error)})
        except ExchangeError as error:
            return _json(409, {"error": str(error)})
        except (ValueError, RecursionError) as error:
            return _json(400, {"error": str(error)})

    return handle


def _told(fills: Iterable[Fill]) -> Any:
    return {"fills": [wire_history.spell_fill(fill) for fill in fills]}


def _json(status: int, body: dict[str, Any]) -> web.Response:
    return web.json_response({"simulated": True} | body, status=status)
