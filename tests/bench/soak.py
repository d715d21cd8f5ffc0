"""A long, random life of several desks, with the truth kept beside it: which drifts were planted, and which were seen.

Each instrument of each desk is in one of these states, and only its own actor moves it on:

agree    -> the bot trades; its fill is booked a moment later, within the confirmation delay: never a drift. On a machine
            that is busy with other things it may take longer: what is seen meanwhile is true, and counted apart
planted  -> the venue was changed and the book will not be told: a drift of the planted kind must be streamed
mending  -> the drift was seen; it is resolved through the API, or the late fill is booked at last

Meanwhile the venue misbehaves at random. A drift that was not planted is false; one that is never seen is missed.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal

import grpc
from trueup.position.v1 import position_service_pb2 as position_pb
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from grpckit.channel import follow
from reconciler_service.simulator.faults import Kind
from reconciler_service.simulator.records import Mode
from tests.bench.desks import Account, Stack, booked

Lost = list[position_pb.Fill]
PATIENCE_S = 120.0  # for one drift to be seen or mended: far longer than any fault lasts, so that a miss is a miss

SIZE, GONE, LEVERAGE, SIDE, UNBOOKED = "SIZE", "MISSING_AT_VENUE", "LEVERAGE", "SIDE", "MISSING_LOCALLY"
# What a planted change may show as besides its own kind: what was traded has another entry price as well.
ALLOWED = {
    SIZE: {SIZE, "ENTRY_PRICE"},
    GONE: {GONE},
    LEVERAGE: {LEVERAGE},
    SIDE: {SIDE, SIZE, "ENTRY_PRICE"},
    UNBOOKED: {UNBOOKED},
}

CALLS = ("clearinghouseState", "userFillsByTime", "meta", "perpDexs")
FAULTS: dict[Kind, dict[str, object]] = {
    Kind.HTTP_429: {},
    Kind.HTTP_500: {},
    Kind.HTTP_502: {},
    Kind.TRUNCATED: {},
    Kind.RESET: {},
    Kind.PARTIAL_SCOPE: {"dex": "xyz"},
    Kind.SLOW: {"delay_s": 0.2},
    Kind.EMPTY: {},
    Kind.NAN: {},
    Kind.STALE: {},
    Kind.CLOCK_SKEW: {"skew_ms": -30_000},
    Kind.FLOAT_NOISE: {},
    Kind.LATE_FILLS: {"delay_s": 0.5},
    Kind.LOST_FILLS: {},
    Kind.DUPLICATE_FILLS: {},
}
COINS = {"BTC": "0.01", "ETH": "0.05", "SOL": "1", "HYPE": "2", "xyz:TSLA": "0.1"}
UNHELD = "ARB"


@dataclass(slots=True)
class Tally:
    """What happened, counted."""

    cycles: int = 0  # desks looked at, compared and recorded
    rounds: int = 0
    unanswered: int = 0  # rounds that failed as a whole
    in_flight: int = 0  # fills that reached the book late, but in time
    late: int = 0  # drifts of fills that took longer into the book than the confirmation waits: true ones
    planted: Counter[str] = field(default_factory=Counter)
    detected: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    resolved: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    rounds_to_detect: list[int] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)  # book and venue at the end


@dataclass(slots=True)
class Instrument:
    """The truth of one instrument of one desk."""

    account: Account
    coin: str
    planted: str = ""
    # Of the newest fills: executed, booked; seconds since the epoch.
    flights: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=4))
    seen: asyncio.Event = field(default_factory=asyncio.Event)
    open_drifts: dict[str, str] = field(default_factory=dict)  # id to kind
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Soak:
    """Runs the actors, the cycles and the subscriber; ``tally`` is the result."""

    def __init__(
        self, stack: Stack, *, seed: int, in_flight_s: float, confirm_after_s: float, say: Callable[[Tally], None]
    ) -> None:
        self.tally = Tally()
        self._stack = stack
        self._random = random.Random(seed)
        self._in_flight_s = in_flight_s
        self._confirm_after_s = confirm_after_s
        self._say = say
        self._instruments = {
            (account.name, coin): Instrument(account, coin) for account in stack.accounts for coin in (*COINS, UNHELD)
        }
        self._stopping = False

    def stop(self) -> None:
        """Plant nothing more; ``run`` ends once what is planted is seen and mended."""
        self._stopping = True

    async def run(self, cycles: int) -> Tally:
        """Until so many cycles are done, or it is told to stop, then until everything planted is seen and mended."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch())
            actors = [group.create_task(self._live(one)) for one in self._instruments.values()]
            spoiling = group.create_task(self._spoil())
            cycling = group.create_task(self._cycle())
            while self.tally.cycles < cycles and not (cycling.done() or self._stopping):
                await asyncio.sleep(0.1)
            self._stopping = True
            spoiling.cancel()
            self._stack.venue.faults.clear()
            await asyncio.gather(*actors)
            await self._compare()
            for task in (cycling, watching):
                task.cancel()
        return self.tally

    async def _cycle(self) -> None:
        """One cycle after the other, all desks in each."""
        while True:
            try:
                done = await self._stack.reconciler.Reconcile(pb.ReconcileRequest(), timeout=60)
                runs = (done.run, *done.other_runs)
                self.tally.cycles += len({check.account for run in runs for check in run.checks})
            except grpc.aio.AioRpcError:
                self.tally.unanswered += 1
            self.tally.rounds += 1
            self._say(self.tally)

    async def _watch(self) -> None:
        """Judge every drift event by the truth."""
        stub = self._stack.drifts
        start = lambda after: stub.StreamDriftEvents(pb.StreamDriftEventsRequest(after_revision=after))  # noqa: E731
        async for message in follow(start):
            for event in message.events:
                self._judge(event)

    def _judge(self, event: pb.DriftEvent) -> None:
        drift = event.drift
        one = self._instruments[drift.account, drift.symbol]
        kind = drift_pb2.DriftKind.Name(drift.kind).removeprefix("DRIFT_KIND_")
        if drift.status == drift_pb2.DRIFT_STATUS_RESOLVED:
            one.open_drifts.pop(drift.drift_id, None)
            self.tally.resolved[drift.resolution] += 1
        else:
            one.open_drifts[drift.drift_id] = kind
            if self._is_late(one, drift):
                self.tally.late += 1
            elif kind not in ALLOWED.get(one.planted, ()):
                self.tally.false.append(f"{drift.account} {drift.symbol} {kind}: {drift.summary}")
            elif kind == one.planted:
                cause = drift_pb2.DriftCause.Name(drift.explanation.cause).removeprefix("DRIFT_CAUSE_")
                self.tally.causes[cause] += 1
                one.seen.set()
        one.changed.set()

    def _is_late(self, one: Instrument, drift: drift_pb2.Drift) -> bool:
        """Whether the book was read while a fill had been on its way for longer than a confirmation waits."""
        read_at = drift.local.observed_at.ToMicroseconds() / 1e6
        return not one.planted and any(began + self._confirm_after_s < read_at <= ended for began, ended in one.flights)

    # -- what happens to one instrument ----------------------------------------------------------

    async def _live(self, one: Instrument) -> None:
        while not self._stopping:
            await asyncio.sleep(self._random.uniform(0.02, 1.0))
            for drift_id, kind in list(one.open_drifts.items()):
                await self._resolve(drift_id, kind)
            if one.coin == UNHELD or self._random.random() < 0.1:
                await self._drift(one)
            else:
                await self._trade(one)

    async def _trade(self, one: Instrument) -> None:
        """A bot trades, and books its fill a moment later."""
        began = time.time()
        one.flights.append((began, math.inf))
        fills = self._executed(one, self._random.random() < 0.5)
        await asyncio.sleep(self._random.uniform(0, self._in_flight_s))
        await self._book(one, fills)
        one.flights[-1] = began, time.time()
        self.tally.in_flight += 1

    async def _drift(self, one: Instrument) -> None:
        """Plant a drift, wait until it is seen, mend it."""
        kind = UNBOOKED if one.coin == UNHELD else self._random.choice([SIZE, SIZE, GONE, LEVERAGE, SIDE])
        one.seen.clear()
        one.planted, since = kind, self.tally.rounds
        lost = self._plant(one, kind)
        self.tally.planted[kind] += 1
        if not await _within(one.seen.wait()):
            self.tally.missed.append(f"{one.account.name} {one.coin} {kind}")
            return
        self.tally.detected[kind] += 1
        self.tally.rounds_to_detect.append(self.tally.rounds - since)
        await self._mend(one, lost)
        if one.coin == UNHELD:  # flat again, and on both sides
            await self._book(one, [booked(f) for f in self._stack.exchange.close(one.account.address, one.coin)])
            await self._until_settled(one)
        elif kind == GONE:
            size = Decimal(COINS[one.coin]) * 50
            fills = self._stack.exchange.trade(one.account.address, one.coin, True, size)
            await self._book(one, [booked(fill) for fill in fills], leverage=True)
        one.planted = ""

    def _plant(self, one: Instrument, kind: str) -> Lost:
        """Change the venue; the fills that the book will not be told."""
        exchange, address = self._stack.exchange, one.account.address
        if kind == LEVERAGE:
            current, mode = exchange.account(address).settings[one.coin]
            exchange.set_leverage(address, one.coin, 2 if current != 2 else 4, mode)
            return []
        if kind == UNBOOKED:
            exchange.set_leverage(address, one.coin, 3, Mode.CROSS)
            return [booked(fill) for fill in exchange.trade(address, one.coin, True, Decimal(100))]
        held = self._held(one)
        if kind == GONE:
            act = exchange.liquidate if self._random.random() < 0.3 else exchange.close
            return [booked(fill) for fill in act(address, one.coin)]
        if kind == SIDE:
            return [booked(fill) for fill in exchange.trade(address, one.coin, held < 0, abs(held) * 2)]
        return self._executed(one, self._random.random() < 0.5)

    def _executed(self, one: Instrument, is_buy: bool) -> Lost:
        """A small trade; never one that closes or turns the position, that would be another plant."""
        size, held = Decimal(COINS[one.coin]), self._held(one)
        is_buy = is_buy if abs(held) > 3 * size else held > 0
        return [booked(fill) for fill in self._stack.exchange.trade(one.account.address, one.coin, is_buy, size)]

    def _held(self, one: Instrument) -> Decimal:
        market = self._stack.exchange.market(one.coin)
        return self._stack.exchange.account(one.account.address).wallet(market.dex).positions[one.coin].size

    async def _mend(self, one: Instrument, lost: Lost) -> None:
        """Resolve through the API; the fills may arrive late instead. Done when no case is open."""
        late = bool(lost) and self._random.random() < 0.3
        if late:
            await self._book(one, lost, leverage=one.planted in {SIDE, UNBOOKED})
        until = time.monotonic() + PATIENCE_S
        while one.open_drifts or not await self._agrees(one):
            if time.monotonic() > until:
                self.tally.missed.append(f"{one.account.name} {one.coin} {one.planted}: not mended, {one.open_drifts}")
                return
            one.changed.clear()
            for drift_id, kind in list(one.open_drifts.items()):
                await self._resolve(drift_id, kind)
            await _within(one.changed.wait(), 0.5)

    async def _resolve(self, drift_id: str, kind: str) -> None:
        """Refusals are ordinary: the case may be over, or show what is no longer so. The next round asks again."""
        adopt = kind in {LEVERAGE, "ENTRY_PRICE"} or self._random.random() < 0.5
        action = pb.RESOLVE_ACTION_ADOPT_VENUE if adopt else pb.RESOLVE_ACTION_APPLY_FILLS
        request = pb.ResolveDriftRequest(drift_id=drift_id, action=action, reason="soak")
        try:
            await self._stack.reconciler.ResolveDrift(request, timeout=30)
        except grpc.aio.AioRpcError as error:
            if error.code() in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}:
                raise

    async def _until_settled(self, one: Instrument) -> None:
        """Until no case of the instrument is open, so that a late event is not taken for a false one."""
        until = time.monotonic() + PATIENCE_S
        while one.open_drifts and time.monotonic() < until:
            one.changed.clear()
            await _within(one.changed.wait(), 0.5)

    async def _book(self, one: Instrument, fills: Lost, *, leverage: bool = False) -> None:
        if leverage:
            value, _ = self._stack.exchange.account(one.account.address).settings[one.coin]
            for fill in fills:
                fill.leverage = str(value)
        await self._stack.book.RecordFills(
            position_pb.RecordFillsRequest(account=one.account.name, fills=fills), timeout=30
        )

    async def _agrees(self, one: Instrument) -> bool:
        """Whether book and venue hold the same of it, and at the same leverage."""
        request = position_pb.ListPositionsRequest(account=one.account.name, symbol=one.coin)
        listed = (await self._stack.book.ListPositions(request, timeout=30)).positions
        market = self._stack.exchange.market(one.coin)
        held = self._stack.exchange.account(one.account.address).wallet(market.dex).positions.get(one.coin)
        if not listed or held is None:
            return not listed and held is None
        (position,) = listed
        signed = Decimal(position.size) if position.side == 1 else -Decimal(position.size)
        return signed == held.size and (one.planted != LEVERAGE or Decimal(position.leverage) == held.leverage)

    # -- around them -----------------------------------------------------------------------------

    async def _spoil(self) -> None:
        """One fault after the other, for one to three answers of one kind of call."""
        while True:
            await asyncio.sleep(self._random.uniform(0.3, 1.5))
            kind = self._random.choice(list(FAULTS))
            calls = self._random.choice(CALLS)
            count = self._random.randint(1, 3)
            self._stack.venue.fault(kind, types=frozenset({calls}), count=count, **FAULTS[kind])
            self.tally.faults[f"{kind.value} {calls}"] += 1

    async def _compare(self) -> None:
        for one in self._instruments.values():
            if not await self._agrees(one):
                self.tally.differing.append(f"{one.account.name} {one.coin}")


async def _within(waiting: Awaitable[object], seconds: float = PATIENCE_S) -> bool:
    # Not asyncio.wait_for: until Python 3.12 it forgets that it was cancelled when the other is done in the same moment.
    try:
        async with asyncio.timeout(seconds):
            await waiting
    except TimeoutError:
        return False
    return True
