"""`trueup positions watch` and `trueup drifts watch`: streams, until interrupted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Annotated, Any

import grpc
import typer
from trueup.position.v1 import position_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2 as rpb

from grpckit.errors import RpcError
from trueup_cli import position_tables
from trueup_cli.options import Account, AfterRevision, Asset, Symbol, Venue
from trueup_cli.output import Output, note
from trueup_cli.screen import Screen
from trueup_cli.session import Session, talks

New = Annotated[bool, typer.Option("--new", help="Only what happens from now on, not what is there already.")]
Events = Annotated[int, typer.Option("--events", min=0, help="End after so many events; 0: never.")]


@talks
async def positions(
    session: Session,
    account: Account = "",
    venue: Venue = "",
    symbol: Symbol = "",
    asset: Asset = "",
    after_revision: AfterRevision = None,
    new: New = False,
    events: Events = 0,
) -> None:
    """Show the live positions, then every change, until Ctrl-C; across restarts of the service.

    In JSON each line is a WatchPositionsResponse: keep its revision, and go on from there with --after-revision.

    Example: trueup positions watch --asset BTC/USD
    """
    request = pb.WatchPositionsRequest(account=account, venue=venue, symbol=symbol, asset=asset)
    _begin(request, "include_current", after_revision, new=new)
    await session.client.positions.ListPositions(pb.ListPositionsRequest(page_size=1))  # a wrong address ends here
    held: list[Any] = []

    def tell(out: Output, response: Any) -> None:
        held.extend(response.positions)
        if response.snapshot_end:
            position_tables.table(out, held)
            held.clear()
        for event in response.events:
            out.say(position_tables.event_line(event))

    await _watch(session, session.client.follow_positions(request, on_reset=_reset(held)), tell, events)


@talks
async def drifts(
    session: Session,
    account: Account = "",
    venue: Venue = "",
    symbol: Symbol = "",
    after_revision: AfterRevision = None,
    new: New = False,
    events: Events = 0,
) -> None:
    """Show the open drifts, then every step of every case, until Ctrl-C; across restarts of the services.

    In JSON each line is a StreamDriftEventsResponse: keep its revision, and go on from there with --after-revision.

    Example: trueup drifts watch --json | jq -r '.events[].drift.summary'
    """
    request = rpb.StreamDriftEventsRequest(account=account, venue=venue, symbol=symbol)
    _begin(request, "include_open", after_revision, new=new)
    await session.client.reconciler.ListVenues(rpb.ListVenuesRequest())
    screen = Screen(session.out.console)

    def tell(_: Output, response: Any) -> None:
        for event in response.events:
            screen.drift(event)

    await _watch(session, session.client.follow_drifts(request, on_reset=_reset([])), tell, events)


def _begin(request: Any, snapshot: str, after_revision: int | None, *, new: bool) -> None:
    """Where the stream begins: after a revision, with what is there, or now."""
    if after_revision is not None:
        request.after_revision = after_revision
    elif not new:
        setattr(request, snapshot, True)


async def _watch(session: Session, stream: Any, tell: Callable[[Output, Any], None], enough: int) -> None:
    seen = 0
    async with aclosing(stream) as responses:
        async for response in responses:
            session.out.json(response) if session.out.is_json else tell(session.out, response)
            seen += len(response.events)
            if enough and seen >= enough:
                return


def _reset(half: list[Any]) -> Callable[[RpcError, int], None]:
    def on_reset(error: RpcError, revision: int) -> None:
        half.clear()  # a snapshot that was cut off is sent again
        note(going_on(error, revision))

    return on_reset


def going_on(error: RpcError, revision: int) -> str:
    """What a watch says when it is begun again after a revision, 0: with what there is then."""
    if error.code is grpc.StatusCode.OUT_OF_RANGE:  # the ledger does not know where to go on
        return f"{error.message or error.code.name}: beginning anew, with what there is now"
    where = f"after revision {revision}" if revision else "from the beginning"
    return f"the stream was cut off ({error.message or error.code.name}): going on {where}"
