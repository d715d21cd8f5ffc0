"""Puts a SIMULATED Coinbase on a socket: ``GET /api/v3/brokerage/...``, ``/ws``, and our own control API beside it.

Every answer carries ``Server: SIMULATED``, and every one to a key what is left of its rate limit. Loopback only unless
told otherwise: the control API has no password. No order endpoint exists, and none ever will.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from typing import Any

from aiohttp import web

from reconciler_service.simulator.budget import WINDOW_S, Budget
from reconciler_service.simulator.coinbase import answers
from reconciler_service.simulator.coinbase.answers import Ask, Refused
from reconciler_service.simulator.coinbase.control import Control
from reconciler_service.simulator.coinbase.gate import ApiKey, Gate
from reconciler_service.simulator.coinbase.portfolio import Portfolio
from reconciler_service.simulator.coinbase.push import CoinbaseTalk
from reconciler_service.simulator.coinbase.wire import Style
from reconciler_service.simulator.faults import Fault, FaultPlan, Kind
from reconciler_service.simulator.server import CDN_PAGE, LARGEST_REQUEST, listen, padded, reset
from reconciler_service.simulator.sockets import Sockets

REQUESTS_PER_MINUTE = 600
UNAUTHORIZED = "Unauthorized\n"
TOO_MANY = {"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]}
BROKEN = {"errors": [{"id": "internal_server_error", "message": "An error has occurred."}]}


class Brokerage:
    """The read endpoints: budget, faults, gate, answer, in that order."""

    def __init__(self, portfolio: Portfolio, gate: Gate, plan: FaultPlan, budget: Budget, style: Style) -> None:
        self.portfolio = portfolio
        self.gate = gate
        self.plan = plan
        self.budget = budget
        self.style = style
        self.requests: Counter[str] = Counter()
        self.refused_paths: list[str] = []  # what was asked for and does not exist
        self.stopping = asyncio.Event()
        self.sockets = Sockets(portfolio.watchers, plan, self.stopping)

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket."""
        if fault := self.plan.take("ws/connect", None).replacing:
            return await _spoiled(request, fault, "null")
        return await self.sockets.converse(request, CoinbaseTalk(self.portfolio, self.gate))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            endpoint, argument = answers.endpoint_of(request.method, request.path.removeprefix(answers.ROOT))
        except Refused as refused:
            self.refused_paths.append(f"{request.method} {request.path}")
            return _json(refused.status, refused.body)
        self.requests[endpoint] += 1
        if not self.budget.spend(request.remote or "", 1):
            return self._limited(request, _json(429, TOO_MANY))
        faults = self.plan.take(endpoint, None)
        if slow := faults.get(Kind.SLOW):
            with contextlib.suppress(TimeoutError):  # not past the server's end
                await asyncio.wait_for(self.stopping.wait(), slow.delay_s)
        if faults.get(Kind.HANG):
            await self.stopping.wait()
        key: ApiKey | None = None
        if endpoint != answers.TIME:
            skew = faults.get(Kind.CLOCK_SKEW)
            authorization = request.headers.get("Authorization", "")
            key = self.gate.admit(authorization, "GET", request.path, skew.skew_ms if skew else 0)
            if key is None:
                return _unauthorized()
        product_ids = request.query.getall("product_ids", [])
        ask = Ask(self.portfolio, key, argument, request.query, product_ids, faults, self.style)
        try:
            text = json.dumps(answers.answer(endpoint, ask), separators=(",", ":"))
        except Refused as refused:
            return self._limited(request, _json(refused.status, refused.body))
        if fault := faults.replacing:
            return await _spoiled(request, fault, text)
        return self._limited(request, _text(200, text))

    def _limited(self, request: web.Request, response: web.Response) -> web.Response:
        left = self.budget.limit - self.budget.used(request.remote or "")
        response.headers["x-ratelimit-limit"] = str(self.budget.limit)
        response.headers["x-ratelimit-remaining"] = str(max(0, left))
        response.headers["x-ratelimit-reset"] = str(int(WINDOW_S))
        return response


class RunningServer:
    """A server on a socket. ``url`` has no trailing slash; ``close`` may be called twice."""

    def __init__(self, runner: web.AppRunner, brokerage: Brokerage, url: str) -> None:
        self.url = url
        self.portfolio = brokerage.portfolio
        self.brokerage = brokerage
        self.gate = brokerage.gate
        self.faults = brokerage.plan
        self.requests = brokerage.requests
        self.sockets = brokerage.sockets
        self._runner = runner

    def fault(self, kind: Kind, **parameters: Any) -> Fault:
        """Put a fault in force from the same process; over HTTP it is ``POST /control/fault``."""
        return self.faults.add(Fault(kind, **parameters), self.portfolio)

    async def close(self) -> None:
        """Answer what hangs, then give back the socket."""
        self.brokerage.stopping.set()
        await self._runner.cleanup()


async def serve(
    portfolio: Portfolio,
    keys: list[ApiKey],
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    seed: int = 0,
    style: Style | None = None,
    budget: Budget | None = None,
    jwt_host: str = "api.coinbase.com",
    allow_remote: bool = False,
) -> RunningServer:
    """Start serving; port 0 takes a free one.

    ``keys`` are those that may read the portfolio, ``jwt_host`` is what their tokens must name. ``seed`` drives faults
    that hit only a share of requests. Raises ValueError for a host that is not loopback without ``allow_remote``,
    OSError for a port that is taken.
    """
    limits = budget or Budget(time.monotonic, REQUESTS_PER_MINUTE)
    gate = Gate(keys, portfolio.now, jwt_host)
    brokerage = Brokerage(portfolio, gate, FaultPlan(seed), limits, style or Style())
    app = web.Application(client_max_size=LARGEST_REQUEST)
    app.router.add_get("/ws", brokerage.listen)
    app.router.add_route("*", answers.ROOT + "/{path:.*}", brokerage.handle)
    Control(portfolio, brokerage.plan, brokerage.requests).add_to(app)
    runner, url = await listen(app, host, port, allow_remote=allow_remote)
    return RunningServer(runner, brokerage, url)


async def _spoiled(request: web.Request, fault: Fault, text: str) -> web.StreamResponse:
    """What goes out in place of an answer."""
    match fault.kind:
        case Kind.HTTP_401:
            return _unauthorized()
        case Kind.HTTP_403:
            refused = Refused(403, "unknown", "Missing required scopes")
            return _json(refused.status, refused.body)
        case Kind.HTTP_404:
            refused = Refused(404, "NOT_FOUND", "not found")
            return _json(refused.status, refused.body)
        case Kind.HTTP_429:
            return _json(429, TOO_MANY)
        case Kind.HTTP_502:
            return _text(502, CDN_PAGE, "text/html")
        case Kind.TRUNCATED:
            return _text(200, text[: len(text) // 2])
        case Kind.REDIRECT:
            return web.Response(status=307, headers={"Location": fault.location})
        case Kind.OVERSIZED:
            return await padded(request, fault.size, text)
        case Kind.RESET:
            return reset(request)
        case _:
            return _json(500, BROKEN)


def _unauthorized() -> web.Response:
    response = _text(401, UNAUTHORIZED, "text/plain")
    response.charset = "utf-8"
    response.headers["Trace-Id"] = "0"
    return response


def _json(status: int, body: dict[str, Any]) -> web.Response:
    return _text(status, json.dumps(body))


def _text(status: int, text: str, content_type: str = "application/json") -> web.Response:
    return web.Response(status=status, body=text.encode(), content_type=content_type)
