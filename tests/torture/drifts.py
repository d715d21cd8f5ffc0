"""The pair under fire: drifts are planted at the venue while both services are killed, and while everything misbehaves."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from typing import Any

from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1.reconciler_service_pb2_grpc import ReconcilerServiceStub
from trueup.types.v1 import drift_pb2

from grpckit.channel import connect, follow
from reconciler_service.simulator import scenario
from reconciler_service.simulator.faults import Kind
from tests.bench.desks import stack
from tests.bench.soak import Soak
from tests.e2e.processes import Trio, scratch
from tests.torture.planted import Bug
from tests.torture.run import Box, Run

SEEN_S = 60.0  # for a planted drift to be on the stream, whatever was killed meanwhile
CONFIRM_AFTER_S, IN_FLIGHT_S = 0.25, 0.08
Event = Any


async def drifts(run: Run, seconds: float, share: float) -> None:
    """Venue, Position service and Reconciler as processes; a drift is planted, one of the two is killed, or both."""
    box = Box(run, "drifts", seconds, planted_drift=round(40 * share), service_killed=round(30 * share))
    chance = random.Random(f"{run.seed} drifts")
    with scratch() as folder:
        trio = Trio(folder)
        try:
            await asyncio.to_thread(trio.begin)
            await asyncio.to_thread(trio.settle)
            seen: list[Event] = []
            async with connect(trio.reconciler, watching=True) as channel:
                following = asyncio.create_task(_follow(ReconcilerServiceStub(channel), seen))
                held = {one.coin: one.size if one.is_long else -one.size for one in scenario.book()}
                while box.going():
                    await _plant(run, trio, chance, held, seen)
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            run.wrong("drifts", await asyncio.to_thread(_told_right, trio, seen))
        finally:
            await asyncio.to_thread(trio.stop)
    box.close()


async def _follow(stub: Any, seen: list[Event]) -> None:
    start = lambda after: stub.StreamDriftEvents(pb.StreamDriftEventsRequest(after_revision=after))  # noqa: E731
    async for message in follow(start, 0):
        seen += message.events


async def _plant(run: Run, trio: Trio, chance: random.Random, held: dict[str, Decimal], seen: list[Event]) -> None:
    """Trade at the venue behind the book's back, and wait until a subscriber is told of exactly that."""
    coin = chance.choice(list(held))
    size = abs(held[coin])
    amount = (size / 100).quantize(Decimal("0.01")) or Decimal("0.01")
    side = "buy" if held[coin] > 0 else "sell"  # it only grows: back where the book is, there would be no drift
    began = len(seen)
    await asyncio.to_thread(trio.at_venue, "trade", coin=coin, side=side, size=f"{amount:f}")
    held[coin] += amount if side == "buy" else -amount
    run.count("planted drift")
    if chance.random() < 0.7:
        await asyncio.sleep(chance.uniform(0, 1.2))
        for name in chance.choice((["position"], ["reconciler"], ["position", "reconciler"])):
            await asyncio.to_thread(trio.kill, name)
            run.count("service killed")
            await asyncio.to_thread(trio.start, name)
    try:
        async with asyncio.timeout(SEEN_S):
            while not any(_tells(event, coin, abs(held[coin])) for event in seen[began:]):
                await asyncio.sleep(0.02)
        run.count("planted drift delivered")
    except TimeoutError:
        run.wrong("drifts", [f"missed: {coin} is {held[coin]} at the venue, and nobody was told in {SEEN_S:g} s"])


def _tells(event: Event, coin: str, size: Decimal) -> bool:
    drift = event.drift
    return bool(drift.symbol == coin and drift.kind == drift_pb2.DRIFT_KIND_SIZE and Decimal(drift.actual.size) == size)


def _told_right(trio: Trio, seen: list[Event]) -> list[str]:
    """In order, once, and what the log has: asked of the Position service itself, and of a new subscriber."""
    revisions = [event.revision for event in seen]
    if revisions != sorted(set(revisions)):
        return ["ordered: drift events were repeated or out of order"]
    told = [(event.revision, drift_pb2.DriftEventType.Name(event.type), event.drift.drift_id) for event in seen]
    logged = trio.log_after(0, revisions[-1]) if revisions else []
    missing = set(logged) - set(told)
    return [f"reliable: {len(missing)} drift events of the log were never told"] if missing else []


async def soak(run: Run, seconds: float, share: float) -> None:
    """Fills in flight, planted drifts and a venue that misbehaves: no false drift, none missed."""
    box = Box(run, "soak", seconds, reconciliation_cycle=round(500 * share))
    async with stack(8, confirm_after_s=CONFIRM_AFTER_S) as running:
        soaking = Soak(
            running, seed=run.seed, in_flight_s=IN_FLIGHT_S, confirm_after_s=CONFIRM_AFTER_S, say=lambda _: None
        )
        cycles = max(40, round(500 * share))
        going = asyncio.create_task(soaking.run(cycles))
        while not going.done():
            if run.stopped:
                soaking.stop()
            await asyncio.wait([going], timeout=0.2)
        tally = going.result()
    run.count("reconciliation cycle", tally.cycles)
    run.count("fill in flight", tally.in_flight)
    run.count("drift planted in a soak", tally.planted.total())
    run.count("venue answer spoiled in a soak", sum(tally.faults.values()))
    lines = [f"false: {line}" for line in tally.false] + [f"missed: {line}" for line in tally.missed]
    run.wrong("soak", lines + [f"differs: {line}" for line in tally.differing])
    box.close()


async def caught_by_soak(bug: Bug, seed: int, deadline_s: float = 60.0) -> list[str]:
    """The false drifts that a planted bug of the Reconciler makes, as soon as there are any."""
    with bug.planted():
        async with stack(4, confirm_after_s=CONFIRM_AFTER_S) as running:
            if bug.partial:
                running.venue.fault(Kind.PARTIAL_SCOPE, dex="xyz", percent=70)
            soaking = Soak(
                running, seed=seed, in_flight_s=IN_FLIGHT_S, confirm_after_s=CONFIRM_AFTER_S, say=lambda _: None
            )
            task = asyncio.create_task(soaking.run(1 << 30))
            try:
                async with asyncio.timeout(deadline_s):
                    while not soaking.tally.false and not task.done():
                        await asyncio.sleep(0.05)
            except TimeoutError:
                pass
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    return [f"false: {line}" for line in soaking.tally.false]
