"""What a notifier makes of a stream that breaks off in the middle: every event told once, a snapshot only when whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc as rpc
from trueup.types.v1 import drift_pb2, types_pb2

from grpckit.errors import RpcError, abort
from trueup_cli import notify
from trueup_cli.session import Session
from trueup_cli.told import Told

CUT_OFF = RpcError(grpc.StatusCode.UNAVAILABLE, "DRAINING", "it stops")
PRUNED = RpcError(grpc.StatusCode.OUT_OF_RANGE, "REVISION_PRUNED", "too old", {"oldestRevision": "7"})
DEADLINE_S = 30.0


class Streams(rpc.ReconcilerServiceServicer):
    """Sends each new stream what the script says next; the last one stays open."""

    def __init__(self) -> None:
        self.script: list[list[pb.StreamDriftEventsResponse | RpcError]] = []
        self.asked: list[tuple[int | None, bool]] = []

    async def StreamDriftEvents(self, request, context):
        after = request.after_revision if request.HasField("after_revision") else None
        self.asked.append((after, request.include_open))
        for each in self.script.pop(0):
            if isinstance(each, RpcError):
                await abort(context, each)
            yield each
        await asyncio.Event().wait()


@pytest.fixture
async def streams() -> AsyncIterator[Streams]:
    servicer, server = Streams(), grpc.aio.server()
    rpc.add_ReconcilerServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    servicer.address = f"127.0.0.1:{port}"
    yield servicer
    await server.stop(None)


def some(revision: int, *events: int, end: bool | None = None) -> pb.StreamDriftEventsResponse:
    """Events by their revisions; ``end`` makes it a part of a snapshot, the last one or not."""
    phase = types_pb2.STREAM_PHASE_EVENTS if end is None else types_pb2.STREAM_PHASE_SNAPSHOT
    found = [drift_pb2.DriftEvent(revision=each) for each in events]
    return pb.StreamDriftEventsResponse(phase=phase, revision=revision, events=found, snapshot_end=bool(end))


async def heard(streams: Streams, told: Told, count: int, *, include_open: bool = False) -> list[int]:
    """The revisions of so many events; each is kept as told, as after a delivery."""
    found = []
    request = pb.StreamDriftEventsRequest()
    async with (
        asyncio.timeout(DEADLINE_S),
        Session("127.0.0.1:9", streams.address, is_json=True) as session,
        aclosing(notify._news(session, request, told, include_open=include_open)) as news,
    ):
        async for event in news:
            found.append(event.revision)
            told.move(event.revision)
            if len(found) == count:
                break
    return found


async def test_a_snapshot_that_broke_off_is_told_once_and_whole(streams: Streams):
    streams.script = [[some(0, 3, end=False), CUT_OFF], [some(0, 4, end=False), some(6, 5, end=True), some(7, 7)]]
    assert await heard(streams, Told(None), 3, include_open=True) == [4, 5, 7]  # 3 has ended meanwhile
    assert streams.asked == [(None, True), (None, True)]


async def test_a_commit_that_broke_off_between_its_parts_goes_on_where_it_was(streams: Streams):
    streams.script = [[some(9, 10, 11), CUT_OFF], [some(9, 10, 11), some(12, 12)]]
    assert await heard(streams, Told(None), 3) == [10, 11, 12]
    assert streams.asked == [(None, False), (9, False)]


async def test_of_a_revision_that_was_pruned_only_what_is_new_is_told_with_the_open_cases(
    streams: Streams, tmp_path: Path
):
    (state := tmp_path / "state").write_text('{"revision": 5}')
    streams.script = [[PRUNED], [some(9, 3, 8, end=True), some(10, 10)]]
    assert await heard(streams, Told(state), 2, include_open=True) == [8, 10]
    assert streams.asked == [(5, False), (None, True)]
    assert Told(state).revision == 10
