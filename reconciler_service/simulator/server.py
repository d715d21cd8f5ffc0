"""Puts a SIMULATED venue on a socket: Hyperliquid's ``POST /info``, and our own control API beside it.

Every answer carries ``Server: SIMULATED``. Loopback only unless told otherwise: the control API has no password.
There is no ``/exchange`` and never will be. ``/ws`` is the WebSocket.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import socket
import struct
import time
from collections import Counter
from decimal import Decimal
from typing import Any

from aiohttp import web

from reconciler_service.simulator import info
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.control import Control
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.faults import Fault, FaultPlan, Kind
from reconciler_service.simulator.push import IDLE_S, HyperliquidTalk
from reconciler_service.simulator.records import UnknownMarketError
from reconciler_service.simulator.sockets import Sockets
from reconciler_service.simulator.wire import Style

LARGEST_REQUEST = 64 * 1024
SHUTDOWN_S = 2.0
NOT_DESERIALIZED = "Failed to deserialize the JSON body into the target type"
CDN_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>The request could not be satisfied.</body></html>"


class InfoServer:
    """The ``/info`` endpoint: budget, faults, answer, in that order."""

    def __init__(self, exchange: Exchange, plan: FaultPlan, budget: Budget, style: Style) -> None:
        self.exchange = exchange
        self.plan = plan
        self.budget = budget
        self.style = style
        self.requests: Counter[str] = Counter()
        self.stopping = asyncio.Event()
        self.sockets = Sockets(exchange.watchers, plan, self.stopping)
        self.idle_s = IDLE_S
        self._users: Counter[str] = Counter()

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket."""
        if fault := self.plan.take("ws/connect", None).replacing:
            return await _spoiled(request, fault, "null")
        return await self.sockets.converse(
            request, HyperliquidTalk(self.exchange, self.style, self._users, self.idle_s)
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            body = json.loads(await request.read(), parse_float=Decimal)
            kind, dex = info.parse(body)
        except (ValueError, RecursionError):
            return _unprocessable()
        client = request.remote or ""
        self.requests[kind] += 1
        if not self.budget.spend(client, info.weight(kind)):
            return _null(429)
        faults = self.plan.take(kind, dex)
        if slow := faults.get(Kind.SLOW):
            await self._wait(slow.delay_s)
        if faults.get(Kind.HANG):
            await self.stopping.wait()
        try:
            answer = info.answer(self.exchange, body, faults, self.style)
        except info.BadRequestError:
            return _unprocessable()
        except UnknownMarketError:
            return _null(500)
        self.budget.add(client, info.surcharge(kind, answer))
        text = json.dumps(answer, separators=(",", ":"))
        if fault := faults.replacing:
            return await _spoiled(request, fault, text)
        return _body(200, text)

    async def _wait(self, seconds: float) -> None:
        """Sleep, but not past the server's end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)


class RunningServer:
    """A server on a socket. ``url`` has no trailing slash; ``close`` may be called twice."""

    def __init__(self, runner: web.AppRunner, endpoint: InfoServer, url: str) -> None:
        self.url = url
        self.exchange = endpoint.exchange
        self.faults = endpoint.plan
        self.requests = endpoint.requests
        self.sockets = endpoint.sockets
        self._endpoint = endpoint
        self._runner = runner

    def fault(self, kind: Kind, **parameters: Any) -> Fault:
        """Put a fault in force from the same process; over HTTP it is ``POST /control/fault``."""
        return self.faults.add(Fault(kind, **parameters), self.exchange)

    async def close(self) -> None:
        """Answer what hangs, then give back the socket."""
        self._endpoint.stopping.set()
        await self._runner.cleanup()


async def serve(
    exchange: Exchange,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    seed: int = 0,
    style: Style | None = None,
    budget: Budget | None = None,
    allow_remote: bool = False,
) -> RunningServer:
    """Start serving; port 0 takes a free one.

    ``seed`` drives faults that hit only a share of requests. Raises ValueError for a host that is not loopback
    without ``allow_remote``, OSError for a port that is taken.
    """
    endpoint = InfoServer(exchange, FaultPlan(seed), budget or Budget(time.monotonic), style or Style(seed=seed))
    app = web.Application(client_max_size=LARGEST_REQUEST)
    app.router.add_post("/info", endpoint.handle)
    app.router.add_get("/ws", endpoint.listen)
    Control(exchange, endpoint.plan, endpoint.requests).add_to(app)
    runner, url = await listen(app, host, port, allow_remote=allow_remote)
    return RunningServer(runner, endpoint, url)


async def listen(app: web.Application, host: str, port: int, *, allow_remote: bool) -> tuple[web.AppRunner, str]:
    """Put an application on a socket; returns what serves it and its URL. Raises as ``serve`` does."""
    if not (allow_remote or is_loopback(host)):
        raise ValueError(f"{host} is not loopback: the simulator has no password, allow it explicitly")
    app.on_response_prepare.append(say_simulated)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
    except BaseException:
        await runner.cleanup()
        raise
    bound = runner.addresses[0]
    shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
    return runner, f"http://{shown}:{bound[1]}"


async def _spoiled(request: web.Request, fault: Fault, text: str) -> web.StreamResponse:
    """What goes out in place of an answer."""
    match fault.kind:
        case Kind.HTTP_429:
            return _null(429)
        case Kind.HTTP_502:
            return _body(502, CDN_PAGE, "text/html")
        case Kind.TRUNCATED:
            return _body(200, text[: len(text) // 2])
        case Kind.REDIRECT:
            return web.Response(status=307, headers={"Location": fault.location})
        case Kind.OVERSIZED:
            return await padded(request, fault.size, text)
        case Kind.RESET:
            return reset(request)
        case _:
            return _null(500)


async def padded(request: web.Request, size: int, text: str) -> web.StreamResponse:
    """White space before a good answer, written in pieces: neither side has to hold it all."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    piece = b" " * 65_536
    try:
        for at in range(0, size, len(piece)):
            await response.write(piece[: size - at])
        await response.write(text.encode())
    except ConnectionError:
        pass  # a client that stops reading has understood
    return response


def reset(request: web.Request) -> web.Response:
    """Drop the connection with a RST, as a dying load balancer does."""
    transport = request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


def _null(status: int) -> web.Response:
    return _body(status, "null")


def _unprocessable() -> web.Response:
    return _body(422, NOT_DESERIALIZED, "text/plain")


def _body(status: int, text: str, content_type: str = "application/json") -> web.Response:
    # Bytes, not text: the venue names no charset.
    return web.Response(status=status, body=text.encode(), content_type=content_type)


async def say_simulated(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "SIMULATED"


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
