"""A real stack for long runs: PostgreSQL, a Position service, a simulated venue with many desks, one Reconciler."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from trueup.position.v1 import position_service_pb2 as position_pb
from trueup.position.v1.position_service_pb2_grpc import PositionServiceStub
from trueup.reconciler.v1.reconciler_service_pb2_grpc import ReconcilerServiceStub
from trueup.types.v1 import types_pb2

from grpckit.channel import connect
from position_service.app import PositionApp
from position_service.embedded import EmbeddedPostgres
from position_service.settings import PositionSettings
from reconciler_service.app import ReconcilerApp
from reconciler_service.model import Source
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.simulator import scenario, server
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.records import Fill, Mode
from reconciler_service.simulator.server import RunningServer
from reconciler_service.venues.budget import WeightBudget
from reconciler_service.venues.hyperliquid.adapter import Hyperliquid
from reconciler_service.venues.push import socket_url

COLLATERAL = Decimal(10_000_000)  # on each dex: this is about books, not about margin calls
UNLIMITED = 10**9


@dataclass(frozen=True, slots=True)
class Account:
    """One desk: our name for it and its address at the venue."""

    name: str
    address: str


@dataclass(slots=True)
class Stack:
    """What runs, and clients of it."""

    accounts: tuple[Account, ...]
    exchange: Exchange
    venue: RunningServer
    book: PositionServiceStub
    reconciler: ReconcilerServiceStub
    drifts: ReconcilerServiceStub  # over a channel of its own: a stream must not wait behind calls


@asynccontextmanager
async def stack(
    count: int, *, confirm_after_s: float, interval_s: float = 3600.0, push: bool = False
) -> AsyncIterator[Stack]:
    """Start everything; ``count`` desks whose book and venue agree. With ``push`` the venue's WebSocket is listened to."""
    async with AsyncExitStack() as on_exit:
        folder = Path(tempfile.mkdtemp(prefix="trueup-bench-", dir="/tmp"))  # short, as socket paths are
        folder.chmod(0o755)  # noqa: ASYNC240 - nothing else runs yet
        on_exit.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = EmbeddedPostgres(folder)
        await postgres.start()
        on_exit.push_async_callback(postgres.stop)
        position = PositionApp(
            PositionSettings(position_listen="127.0.0.1:0", database_url=postgres.dsn, drain_grace=1)
        )
        address = f"127.0.0.1:{await position.start()}"
        on_exit.push_async_callback(position.stop)

        exchange = scenario.new_exchange(lambda: time.time_ns() // 1_000_000)
        accounts = tuple(Account(f"desk-{n}", f"0x{n + 1:040x}") for n in range(count))
        for account in accounts:
            scenario.seed(exchange, account.address)
            for dex in scenario.COLLATERAL:
                exchange.deposit(account.address, COLLATERAL, dex)
        venue = await server.serve(exchange, budget=Budget(time.monotonic, limit=UNLIMITED))
        on_exit.push_async_callback(venue.close)

        to_position = await on_exit.enter_async_context(connect(address))
        book = PositionServiceStub(to_position)
        for account in accounts:
            await _open_book(book, account.name)

        settings = ReconcilerSettings(
            reconciler_listen="127.0.0.1:0",
            position_address=address,
            reconciliation_interval=interval_s,
            confirmation_delay=confirm_after_s,
            drain_grace=1,
            venues="simulated",
        )
        budget = WeightBudget(UNLIMITED)
        adapters = [
            Hyperliquid(
                account.address,
                source=Source.SIMULATED,
                account=account.name,
                base_url=venue.url,
                budget=budget,
                push_urls=(socket_url(venue.url),) if push else (),
            )
            for account in accounts
        ]
        app = ReconcilerApp(settings, adapters)
        served = f"127.0.0.1:{await app.start()}"
        on_exit.push_async_callback(app.stop)
        calls = await on_exit.enter_async_context(connect(served))
        streams = await on_exit.enter_async_context(connect(served, watching=True))
        yield Stack(accounts, exchange, venue, book, ReconcilerServiceStub(calls), ReconcilerServiceStub(streams))


async def _open_book(book: PositionServiceStub, account: str) -> None:
    for held in scenario.book():
        await book.OpenPosition(
            position_pb.OpenPositionRequest(
                account=account,
                symbol=held.coin,
                asset=held.asset,
                product=types_pb2.PRODUCT_PERPETUAL,
                side=types_pb2.SIDE_LONG if held.is_long else types_pb2.SIDE_SHORT,
                size=f"{held.size:f}",
                entry_price=f"{held.entry_price:f}",
                leverage=str(held.leverage),
                margin_mode=types_pb2.MARGIN_MODE_CROSS if held.mode is Mode.CROSS else types_pb2.MARGIN_MODE_ISOLATED,
            )
        )


def booked(fill: Fill) -> position_pb.Fill:
    """A fill of the venue as a bot that saw it would book it."""
    made = position_pb.Fill(
        symbol=fill.coin,
        asset=f"{fill.coin.rpartition(':')[2]}/USD",
        product=types_pb2.PRODUCT_PERPETUAL,
        fill_id=f"{fill.coin}-{fill.oid}-{fill.tid}-{fill.time}-{'B' if fill.is_buy else 'A'}",
        is_buy=fill.is_buy,
        size=f"{fill.size:f}",
        price=f"{fill.price:f}",
        fee=f"{fill.fee:f}",
        fee_currency=fill.fee_token,
    )
    made.executed_at.FromMilliseconds(fill.time)
    return made
