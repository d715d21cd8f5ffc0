"""Clients that put a ledger under load and write down everything: writers, a feeder of fills, readers, watchers.

Whatever goes wrong is repeated with the same request id until there is an answer, as the README tells every client. What
each client does next is drawn from the seed; when it gets its turn is the machine's to say.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
from trueup.position.v1 import position_service_pb2 as pb
from trueup.position.v1.position_service_pb2_grpc import PositionServiceStub

from grpckit.channel import connect, watch
from grpckit.errors import RpcError, from_rpc
from tests.torture.history import History, Operation, Watched
from tests.torture.moves import BEGAN, SYMBOLS, Fills, next_move

Code = grpc.StatusCode
# What a client that follows the contract repeats; INTERNAL leaves open whether the change happened, as these do.
REPEATED = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.CANCELLED, Code.INTERNAL}
REFUSALS = {Code.NOT_FOUND, Code.ALREADY_EXISTS, Code.FAILED_PRECONDITION, Code.ABORTED}


@dataclass(frozen=True, slots=True)
class Size:
    """How much of what."""

    writers: int = 8
    accounts: int = 3
    feeders: int = 1
    batch: int = 100  # fills
    readers: int = 2
    watchers: int = 3
    pause_s: float = 0.0  # between two calls of one client
    call_s: float = 5.0  # the deadline of a call


class Server:
    """A way to one process, given up when that is gone."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.channel = connect(address)
        self.streams = connect(address, watching=True)
        self.stub: Any = PositionServiceStub(self.channel)
        self.watching: Any = PositionServiceStub(self.streams)

    async def close(self) -> None:
        await self.channel.close()
        await self.streams.close()


class Load:
    """Clients of one ledger. ``servers`` are those they may use now; while there are none they wait."""

    def __init__(self, name: str, seed: int, size: Size) -> None:
        self.name = name
        self.history = History()
        self._size = size
        self._random = random.Random(seed)
        self._servers: list[Server] = []
        self._left: list[Server] = []
        self._up = asyncio.Event()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = iter(range(1, 1 << 60))
        self.answered = self.filled = 0  # calls, and the fills among them
        self._checked = self._highest = 0  # of the operations, for _last_acknowledged

    # -- around the clients ----------------------------------------------------------------------

    def use(self, *addresses: str) -> None:
        """From now on these are the servers."""
        gone = [one for one in self._servers if one.address not in addresses]
        kept = [one for one in self._servers if one.address in addresses]
        known = {one.address for one in kept}
        self._servers = kept + [Server(address) for address in addresses if address not in known]
        self._left += gone
        self._up.set() if self._servers else self._up.clear()

    def start(self) -> None:
        size = self._size
        lives: list[Any] = [self._write(random.Random(self._random.random())) for _ in range(size.writers)]
        lives += [self._feed(n, random.Random(self._random.random())) for n in range(size.feeders)]
        lives += [self._read(random.Random(self._random.random())) for _ in range(size.readers)]
        lives += [self._watch(n, random.Random(self._random.random())) for n in range(size.watchers)]
        lives += [self._mark(), self._look_back(random.Random(self._random.random()))] if size.readers else []
        self._tasks = [asyncio.create_task(life) for life in lives]

    async def more(self, count: int, deadline_s: float = 60.0) -> None:
        """Wait until so many more calls are answered."""
        await self._until(lambda: self.answered, count, "calls", deadline_s)

    async def fills(self, count: int, deadline_s: float = 120.0) -> None:
        """Wait until so many more fills are booked."""
        await self._until(lambda: self.filled, count, "fills", deadline_s)

    async def _until(self, done: Callable[[], int], count: int, what: str, deadline_s: float) -> None:
        goal, until = done() + count, time.monotonic() + deadline_s
        while done() < goal:
            for task in self._tasks:
                if task.done():
                    task.result()
            if time.monotonic() > until:
                raise TimeoutError(f"{self.name}: {goal - done()} of {count} {what} were not answered")
            await asyncio.sleep(0.005)

    async def stop(self, deadline_s: float = 60.0) -> None:
        """Let every client finish what it is at, the watchers up to the last event; then end."""
        self._stop.set()
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.gather(*self._tasks)
        finally:
            await self.give_up()

    async def give_up(self) -> None:
        """End at once, whatever the clients are at."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in (*self._servers, *self._left):
            await server.close()

    @property
    def _over(self) -> bool:
        return self._stop.is_set()

    async def _server(self, chance: random.Random) -> Server:
        while not self._servers:
            await self._up.wait()
        return chance.choice(self._servers)

    # -- one call --------------------------------------------------------------------------------

    async def call(self, request: Any, chance: random.Random, *, is_write: bool = True) -> Operation:
        """One operation, repeated until it is answered or refused; a read that fails is given up."""
        operation = self.history.begin(request)
        while True:
            server = await self._server(chance)
            try:
                answer = await getattr(server.stub, operation.method)(request, timeout=self._size.call_s)
            except grpc.aio.AioRpcError as raw:
                error = from_rpc(raw)
                operation.ended = time.monotonic_ns()
                if error.code in REFUSALS:
                    operation.refusal, operation.refused_by = error, server.address
                    self.history.note(error)
                    break
                self._failed(operation.method, error)
                if not is_write:
                    operation.ended = 0
                    break
                self.history.repeated += 1
                operation.given_up.add(server.address)
                operation.ended = 0
                await asyncio.sleep(0.02)
            else:
                operation.ended, operation.answer = time.monotonic_ns(), answer
                break
        self.answered += 1
        if self._size.pause_s:
            await asyncio.sleep(self._size.pause_s)
        return operation

    def _failed(self, method: str, error: RpcError) -> None:
        self.history.note(error)
        if error.code not in REPEATED:
            self.history.wrong.append(f"code: {method} ended with {error}")
        elif error.code is Code.INTERNAL and any(word in str(error) for word in ("Traceback", "asyncpg", "SELECT")):
            self.history.wrong.append(f"code: {method} told its insides: {error}")

    # -- writers ---------------------------------------------------------------------------------

    async def _write(self, chance: random.Random) -> None:
        """A random life: mostly sensible by what was last seen, sometimes blind, now and then a repetition."""
        seen: dict[tuple[str, str], Any] = {}
        last: Operation | None = None
        while not self._over:
            account = f"{self.name}-{chance.randrange(self._size.accounts)}"
            symbol = chance.choice(SYMBOLS)
            known = None if chance.random() < 0.1 else seen.get((account, symbol))
            request = next_move(account, symbol, f"{self.name}-{next(self._numbers)}", known, chance)
            last = await self.call(request, chance)
            if last.answer is not None:
                seen[account, symbol] = last.answer.position
                if chance.random() < 0.05:
                    await self._repeat(last, chance)
            elif last.refusal is not None:
                looked = await self.call(pb.GetPositionRequest(account=account, symbol=symbol), chance, is_write=False)
                seen[account, symbol] = looked.answer.position if looked.answer is not None else None

    async def _repeat(self, first: Operation, chance: random.Random) -> None:
        """The same request again: the first answer again, whatever has happened since."""
        server = await self._server(chance)
        try:
            again = await getattr(server.stub, first.method)(first.request, timeout=self._size.call_s)
        except grpc.aio.AioRpcError as raw:
            error = from_rpc(raw)
            if error.code in REFUSALS:
                self.history.wrong.append(f"forgotten: {first.method} was done, and is refused now: {error}")
            else:
                self._failed(first.method, error)
            return
        self.history.repeated += 1
        if again != first.answer:
            self.history.wrong.append(f"forgotten: {first.method} {first.request.request_id} has another answer now")

    async def _feed(self, number: int, chance: random.Random) -> None:
        fills = Fills(str(number), self._size.batch, chance)
        while not self._over:
            new, again = fills.batch()
            request_id = f"{self.name}-fills-{next(self._numbers)}"
            account = f"{self.name}-fills-{number}"
            request = pb.RecordFillsRequest(account=account, request_id=request_id, fills=[*new, *again])
            done = await self.call(request, chance)
            self.filled += len(new) if done.answer is not None else 0
            if done.answer is not None and done.answer.applied != len(new):
                self.history.wrong.append(f"replay: {done.answer.applied} of {len(new)} new fills were booked")

    # -- readers ---------------------------------------------------------------------------------

    async def _read(self, chance: random.Random) -> None:
        while not self._over:
            account = f"{self.name}-{chance.randrange(self._size.accounts)}"
            if chance.random() < 0.5:
                request: Any = pb.GetPositionRequest(account=account, symbol=chance.choice(SYMBOLS))
            else:
                if self._size.feeders and chance.random() < 0.2:
                    account = f"{self.name}-fills-{chance.randrange(self._size.feeders)}"
                request = pb.ListPositionsRequest(account=account, page_size=1000)
            await self.call(request, chance, is_write=False)
            await asyncio.sleep(0)

    async def _mark(self) -> None:
        """Marks that rise: a client of each instrument, one after the other."""
        chance, price = random.Random(1), 0
        while not self._over:
            price += 1
            symbol = SYMBOLS[price % len(SYMBOLS)]
            request = pb.UpdatePricesRequest(prices=[pb.PriceUpdate(symbol=symbol, price=str(price))])
            request.prices[0].observed_at.FromDatetime(BEGAN + timedelta(microseconds=price))
            sent = time.monotonic_ns()
            acknowledged = 0
            while not acknowledged:
                server = await self._server(chance)
                try:
                    await server.stub.UpdatePrices(request, timeout=self._size.call_s)
                    acknowledged = time.monotonic_ns()
                except grpc.aio.AioRpcError as raw:
                    self._failed("UpdatePrices", from_rpc(raw))
                    await asyncio.sleep(0.02)
                    if self._over:
                        break
            self.history.marks.append((symbol, price, sent, acknowledged))
            await asyncio.sleep(0.01)

    # -- watchers --------------------------------------------------------------------------------

    async def _watch(self, number: int, chance: random.Random) -> None:
        """Follow from the beginning, leave at random, resume at the bookmark; in the end, up to the last event."""
        account = "" if number == 0 else f"{self.name}-{chance.randrange(self._size.accounts)}"
        watched = Watched(account, 0)
        self.history.watched.append(watched)
        while True:
            server = await self._server(chance)
            leave = chance.randint(1, 40) if number else 1 << 60
            await self._connection(server, watched, lambda count, least=leave: count >= least)
            if self._over and watched.bookmark >= self._last_acknowledged():
                return

    async def _look_back(self, chance: random.Random) -> None:
        """Watches from anywhere in the past, each for a while: what the memory has not is read from the tables."""
        while not self._over:
            await asyncio.sleep(chance.uniform(0.05, 0.3))
            server = await self._server(chance)
            known = next((one.bookmark for one in self.history.watched if one.bookmark), 0)
            watched = Watched("", chance.randint(0, known))
            self.history.watched.append(watched)
            await self._connection(server, watched, lambda count: count >= 20)

    async def _connection(self, server: Server, watched: Watched, enough: Callable[[int], bool]) -> None:
        connection = watched.begin()
        call = server.watching.WatchPositions(
            pb.WatchPositionsRequest(account=watched.account, after_revision=connection.after)
        )
        try:
            async with watch(call) as stream:
                async for message in stream:
                    connection.take(message)
                    if enough(len(connection.revisions)):
                        return
                    if self._over and message.revision >= self._last_acknowledged():
                        return
        except grpc.aio.AioRpcError as raw:
            error = from_rpc(raw)
            self._failed("WatchPositions", error)
            await asyncio.sleep(0.02)

    def _last_acknowledged(self) -> int:
        """The revision that watchers have to reach; none can while somebody still writes."""
        if not all(task.done() for task in self._tasks[: self._size.writers + self._size.feeders]):
            return 1 << 60
        operations = self.history.operations
        for one in operations[self._checked :]:
            if one.answer is not None:
                self._highest = max(self._highest, one.answer.revision)
        self._checked = len(operations)
        return self._highest
