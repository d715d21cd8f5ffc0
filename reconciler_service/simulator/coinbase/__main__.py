"""``python -m reconciler_service.simulator.coinbase``: a SIMULATED Coinbase on a local port, until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from reconciler_service.simulator.coinbase import keys, scenario
from reconciler_service.simulator.coinbase.server import serve

log = logging.getLogger("simulator")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m reconciler_service.simulator.coinbase",
        description="Serve a SIMULATED Coinbase: GET /api/v3/brokerage as at the venue, our controls under /control.",
    )
    parser.add_argument("key_file", type=Path, help="where to write the key that may read it (COINBASE_KEY_FILE)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8101, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of faults (default: %(default)s)")
    parser.add_argument("--allow-remote", action="store_true", help="listen beyond loopback; there is no password")
    return parser.parse_args(arguments)


async def run(options: argparse.Namespace) -> None:
    key, key_file = keys.new_key()
    await asyncio.to_thread(keys.write, options.key_file, key_file)
    portfolio = scenario.new_portfolio(lambda: time.time_ns() // 1_000_000)
    server = await serve(
        portfolio, [key], options.host, options.port, seed=options.seed, allow_remote=options.allow_remote
    )
    log.warning("SIMULATED Coinbase at %s: no real exchange, no real money", server.url)
    log.warning("VENUES=simulated COINBASE_API_URL=%s COINBASE_KEY_FILE=%s", server.url, options.key_file)
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    try:
        await stop.wait()
    finally:
        await server.close()


def main() -> int:
    options = parse_arguments()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        asyncio.run(run(options))
    except (OSError, ValueError) as error:
        log.error("SIMULATED Coinbase did not start: %s", error)  # noqa: TRY400 - the message says it all
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
