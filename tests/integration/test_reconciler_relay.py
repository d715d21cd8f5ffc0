"""The drift stream: one feed, many subscribers, restarts and stragglers. Events come from a real Position service."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
import pytest
from trueup.position.v1 import reconciliation_log_service_pb2 as log_pb2
from trueup.position.v1.reconciliation_log_service_pb2_grpc import ReconciliationLogServiceStub
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2, types_pb2

from grpckit.channel import connect
from grpckit.errors import RpcError
from reconciler_service.feed import Feed
from reconciler_service.relay import Relay
from tests.reconciler_samples import NOW, until

VENUES = [drift_pb2.VenueHealth(venue="hyperliquid", state="OK", age_ms=3)]


async def find_drift(log: Any, symbol: str, size: str = "1") -> int:
    """Record a run that confirms a drift; returns the ledger's revision."""
    run = drift_pb2.Run(run_id=str(uuid.uuid4()), trigger="request")
    run.started_at.FromDatetime(NOW)
    drift = drift_pb2.Drift(
        kind=drift_pb2.DRIFT_KIND_SIZE,
        account="main",
        venue="hyperliquid",
        symbol=symbol,
        actual=drift_pb2.Observation(size=size),
    )
    drift.first_seen.FromDatetime(NOW)
    drift.last_seen.FromDatetime(NOW)
    return int((await log.RecordRun(log_pb2.RecordRunRequest(run=run, findings=[drift]), wait_for_ready=True)).revision)


class Subscriber:
    """Collects what a subscription yields."""

    def __init__(self, relay: Relay, **asked: Any) -> None:
        self.messages: list[pb.StreamDriftEventsResponse] = []
        self._task = asyncio.create_task(self._run(relay, pb.StreamDriftEventsRequest(**asked)))

    async def _run(self, relay: Relay, asked: pb.StreamDriftEventsRequest) -> None:
        async with aclosing(relay.subscribe(asked)) as answers:
            async for answer in answers:
                self.messages.append(answer)

    @property
    def symbols(self) -> list[str]:
        return [event.drift.symbol for message in self.messages for event in message.events]

    async def has(self, *symbols: str) -> None:
        await until(lambda: len(self.symbols) >= len(symbols))
        assert self.symbols == list(symbols)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


@pytest.fixture
async def log(position: Any) -> AsyncIterator[Any]:
    async with connect(position.address, watching=True) as channel:
        yield ReconciliationLogServiceStub(channel)


async def started(log: Any, **fields: Any) -> tuple[Feed, asyncio.Task[None]]:
    feed = Feed(log, **fields)
    task = asyncio.create_task(feed.run())
    await until(lambda: feed.covers(10**6))
    return feed, task


async def test_every_subscriber_gets_every_event_once(log: Any) -> None:
    feed, task = await started(log)
    relay = Relay(feed, log, lambda: VENUES, 0.2)
    crowd = [Subscriber(relay) for _ in range(50)]
    await until(lambda: all(one.messages for one in crowd))
    for symbol in ("A", "B", "C"):
        await find_drift(log, symbol)
    for one in crowd:
        await one.has("A", "B", "C")
        assert [m.revision for m in one.messages] == sorted(m.revision for m in one.messages)
    for one in crowd:
        await one.stop()
    task.cancel()


async def test_a_straggler_catches_up_on_its_own_and_then_joins(log: Any) -> None:
    feed, task = await started(log, kept=2)
    relay = Relay(feed, log, lambda: VENUES, 0.2)
    first = await find_drift(log, "A")
    for symbol in ("B", "C", "D", "E"):
        await find_drift(log, symbol)
    await until(lambda: [event.drift.symbol for event in feed.after(0)] == ["D", "E"])
    assert not feed.covers(first)
    late = Subscriber(relay, after_revision=first)
    await late.has("B", "C", "D", "E")
    await find_drift(log, "F")
    await late.has("B", "C", "D", "E", "F")
    await late.stop()
    task.cancel()


async def test_open_cases_come_first_and_then_what_happens(log: Any) -> None:
    feed, task = await started(log)
    relay = Relay(feed, log, lambda: VENUES, 0.2)
    await find_drift(log, "A")
    await find_drift(log, "B")
    reader = Subscriber(relay, include_open=True)
    await reader.has("A", "B")
    await find_drift(log, "C")
    await reader.has("A", "B", "C")
    phases = [m.phase for m in reader.messages if m.phase != types_pb2.STREAM_PHASE_PROGRESS]
    assert phases == [types_pb2.STREAM_PHASE_SNAPSHOT, types_pb2.STREAM_PHASE_EVENTS]
    await reader.stop()
    task.cancel()


async def test_filters(log: Any) -> None:
    feed, task = await started(log)
    relay = Relay(feed, log, lambda: VENUES, 0.2)
    start = await find_drift(log, "A")
    readers = {
        "B": Subscriber(relay, after_revision=start, symbol="B"),
        "BC": Subscriber(relay, after_revision=start, kinds=[drift_pb2.DRIFT_KIND_SIZE], account="main"),
    }
    none = Subscriber(relay, after_revision=start, venue="coinbase")
    other = Subscriber(relay, after_revision=start, kinds=[drift_pb2.DRIFT_KIND_SIDE])
    await find_drift(log, "B")
    await find_drift(log, "C")
    for symbols, reader in readers.items():
        await reader.has(*symbols)
    for quiet in (none, other):
        await until(lambda quiet=quiet: bool(quiet.messages))
        assert not quiet.symbols
        assert quiet.messages[0].phase == types_pb2.STREAM_PHASE_PROGRESS
    for reader in (*readers.values(), none, other):
        await reader.stop()
    task.cancel()


async def test_quiet_streams_tell_how_the_venues_are_even_while_the_ledger_is_away(
    start_position: Any, tmp_path: Any
) -> None:
    address = f"unix:{tmp_path}/p.sock"
    service = await start_position(position_listen=address)
    async with connect(address, watching=True) as channel:
        log = ReconciliationLogServiceStub(channel)
        feed, task = await started(log)
        relay = Relay(feed, log, lambda: VENUES, 0.05)
        live = Subscriber(relay)
        await until(lambda: bool(live.messages))
        await service.app.stop()
        count = len(live.messages)
        await until(lambda: len(live.messages) > count + 3)
        assert live.messages[-1].venues[0].age_ms == 3
        with pytest.raises(grpc.aio.AioRpcError):
            await anext(relay.subscribe(pb.StreamDriftEventsRequest()))
        await start_position(position_listen=address)
        await find_drift(log, "A")
        await live.has("A")
        await live.stop()
        task.cancel()
        await asyncio.wait({task})


async def test_a_feed_that_begins_with_an_empty_log_misses_nothing(log: Any) -> None:
    for symbol in ("A", "B"):
        feed = Feed(log)
        task = asyncio.create_task(feed.run())
        revision = await find_drift(log, symbol)
        await until(lambda feed=feed, revision=revision: feed.revision >= revision)
        relay = Relay(feed, log, lambda: VENUES, 0.2)
        reader = (
            Subscriber(relay, after_revision=revision - 1) if revision > 1 else Subscriber(relay, include_open=True)
        )
        await reader.has(symbol)
        await reader.stop()
        task.cancel()
        await asyncio.wait({task})


async def test_the_feed_takes_no_event_twice_whatever_is_sent_again(log: Any) -> None:
    feed = Feed(log)
    feed._take([drift_pb2.DriftEvent(revision=1), drift_pb2.DriftEvent(revision=2)], 2)
    feed._take([drift_pb2.DriftEvent(revision=2), drift_pb2.DriftEvent(revision=3)], 3)
    assert [event.revision for event in feed.after(0)] == [1, 2, 3]


class Torn:
    """A log whose streams send these messages and break off, one stream after the other; then they hang."""

    def __init__(self, *streams: list[log_pb2.WatchDriftsResponse]) -> None:
        self._streams = list(streams)

    def WatchDrifts(self, request: Any, metadata: Any = ()) -> Any:
        messages = self._streams.pop(0) if self._streams else None

        class Call:
            cancel = done = lambda *_: True

            async def __aiter__(self) -> Any:
                if messages is None:
                    await asyncio.Event().wait()
                for message in messages or ():
                    yield message

        return Call()


def cases(*revisions: int) -> list[drift_pb2.DriftEvent]:
    return [drift_pb2.DriftEvent(revision=n, drift=drift_pb2.Drift(drift_id=str(n))) for n in revisions]


SNAPSHOT, EVENTS = types_pb2.STREAM_PHASE_SNAPSHOT, types_pb2.STREAM_PHASE_EVENTS


async def answers_of(torn: Torn, wanted: int, **asked: Any) -> list[list[int]]:
    """The revisions of the events of so many answers."""
    relay = Relay(Feed(torn), torn, lambda: VENUES, 60)  # type: ignore[arg-type]
    found: list[list[int]] = []
    async with asyncio.timeout(10), aclosing(relay.subscribe(pb.StreamDriftEventsRequest(**asked))) as answers:
        async for answer in answers:
            found.append([event.revision for event in answer.events])
            if len(found) == wanted:
                break
    return found


async def test_a_snapshot_that_breaks_off_ends_the_stream() -> None:
    """The next one would be of another time: a case of the first part may have ended in between, without a word."""
    first = [log_pb2.WatchDriftsResponse(phase=SNAPSHOT, events=cases(1, 2))]
    again = [log_pb2.WatchDriftsResponse(phase=SNAPSHOT, events=cases(2, 3), snapshot_end=True, revision=3)]
    with pytest.raises(RpcError) as raised:
        await answers_of(Torn(first, again), 2, include_open=True)
    assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    assert await answers_of(Torn([], again), 1, include_open=True) == [[2, 3]], "nothing was shown yet"
    more = [log_pb2.WatchDriftsResponse(phase=EVENTS, events=cases(4), revision=4)]
    assert await answers_of(Torn(again, more), 2, include_open=True) == [[2, 3], [4]], "the snapshot was complete"


async def test_a_commit_in_parts_that_broke_off_comes_again_without_what_was_sent() -> None:
    def part(revision: int, *of: int) -> log_pb2.WatchDriftsResponse:
        return log_pb2.WatchDriftsResponse(phase=EVENTS, events=cases(*of), revision=revision)

    torn = Torn([part(1, 1), part(1, 2, 3)], [part(1, 2, 3), part(4, 4)], [part(5, 5)])
    assert await answers_of(torn, 5, after_revision=1) == [[1], [2, 3], [], [4], [5]]
    start = Torn([part(0, 1, 2)], [part(0, 1, 2), part(3, 3)])
    assert await answers_of(start, 3, after_revision=0) == [[1, 2], [], [3]]


async def test_a_drain_and_a_client_that_leaves_at_once_end_a_stream_without_a_word() -> None:
    """Two cancellations, the second while the first is being cleaned up after."""
    begun, held = asyncio.Event(), asyncio.Event()

    class Stubborn(Feed):
        """Takes its time to be cancelled."""

        async def follow(self, *_: Any, **__: Any) -> Any:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                await held.wait()
            yield None

    torn = Torn()
    relay = Relay(Stubborn(torn), torn, lambda: VENUES, 3600)  # type: ignore[arg-type]
    stream = relay.subscribe(pb.StreamDriftEventsRequest(after_revision=1))
    reading = asyncio.create_task(anext(stream))
    async with asyncio.timeout(10):
        await begun.wait()
    for _ in range(2):
        reading.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    held.set()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await reading
