"""Opens a position, then follows the drifts of the desk for ever. Needs: pip install trueup (this repository).

    python examples/python/follow_drifts.py [POSITION_ADDRESS [RECONCILER_ADDRESS]]

Whatever ends the stream, it goes on after the last revision that was seen: nothing is lost, nothing comes twice.
"""

import asyncio
import contextlib
import sys

import grpc
from trueup.position.v1.position_service_pb2 import OpenPositionRequest
from trueup.position.v1.position_service_pb2_grpc import PositionServiceStub
from trueup.reconciler.v1.reconciler_service_pb2 import ListDriftsRequest, StreamDriftEventsRequest
from trueup.reconciler.v1.reconciler_service_pb2_grpc import ReconcilerServiceStub
from trueup.types.v1.drift_pb2 import DriftStatus

from grpckit.channel import connect, follow
from grpckit.errors import Pruned


async def main(position: str = "127.0.0.1:50051", reconciler: str = "127.0.0.1:50052") -> None:
    async with connect(position) as channel:
        # A request id makes it safe to repeat: it happens once, and every repetition gets the first answer.
        request = OpenPositionRequest(
            asset="NEAR/USD", size="250", entry_price="2.6", leverage="3", request_id="example-python"
        )
        opened = await PositionServiceStub(channel).OpenPosition(request, timeout=10)
        print("opened", opened.position.symbol, opened.position.size, "at", opened.position.entry_price, flush=True)
    async with connect(reconciler, watching=True) as channel:
        await follow_drifts(ReconcilerServiceStub(channel))


async def follow_drifts(stub: ReconcilerServiceStub) -> None:
    revision = 0
    while True:
        # `follow` reconnects with backoff, resumes after the last revision, and cancels its call when it is left.
        stream = follow(
            lambda after: stub.StreamDriftEvents(
                StreamDriftEventsRequest(after_revision=after or None, include_open=not after)
            ),
            revision,
        )
        try:
            async with contextlib.aclosing(stream):
                async for message in stream:
                    for event in message.events:
                        show(event.drift)
        except Pruned:  # away for longer than the history is kept: list what is open, go on from there
            revision = await show_open(stub)


async def show_open(stub: ReconcilerServiceStub) -> int:
    """Shows the open drifts; the revision to go on from."""
    while True:
        try:
            listed = await stub.ListDrifts(ListDriftsRequest(), timeout=10)
            break
        except grpc.aio.AioRpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise
            await asyncio.sleep(1)
    for drift in listed.drifts:
        show(drift)
    return listed.revision


def show(drift) -> None:
    status = DriftStatus.Name(drift.status).removeprefix("DRIFT_STATUS_")
    print(f"drift {drift.revision} {status} {drift.symbol}: {drift.summary}", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(main(*sys.argv[1:3]))
        except grpc.aio.AioRpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")
