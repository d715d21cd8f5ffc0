"""``python -m reconciler_service.simulator``: a SIMULATED Hyperliquid on a local port, until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Sequence

from reconciler_service.simulator import scenario
from reconciler_service.simulator.budget import WEIGHT_PER_MINUTE, Budget
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.records import ExchangeError
from reconciler_service.simulator.server import serve

log = logging.getLogger("simulator")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m reconciler_service.simulator",
        description="Serve a SIMULATED Hyperliquid: POST /info as at the venue, our own controls under /control.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8100, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--address", default=scenario.DESK, help="0x address of the desk (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of marks and faults (default: %(default)s)")
    parser.add_argument("--walk", type=float, default=1.0, metavar="S", help="seconds between mark moves, 0: none")
    parser.add_argument("--story", type=float, default=0.0, metavar="S", help="play the drift story, S seconds apart")
    allowed = "request weight allowed a minute (default: %(default)s, as at the venue)"
    parser.add_argument("--weight", type=int, default=WEIGHT_PER_MINUTE, metavar="N", help=allowed)
    parser.add_argument("--allow-remote", action="store_true", help="listen beyond loopback; there is no password")
    return parser.parse_args(arguments)


async def run(options: argparse.Namespace) -> None:
    exchange = scenario.new_exchange(now=lambda: time.time_ns() // 1_000_000)
    scenario.seed(exchange, options.address)
    budget = Budget(time.monotonic, options.weight)
    server = await serve(
        exchange, options.host, options.port, seed=options.seed, allow_remote=options.allow_remote, budget=budget
    )
    log.warning("SIMULATED Hyperliquid at %s: no real exchange, no real money", server.url)
    log.warning("SIMULATED desk %s holds %d positions", options.address, len(scenario.book()))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    work = []
    if options.walk > 0:
        work.append(asyncio.create_task(_walk(exchange, options.seed, options.walk)))
    if options.story > 0:
        work.append(asyncio.create_task(_tell(exchange, options.address, options.story)))
    try:
        await stop.wait()
    finally:
        for task in work:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await server.close()


async def _walk(exchange: Exchange, seed: int, interval_s: float) -> None:
    walk = scenario.Walk(exchange, seed)
    while True:
        await asyncio.sleep(interval_s)
        walk.step()


async def _tell(exchange: Exchange, address: str, spacing_s: float) -> None:
    try:
        async for step in scenario.play(exchange, address, spacing_s):
            log.warning("SIMULATED %s", step.caption)
    except ExchangeError as error:
        log.warning("SIMULATED story ended early: %s", error)


def main() -> int:
    options = parse_arguments()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        asyncio.run(run(options))
    except (OSError, ValueError, ExchangeError) as error:
        log.error("SIMULATED Hyperliquid did not start: %s", error)  # noqa: TRY400 - the message says it all
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
