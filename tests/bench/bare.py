"""What calls cost by themselves, without gRPC's own share: python -m tests.bench.bare --help

The guard, the servicer and the ledger in this process, over the embedded PostgreSQL; microseconds of CPU for each call,
fill or price. --profile shows in which functions. The whole service is measured by tests.bench.speed.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1 import position_service_pb2_grpc as rpc

from grpckit import log as logs
from grpckit.guard import Guard
from grpckit.methods import methods_of
from position_service import database
from position_service.app import SERVICES
from position_service.domain.risk import Rules
from position_service.embedded import EmbeddedPostgres
from position_service.errors import translate
from position_service.ledger.history import History
from position_service.ledger.ledger import Ledger
from position_service.ledger.store import Store
from position_service.reads import Reads
from position_service.servicer import Contexts, PositionServicer
from position_service.settings import PositionSettings
from position_service.watch import Log, Watching
from tests.bench.calls import fill, opening

INSTRUMENTS = 100


class NoNetwork:
    """A call's context as far as the guard asks for it."""

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def time_remaining(self) -> None:
        return None

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()


class Calls:
    """The guarded methods of one service, by name."""

    def __init__(self, ledger: Ledger, store: Store) -> None:
        history, rules, retention = History(store), Rules(), timedelta(days=1)
        log = Log(ledger, history, Watching())
        servicer = PositionServicer(ledger, history, Reads(ledger, history, retention), log, Contexts(rules), retention)
        self._methods = methods_of(SERVICES[0])
        self._guard = Guard(translate=translate)
        self._guard.warm(self._methods)
        self._handlers: dict[str, Any] = {}
        rpc.add_PositionServiceServicer_to_server(servicer, self)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """As a server; the same handlers come by name."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        self._handlers = self._guard.wrap(self._methods, handlers)

    async def ask(self, method: str, request: Any) -> bytes:
        answer: bytes = await self._handlers[method].unary_unary(request.SerializeToString(), NoNetwork())
        return answer

    async def cpu_s(self, method: str, requests: Sequence[Any], in_flight: int) -> float:
        """Seconds of this process for all of them, so many at a time."""
        call, bodies = self._handlers[method].unary_unary, iter([one.SerializeToString() for one in requests])

        async def one_after_the_other() -> None:
            for body in bodies:
                await call(body, NoNetwork())

        gc.collect()
        began = time.process_time()
        await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))
        return time.process_time() - began


async def polled(calls: Calls) -> Callable[[], list[Any]]:
    opened = pb.OpenPositionResponse.FromString(await calls.ask("OpenPosition", opening())).position
    price = pb.PriceUpdate(symbol=opened.symbol, price="42500")
    await calls.ask("UpdatePrices", pb.UpdatePricesRequest(prices=[price]))
    return lambda: [pb.GetPositionRequest(position_id=opened.position_id)] * 10_000


async def opened(calls: Calls) -> Callable[[], list[Any]]:
    return lambda: [opening() for _ in range(2_500)]


async def filled(calls: Calls) -> Callable[[], list[Any]]:
    def batch() -> pb.RecordFillsRequest:
        sides = ((n % INSTRUMENTS, n % (2 * INSTRUMENTS) < INSTRUMENTS) for n in range(1_000))
        return pb.RecordFillsRequest(account="main", fills=[fill(f"F{n}", is_buy=buy) for n, buy in sides])

    return lambda: [batch() for _ in range(20)]


async def priced(calls: Calls) -> Callable[[], list[Any]]:
    symbols = [f"P{n}" for n in range(10_000)]
    parts = [symbols[start : start + 1_000] for start in range(0, len(symbols), 1_000)]
    for part in parts:
        await calls.ask("RecordFills", pb.RecordFillsRequest(account="main", fills=[fill(one) for one in part]))
    prices = [[pb.PriceUpdate(venue="hyperliquid", symbol=one, price="42.5") for one in part] for part in parts]
    return lambda: [pb.UpdatePricesRequest(prices=each) for each in prices] * 4


# Method, in flight, how many a call, what to ask.
KINDS: dict[str, tuple[str, int, int, Any]] = {
    "get": ("GetPosition", 64, 1, polled),
    "open": ("OpenPosition", 256, 1, opened),
    "fills": ("RecordFills", 4, 1_000, filled),
    "prices": ("UpdatePrices", 4, 1_000, priced),
}


@contextmanager
def folder() -> Iterator[Path]:
    """In /tmp: socket paths must be short, and the server's user enters it."""
    made = Path(tempfile.mkdtemp(prefix="tu-bare-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def measure(kind: str, dsn: str, rounds: int, at_once: int | None, *, profile: bool) -> None:
    method, usual, each, prepare = KINDS[kind]
    in_flight = at_once or usual
    store = Store(dsn)
    ledger = Ledger(store, linger_s=PositionSettings().commit_linger_ms / 1000)
    await ledger.start()
    calls = Calls(ledger, store)
    requests = await prepare(calls)
    await calls.cpu_s(method, requests(), in_flight)  # statements are prepared
    found = [await calls.cpu_s(method, made, in_flight) / len(made) for made in (requests() for _ in range(rounds))]
    least, most = (1e6 * chosen(found) / each for chosen in (min, max))
    sys.stdout.write(f"{kind}: {least:.1f} us of CPU each in the best of {rounds} rounds, {most:.1f} in the worst\n")
    if profile:
        seen = cProfile.Profile()
        seen.enable()
        await calls.cpu_s(method, requests(), in_flight)
        seen.disable()
        pstats.Stats(seen).sort_stats("tottime").print_stats(30)
    await ledger.stop()


async def main(kinds: Sequence[str], rounds: int, at_once: int | None, *, profile: bool) -> None:
    with folder() as made, (made / "log").open("w") as log:
        logs.configure("INFO", "json", log)
        for kind in kinds:
            server = EmbeddedPostgres(made / kind)
            await server.start()
            try:
                await database.prepare(server.dsn)
                await measure(kind, server.dsn, rounds, at_once, profile=profile)
            finally:
                await server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0], prog="python -m tests.bench.bare")
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--rounds", type=int, default=6, help="the best of them counts (%(default)s)")
    parser.add_argument("--in-flight", type=int, help="calls at a time, instead of what make bench has of each kind")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    asked = parser.parse_args()
    if unknown := set(asked.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    asyncio.run(main(asked.kinds, asked.rounds, asked.in_flight, profile=asked.profile))
