"""A simulated venue with many desks that all hold the same instruments: python -m tests.bench.venue DESKS HELD"""

from __future__ import annotations

import asyncio
import sys
import time
from decimal import Decimal

from reconciler_service.simulator import server
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.records import Market, Mode
from reconciler_service.simulator.wallet import Position
from tests.bench.machine import listening

UNLIMITED = 10**9
SIZE, PRICE, LEVERAGE = Decimal("0.25"), Decimal("42000.5"), 1


def address(desk: int) -> str:
    return f"0x{desk + 1:040x}"


def symbol(number: int) -> str:
    return f"V{number}"


async def main(desks: int, held: int) -> None:
    markets = [Market(symbol(n), 2, 10, Decimal("42500.5")) for n in range(held)]
    exchange = Exchange(lambda: time.time_ns() // 1_000_000, [], markets)
    for desk in range(desks):
        exchange.open_account(address(desk))
        exchange.deposit(address(desk), Decimal(10**9), "")
        wallet = exchange.account(address(desk)).wallet("")
        # Put there, not traded: the venue would value the whole wallet before each of the trades. Isolated margin, at
        # no leverage: cross liquidation prices depend on every other position, and cost the simulator their product.
        for market in markets:
            cost = SIZE * PRICE
            wallet.positions[market.coin] = Position(market.coin, LEVERAGE, Mode.ISOLATED, SIZE, cost)
    running = await server.serve(exchange, budget=Budget(time.monotonic, limit=UNLIMITED))
    listening(int(running.url.rpartition(":")[2]))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
