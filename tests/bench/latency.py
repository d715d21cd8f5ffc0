"""How long it takes from a change at the venue to the drift on the stream, with the default confirmation.

The request budget is no part of it: a desk that sees one drift now and then never meets it, a hundred in a row would.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from decimal import Decimal

from trueup.position.v1 import position_service_pb2 as position_pb
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from grpckit.channel import follow
from reconciler_service.settings import ReconcilerSettings
from tests.bench.desks import Stack, booked, stack

POLL_S = 5.0  # the interval of the run without push
WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of every sample, by one way of looking."""

    how: str
    seconds: list[float]

    @property
    def told(self) -> dict[str, object]:
        """As it is written."""
        ordered = sorted(self.seconds)
        at = {
            name: ordered[min(len(ordered) - 1, len(ordered) * part // 100)]
            for name, part in (("p50_s", 50), ("p99_s", 99))
        }
        rounded = {name: round(value, 2) for name, value in at.items()}
        return {"how": self.how, "samples": len(ordered)} | rounded | {"max_s": round(ordered[-1], 2)}


async def measured(samples: int, *, push: bool) -> Latency:
    """So many lost fills, one after the other, each booked once it is seen."""
    confirm_after_s = ReconcilerSettings.model_fields["confirmation_delay"].default
    how = "push" if push else f"polling every {POLL_S:g} s"
    async with stack(1, confirm_after_s=confirm_after_s, interval_s=3600.0 if push else POLL_S, push=push) as running:
        events: asyncio.Queue[pb.DriftEvent] = asyncio.Queue()
        watching = asyncio.create_task(_watch(running, events))
        try:
            await running.reconciler.Reconcile(pb.ReconcileRequest(), timeout=60)
            return Latency(how, [await _sample(running, events) for _ in range(max(1, samples))])
        finally:
            watching.cancel()


async def _sample(running: Stack, events: asyncio.Queue[pb.DriftEvent]) -> float:
    (account,) = running.accounts
    await asyncio.sleep(random.uniform(0.7, 1.7))
    began = time.monotonic()
    fills = running.exchange.trade(account.address, "BTC", random.random() < 0.5, Decimal("0.01"))
    await _until(events, drift_pb2.DRIFT_STATUS_CONFIRMED)
    seconds = time.monotonic() - began
    request = position_pb.RecordFillsRequest(account=account.name, fills=[booked(fill) for fill in fills])
    await running.book.RecordFills(request, timeout=30)
    await running.reconciler.Reconcile(pb.ReconcileRequest(), timeout=60)
    await _until(events, drift_pb2.DRIFT_STATUS_RESOLVED)
    return seconds


async def _watch(running: Stack, events: asyncio.Queue[pb.DriftEvent]) -> None:
    stub = running.drifts
    async for message in follow(
        lambda after: stub.StreamDriftEvents(pb.StreamDriftEventsRequest(after_revision=after))
    ):
        for event in message.events:
            events.put_nowait(event)


async def _until(events: asyncio.Queue[pb.DriftEvent], status: drift_pb2.DriftStatus) -> None:
    async with asyncio.timeout(WAIT_S):
        while (await events.get()).drift.status != status:
            pass
