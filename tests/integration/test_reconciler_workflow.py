"""What people do with a case: tried first if they like, on what they have seen, in their name, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import grpc
import pytest
from trueup.position.v1 import position_service_pb2 as book_pb
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from grpckit.caller import ON_BEHALF_OF
from grpckit.errors import RpcError, from_rpc
from reconciler_service.simulator import scenario
from reconciler_service.simulator.faults import Kind
from tests.simulated_desk import Desk, simulated_desk

ANN = [(ON_BEHALF_OF, "ann")]
CONFIRMED, ACKNOWLEDGED = drift_pb2.DRIFT_STATUS_CONFIRMED, drift_pb2.DRIFT_STATUS_ACKNOWLEDGED
SNOOZED, RESOLVED = drift_pb2.DRIFT_STATUS_SNOOZED, drift_pb2.DRIFT_STATUS_RESOLVED
ACTIONS = ("ACKNOWLEDGE", "SNOOZE", "KEEP_LOCAL", "DISMISS", "ADOPT_VENUE", "APPLY_FILLS")
AFTER = {"ACKNOWLEDGE": ACKNOWLEDGED, "SNOOZE": SNOOZED, "KEEP_LOCAL": ACKNOWLEDGED}


@pytest.fixture
async def desk(position: Any) -> AsyncIterator[Desk]:
    """One case: a fill that never reached the book."""
    async with simulated_desk(position) as running:
        await running.reconcile()
        running.exchange.trade(scenario.DESK, "BTC", True, Decimal("0.1"), Decimal(42600))
        await running.reconcile()
        yield running


async def only(desk: Desk) -> drift_pb2.Drift:
    (drift,) = (await desk.reconciler.ListDrifts(pb.ListDriftsRequest())).drifts
    return drift


async def do(desk: Desk, action: str, drift: drift_pb2.Drift, until: datetime | None = None, **fields: Any) -> Any:
    """Work the case in ann's name."""
    fields = {"drift_id": drift.drift_id, "reason": "mine"} | fields
    if action == "ACKNOWLEDGE":
        return await desk.reconciler.AcknowledgeDrift(pb.AcknowledgeDriftRequest(**fields), metadata=ANN)
    if action == "SNOOZE":
        request = pb.SnoozeDriftRequest(**fields)
        request.until.FromDatetime(until or datetime.now(UTC) + timedelta(hours=1))
        return await desk.reconciler.SnoozeDrift(request, metadata=ANN)
    request = pb.ResolveDriftRequest(action=f"RESOLVE_ACTION_{action}", **fields)
    return await desk.reconciler.ResolveDrift(request, metadata=ANN, timeout=30)


async def refused(*args: Any, **fields: Any) -> RpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await do(*args, **fields)
    return from_rpc(raised.value)


@pytest.mark.parametrize("action", ACTIONS)
async def test_every_move_can_be_tried_checked_and_traced_and_happens_once(desk: Desk, action: str) -> None:
    drift = await only(desk)
    assert (drift.status, drift.actor) == (CONFIRMED, "reconciler")
    until = datetime.now(UTC) + timedelta(hours=1)

    tried = await do(desk, action, drift, until, dry_run=True, expected_revision=drift.revision, request_id="once")
    assert tried.drift.status == (AFTER[action] if action in {"ACKNOWLEDGE", "SNOOZE"} else CONFIRMED)
    assert tried.drift.revision == drift.revision
    assert await only(desk) == drift

    for dry_run in (True, False):
        error = await refused(desk, action, drift, until, dry_run=dry_run, expected_revision=drift.revision - 1)
        assert (error.code, error.reason) == (grpc.StatusCode.ABORTED, "STALE_REVISION")
        assert error.metadata["actualRevision"] == str(drift.revision)
    assert await only(desk) == drift

    done = await do(desk, action, drift, until, expected_revision=drift.revision, request_id="once")
    assert done.drift.status == AFTER.get(action, RESOLVED)
    assert done.drift.actor == "ann"
    assert done.drift.reason == ("KEEP_LOCAL: mine" if action == "KEEP_LOCAL" else "mine")
    again = await do(desk, action, drift, until, expected_revision=drift.revision, request_id="once")
    assert again.drift == done.drift

    request = book_pb.ListPositionHistoryRequest(symbol="BTC")
    events = (await desk.book.ListPositionHistory(request)).events
    named = {(event.actor, event.reason) for event in events if event.actor == "ann"}
    assert named == ({("ann", "mine")} if action in {"ADOPT_VENUE", "APPLY_FILLS"} else set())


@pytest.mark.parametrize("action", ["ACKNOWLEDGE", "SNOOZE"])
async def test_a_try_is_refused_where_the_move_would_be(desk: Desk, action: str) -> None:
    drift = await only(desk)
    await do(desk, "DISMISS", drift)
    for dry_run in (True, False):
        error = await refused(desk, action, drift, dry_run=dry_run)
        assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION")
        unknown = drift_pb2.Drift(drift_id="0192f0c1-0000-7000-8000-000000000001")
        assert (await refused(desk, action, unknown, dry_run=dry_run)).reason == "DRIFT_NOT_FOUND"


async def test_a_time_that_has_passed_silences_nothing(desk: Desk) -> None:
    drift = await only(desk)
    for dry_run in (True, False):
        error = await refused(desk, "SNOOZE", drift, datetime.now(UTC) - timedelta(seconds=1), dry_run=dry_run)
        assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert [violation.field for violation in error.violations] == ["until"]
    assert await only(desk) == drift


async def test_a_snooze_ends_by_itself_and_says_so_on_the_stream(desk: Desk) -> None:
    drift = await only(desk)
    await do(desk, "SNOOZE", drift)
    assert (await desk.reconcile()).drifts[0].status == SNOOZED
    asleep = await do(desk, "SNOOZE", drift, datetime.now(UTC) + timedelta(seconds=3))
    async with asyncio.timeout(60):
        while (await desk.reconcile()).drifts[0].status == SNOOZED:
            await asyncio.sleep(0.2)
    awake = await only(desk)
    assert (awake.status, awake.reason, awake.drift_id) == (CONFIRMED, "the snooze is over", drift.drift_id)
    assert not awake.HasField("snoozed_until")
    call = desk.reconciler.StreamDriftEvents(pb.StreamDriftEventsRequest(after_revision=asleep.revision))
    try:
        async with asyncio.timeout(30):
            events: list[drift_pb2.DriftEvent] = []
            while not events:
                events += (await call.read()).events
    finally:
        call.cancel()
    assert events[0].type == drift_pb2.DRIFT_EVENT_TYPE_REOPENED


async def test_a_snooze_ends_also_while_the_venue_cannot_be_read(desk: Desk) -> None:
    drift = await only(desk)
    desk.venue.fault(Kind.HTTP_502)
    until = datetime.now(UTC) + timedelta(seconds=2)
    await do(desk, "SNOOZE", drift, until)
    async with asyncio.timeout(60):
        while (awake := await only(desk)).status == SNOOZED:
            await desk.reconcile()
            await asyncio.sleep(0.2)
    assert (awake.status, awake.reason) == (CONFIRMED, "the snooze is over, and its venue cannot be read")
    assert (awake.summary, awake.times_seen) == (drift.summary, drift.times_seen)
    assert datetime.now(UTC) >= until


async def test_the_history_has_what_has_ended_too_newest_first_in_pages(desk: Desk) -> None:
    first = await only(desk)
    await do(desk, "APPLY_FILLS", first)
    desk.exchange.close(scenario.DESK, "SOL")
    await desk.reconcile()
    second = await only(desk)
    history = desk.reconciler.ListDriftHistory
    page = await history(pb.ListDriftHistoryRequest(page_size=1))
    rest = await history(pb.ListDriftHistoryRequest(page_size=1, page_token=page.next_page_token))
    assert [(one.drift_id, one.status) for one in (*page.drifts, *rest.drifts)] == [
        (second.drift_id, CONFIRMED),
        (first.drift_id, RESOLVED),
    ]
    assert (rest.next_page_token, rest.revision) == ("", second.revision)
    (ended,) = (await history(pb.ListDriftHistoryRequest(statuses=[RESOLVED]))).drifts
    assert ended.drift_id == first.drift_id
    assert not (await history(pb.ListDriftHistoryRequest(symbol="ETH"))).drifts
