"""Our own control API of a SIMULATED Coinbase, under ``/control``. The venue has nothing like it.

Bodies and answers are JSON, amounts decimal strings. Answers carry ``"simulated": true``; refusals an ``error`` and 400
(malformed), 404 (no such product or position), 409 (the venue would not do it) or 415 (not JSON).

    POST /control/trade      {product, side: buy|sell, size, price?}
    POST /control/close      {product, price?}
    POST /control/liquidate  {product, price?}
    POST /control/reverse    {product}                             undoes its newest fill
    POST /control/deposit    {currency, amount}                    below zero: a withdrawal
    POST /control/hold       {currency, amount}
    POST /control/position   {product, contracts, entry}           signed contracts; 0: flat. No fill is made
    POST /control/mark       {product, price}
    POST /control/enrolment  {enrolled}
    POST /control/fault      {kind, types?, coin?, count?, percent?, delay_s?, skew_ms?, size?, bare?, location?}
    POST /control/faults/clear  {id?}
    GET  /control/state
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from aiohttp import web

from reconciler_service.simulator.coinbase import wire
from reconciler_service.simulator.coinbase.portfolio import Portfolio
from reconciler_service.simulator.control import Arguments, Side, posted
from reconciler_service.simulator.faults import Fault, FaultPlan, Kind


class Control:
    """The routes; each reads its arguments, calls the portfolio once and tells what became of it."""

    def __init__(self, portfolio: Portfolio, plan: FaultPlan, requests: Counter[str]) -> None:
        self._portfolio = portfolio
        self._plan = plan
        self._requests = requests

    def add_to(self, app: web.Application) -> None:
        for name in (
            "trade",
            "close",
            "liquidate",
            "reverse",
            "deposit",
            "hold",
            "position",
            "mark",
            "enrolment",
            "fault",
        ):
            app.router.add_post(f"/control/{name}", posted(getattr(self, name)))
        app.router.add_post("/control/faults/clear", posted(self.clear))
        app.router.add_get("/control/state", self.state)

    def trade(self, given: Arguments) -> Any:
        product, side = given.text("product"), given.choice("side", Side)
        size, price = given.decimal("size"), given.decimal("price", None)
        given.done()
        return {"fills": [wire.fill(self._portfolio.trade(product, side is Side.BUY, size, price))]}

    def close(self, given: Arguments) -> Any:
        product, price = given.text("product"), given.decimal("price", None)
        given.done()
        return {"fills": [wire.fill(self._portfolio.close(product, price))]}

    def liquidate(self, given: Arguments) -> Any:
        product, price = given.text("product"), given.decimal("price", None)
        given.done()
        return {"fills": [wire.fill(self._portfolio.liquidate(product, price))]}

    def reverse(self, given: Arguments) -> Any:
        product = given.text("product")
        given.done()
        return {"fills": [wire.fill(self._portfolio.reverse(product))]}

    def deposit(self, given: Arguments) -> Any:
        currency, amount = given.text("currency"), given.decimal("amount")
        given.done()
        return {"account": wire.account(self._portfolio.deposit(currency, amount), self._portfolio)}

    def hold(self, given: Arguments) -> Any:
        currency, amount = given.text("currency"), given.decimal("amount")
        given.done()
        return {"account": wire.account(self._portfolio.set_hold(currency, amount), self._portfolio)}

    def position(self, given: Arguments) -> Any:
        product, contracts, entry = given.text("product"), given.decimal("contracts"), given.decimal("entry")
        given.done()
        self._portfolio.set_contracts(product, contracts, entry)
        return {"product": product, "contracts": wire.number(contracts)}

    def mark(self, given: Arguments) -> Any:
        product, price = given.text("product"), given.decimal("price")
        given.done()
        self._portfolio.set_price(product, price)
        return {"product": product, "price": wire.number(price)}

    def enrolment(self, given: Arguments) -> Any:
        self._portfolio.is_enrolled = given.flag("enrolled")
        given.done()
        return {"enrolled": self._portfolio.is_enrolled}

    def fault(self, given: Arguments) -> Any:
        usual = Fault(Kind.HTTP_500)
        fault = Fault(
            kind=given.choice("kind", Kind),
            types=given.texts("types"),
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
        return {"fault": self._plan.add(fault, self._portfolio).describe()}

    def clear(self, given: Arguments) -> Any:
        ident = given.integer("id", None)
        given.done()
        return {"cleared": self._plan.clear(ident)}

    async def state(self, _: web.Request) -> web.Response:
        """Everything as it truly is: no faults, no pages."""
        portfolio, whole = self._portfolio, wire.Style(page=10**6)
        told = {
            "simulated": True,
            "source": "SIMULATED",
            "revision": portfolio.revision,
            "time": portfolio.now(),
            "enrolled": portfolio.is_enrolled,
            "accounts": [wire.account(one, portfolio) for one in portfolio.wallets.values()],
            "positions": wire.positions(portfolio, whole)["positions"],
            "fills": len(portfolio.fills),
            "faults": [fault.describe() for fault in self._plan.active],
            "requests": dict(self._requests),
        }
        return web.json_response(told)
