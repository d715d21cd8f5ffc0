"""The SIMULATED venues of `trueup up`, the small book that agrees with them at first, and the story that follows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import grpc
from trueup.position.v1 import position_service_pb2, position_service_pb2_grpc
from trueup.types.v1 import types_pb2

from grpckit.errors import StartupError
from grpckit.listen import Listen, why_not
from reconciler_service.simulator import scenario, server
from reconciler_service.simulator.coinbase import keys
from reconciler_service.simulator.coinbase.scenario import COINS, coins_only
from reconciler_service.simulator.coinbase.server import serve as serve_coinbase
from reconciler_service.simulator.records import Mode
from trueup_cli.dial import dial
from trueup_cli.settings import SIMULATOR_URL, CliSettings

COINBASE_LISTEN = "127.0.0.1:8101"  # where `trueup simulate --venue coinbase` looks for it
INTERVAL_S = "2"  # the venues push what changes there; this is for what a visitor changes in the book
STORY = frozenset({step.coin for step in scenario.steps()} | {"BTC-USD"})  # instruments that drift
COINBASE_RATE = "30"  # requests a second: pushes make many looks, of three requests each, and this venue is our own


class Venues:
    """Both venues, served until the stack is left. ``settings`` point a Reconciler at them."""

    def __init__(self, stack: contextlib.AsyncExitStack, say: Callable[[str], None]) -> None:
        self.settings: dict[str, str] = {}
        self._stack = stack
        self._say = say
        self._exchange = scenario.new_exchange(now=_now_ms)
        self._portfolio = coins_only(_now_ms)

    async def start(self, folder: Path) -> None:
        """Serve both; the key of one goes into the folder. Raises StartupError."""
        scenario.seed(self._exchange)
        listen = _listen(CliSettings.load())
        exchange = await server.serve(self._exchange, listen.host, listen.port)
        self._stack.push_async_callback(exchange.close)
        key, key_file = keys.new_key()
        path = folder / "simulated-coinbase-key.json"
        await asyncio.to_thread(keys.write, path, key_file)
        usual = Listen.parse(COINBASE_LISTEN)
        at = usual.port if exchange.url == SIMULATOR_URL and not why_not(usual) else 0
        portfolio = await serve_coinbase(self._portfolio, [key], port=at)
        self._stack.push_async_callback(portfolio.close)
        walking = asyncio.create_task(self._walk())
        self._stack.push_async_callback(_cancelled, walking)
        told = "" if exchange.url == SIMULATOR_URL else f" told SIMULATOR_URL={exchange.url}"
        self._say(f"SIMULATED Hyperliquid at {exchange.url}; `trueup simulate`{told} makes things happen there")
        told = "" if at else f" with --url {portfolio.url}"
        self._say(f"SIMULATED Coinbase at {portfolio.url}; so does `trueup simulate --venue coinbase`{told}")
        self.settings = {
            "VENUES": "simulated",
            "HYPERLIQUID_API_URL": exchange.url,
            "HYPERLIQUID_WS_URL": "",  # the one beside it
            "HYPERLIQUID_KEY": scenario.DESK,
            "COINBASE_API_URL": portfolio.url,
            "COINBASE_WS_URL": "",
            "COINBASE_KEY": "",
            "COINBASE_SECRET": "",
            "COINBASE_KEY_FILE": str(path),
            "COINBASE_REQUESTS_PER_SECOND": COINBASE_RATE,
            "RECONCILIATION_INTERVAL": os.environ.get("RECONCILIATION_INTERVAL", INTERVAL_S),
        }

    async def tell(self, spacing_s: float) -> AsyncIterator[str]:
        """What happens at the venues, one thing after the other, in a trader's words."""
        async for step in scenario.play(self._exchange, spacing_s=spacing_s):
            yield step.caption
        await asyncio.sleep(spacing_s)
        self._portfolio.trade("BTC-USD", is_buy=False, size=Decimal("0.1"))
        yield "A third of the BTC at Coinbase was sold there by hand."

    async def _walk(self) -> None:
        """Marks move a little; a coin costs the same at both venues."""
        walk = scenario.Walk(self._exchange)
        while True:
            await asyncio.sleep(1.0)
            walk.step()
            self._portfolio.set_price("BTC-USD", self._exchange.market("BTC").mark)


async def open_book(address: str, *, coins: bool = False, key: str = "") -> int:
    """Open the positions of the scenario, with ``coins`` those at Coinbase too; how many there are.

    Those that are open already stay as they are.
    """
    requests = _perpetuals() + (_coins() if coins else [])
    async with dial(address, key=key) as to:
        stub = position_service_pb2_grpc.PositionServiceStub(to)
        for request in requests:
            try:
                await stub.OpenPosition(request, timeout=30)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                    raise
    return len(requests)


def _perpetuals() -> list[position_service_pb2.OpenPositionRequest]:
    modes = {Mode.CROSS: types_pb2.MARGIN_MODE_CROSS, Mode.ISOLATED: types_pb2.MARGIN_MODE_ISOLATED}
    return [
        position_service_pb2.OpenPositionRequest(
            venue="hyperliquid",
            symbol=held.coin,
            asset=held.asset,
            side=types_pb2.SIDE_LONG if held.is_long else types_pb2.SIDE_SHORT,
            size=str(held.size),
            entry_price=str(held.entry_price),
            leverage=str(held.leverage),
            margin_mode=modes[held.mode],
            liquidation_price=str(held.liquidation_price or ""),
            reason="the desk's book",
        )
        for held in scenario.book()
    ]


def _coins() -> list[position_service_pb2.OpenPositionRequest]:
    return [
        position_service_pb2.OpenPositionRequest(
            venue="coinbase",
            symbol=f"{coin}-USD",
            asset=f"{coin}/USD",
            product=types_pb2.PRODUCT_SPOT,
            side=types_pb2.SIDE_LONG,
            size=size,
            entry_price=entry_price,
            reason="the desk's book",
        )
        for coin, size, entry_price in COINS
    ]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _listen(settings: CliSettings) -> Listen:
    """Where the simulated Hyperliquid listens: where it is told to, else at its usual port or at a free one.

    Raises StartupError.
    """
    listen = Listen.parse(settings.simulator_listen or "127.0.0.1:0")
    if listen.path or not listen.loopback:
        raise StartupError(f"SIMULATOR_LISTEN: a simulated venue listens on loopback, not on {listen}")
    if problem := why_not(listen):
        if "simulator_listen" in settings.model_fields_set:
            raise StartupError(f"cannot listen on {listen}: {problem}")
        return Listen(listen.host, 0)
    return listen


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
