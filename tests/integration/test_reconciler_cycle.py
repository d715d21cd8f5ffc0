"""The Reconciler against a real Position service on a real PostgreSQL; the venue is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import grpc
import pytest
import stamina
from trueup.position.v1 import (
    position_pb2,
    position_service_pb2,
    position_service_pb2_grpc,
    reconciliation_log_service_pb2,
    reconciliation_log_service_pb2_grpc,
)
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc
from trueup.types.v1 import drift_pb2, types_pb2

from grpckit.channel import connect, follow, watch
from grpckit.errors import from_rpc
from reconciler_service.app import ReconcilerApp
from reconciler_service.model import Source
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.venues import VenueRefused, VenueUnreachable
from tests.reconciler_samples import TestVenue, fill, held, until


class Pair:
    """A Reconciler with its Position service, and clients of both."""

    def __init__(self, app: ReconcilerApp, port: int, position: Any) -> None:
        self.app = app
        self.position = position
        self.channel = connect(f"127.0.0.1:{port}")
        self.reconciler = reconciler_service_pb2_grpc.ReconcilerServiceStub(self.channel)
        self.book = position_service_pb2_grpc.PositionServiceStub(position.channel)

    async def reconcile(self, **fields: Any) -> pb.ReconcileResponse:
        return await self.reconciler.Reconcile(pb.ReconcileRequest(**fields), timeout=20)

    async def open_drifts(self) -> list[drift_pb2.Drift]:
        return list((await self.reconciler.ListDrifts(pb.ListDriftsRequest())).drifts)


async def open_btc(position: Any) -> position_pb2.Position:
    """Book what ``held()`` is at the venue. Before the Reconciler starts: its first cycle looks at once."""
    request = position_service_pb2.OpenPositionRequest(
        asset="BTC/USD",
        symbol="BTC",
        size="0.5",
        entry_price="42000",
        leverage="5",
        margin_mode=types_pb2.MARGIN_MODE_CROSS,
        liquidation_price="38000",
    )
    return (await position_service_pb2_grpc.PositionServiceStub(position.channel).OpenPosition(request)).position


StartReconciler = Callable[..., Awaitable[Pair]]


@pytest.fixture
async def start(position: Any) -> AsyncIterator[StartReconciler]:
    """Starts Reconcilers on the test's Position service. Settings are keyword arguments."""
    pairs: list[Pair] = []

    async def start_one(*venues: TestVenue, address: str = "", **settings: object) -> Pair:
        values = {
            "reconciler_listen": "127.0.0.1:0",
            "position_address": address or position.address,
            "reconciliation_interval": 3600,
            "confirmation_delay": 0.01,
            "drain_grace": 1.0,
            "progress_interval": 0.2,
            "venues": "simulated",
        } | settings
        app = ReconcilerApp(ReconcilerSettings(**values), venues)  # type: ignore[arg-type]
        pair = Pair(app, await app.start(), position)
        pairs.append(pair)
        return pair

    yield start_one
    for pair in pairs:
        await pair.channel.close()
        await pair.app.stop()


async def events_of(pair: Pair, wanted: int, **asked: Any) -> list[drift_pb2.DriftEvent]:
    """The first so many events of a stream."""
    events: list[drift_pb2.DriftEvent] = []
    async with asyncio.timeout(20), watch(pair.reconciler.StreamDriftEvents(pb.StreamDriftEventsRequest(**asked))) as s:
        async for message in s:
            events += message.events
            if len(events) >= wanted:
                break
    return events


async def test_agreement_is_no_drift_and_marks_reach_the_book(start: StartReconciler, position: Any) -> None:
    opened = await open_btc(position)
    pair = await start(TestVenue([held()]))
    answer = await pair.reconcile()
    assert not answer.drifts
    assert answer.run.positions_compared == 1
    assert answer.run.source == types_pb2.SOURCE_SIMULATED
    assert [check.outcome for check in answer.run.checks] == [drift_pb2.CHECK_OUTCOME_OK]
    request = position_service_pb2.GetPositionRequest(position_id=opened.position_id)
    seen = (await pair.book.GetPosition(request)).position
    assert seen.mark_price == "42150"
    assert seen.reconciliation_status == position_pb2.RECONCILIATION_STATUS_SYNCED


async def test_missed_fill_is_confirmed_explained_and_over_once_booked(start: StartReconciler, position: Any) -> None:
    venue = TestVenue([held()])
    await open_btc(position)
    pair = await start(venue)
    await pair.reconcile()
    entry = Decimal(42030)
    venue.change("BTC", size=Decimal("0.625"), entry_price=entry)
    venue.executions = [fill("0.125", "42150", start="0.5", at=datetime.now(UTC))]

    answer = await pair.reconcile()
    (drift,) = answer.drifts
    assert drift.kind == drift_pb2.DRIFT_KIND_SIZE
    assert drift.status == drift_pb2.DRIFT_STATUS_CONFIRMED
    assert drift.size_delta == "0.125"
    assert drift.explanation.cause == drift_pb2.DRIFT_CAUSE_MISSED_FILLS
    assert drift.explanation.text == "A buy of 0.125 at 42 150 never reached the book."
    assert {change.field: change.after for change in drift.explanation.correction} == {
        "size": "0.625",
        "entry_price": "42030",
    }
    assert not drift.explanation.estimated
    assert drift.summary.startswith(
        "BTC long on hyperliquid: venue holds 0.625, book says 0.5 (+0.125 BTC, about 5 269 USD). A buy of"
    )

    again = await pair.reconcile()
    assert [d.drift_id for d in again.drifts] == [drift.drift_id]
    assert again.drifts[0].times_seen == 2

    await pair.book.IncreasePosition(
        position_service_pb2.IncreasePositionRequest(asset="BTC/USD", size="0.125", price="42150")
    )
    over = await pair.reconcile()
    assert [d.drift_id for d in over.drifts] == [drift.drift_id]
    assert over.drifts[0].status == drift_pb2.DRIFT_STATUS_RESOLVED
    assert over.run.resolved == 1
    assert not await pair.open_drifts()


async def test_a_fill_booked_between_the_two_looks_is_no_drift(start: StartReconciler, position: Any) -> None:
    venue = TestVenue([held("0.6", entry_price=Decimal(42025))])
    await open_btc(position)
    pair = await start(venue, confirmation_delay=0.3)
    running = asyncio.create_task(pair.reconcile())
    await venue.next_look()
    await pair.book.IncreasePosition(
        position_service_pb2.IncreasePositionRequest(asset="BTC/USD", size="0.1", price="42150")
    )
    answer = await running
    assert not answer.drifts
    assert answer.run.suspected == 0


async def test_a_position_opened_and_closed_between_the_looks_is_no_drift(start: StartReconciler) -> None:
    venue = TestVenue()
    pair = await start(venue, confirmation_delay=0.3)
    await pair.reconcile()
    venue.hold(held())
    looks = venue.snapshots
    running = asyncio.create_task(pair.reconcile())
    await venue.next_look()
    await open_btc(pair.position)
    await pair.book.ClosePosition(position_service_pb2.ClosePositionRequest(asset="BTC/USD", close_price="42100"))
    answer = await running
    # The second look starts the suspicion anew, the third confirms what has not moved since.
    assert [d.kind for d in answer.drifts] == [drift_pb2.DRIFT_KIND_MISSING_LOCALLY]
    assert venue.snapshots - looks == 3


async def test_a_close_that_the_venue_does_not_show_yet_is_no_drift(start: StartReconciler, position: Any) -> None:
    venue = TestVenue([held()])
    venue.lag = timedelta(seconds=5)
    await open_btc(position)
    pair = await start(venue)
    await pair.reconcile()
    await pair.book.ClosePosition(position_service_pb2.ClosePositionRequest(asset="BTC/USD", close_price="42100"))
    answer = await pair.reconcile()
    assert not answer.drifts
    assert answer.run.suspected == 1
    venue.lag = timedelta(0)
    assert (await pair.reconcile()).drifts, "a state of after the close that still shows it does say something"


async def test_everything_gone_at_once_is_doubted_for_longer_than_a_look(start: StartReconciler) -> None:
    venue = TestVenue([held(), held(symbol="ETH", asset="ETH/USD")])
    pair = await start(venue)
    await open_btc(pair.position)
    await pair.reconcile()
    venue.positions.clear()
    answer = await pair.reconcile()
    assert drift_pb2.DRIFT_KIND_MISSING_AT_VENUE not in {drift.kind for drift in answer.drifts}
    assert [check.outcome for check in answer.run.checks] == [drift_pb2.CHECK_OUTCOME_SUSPECT]


async def test_open_drifts_are_those_of_now_and_not_of_the_last_run(start: StartReconciler) -> None:
    pair = await start(TestVenue([held()]))
    (drift,) = (await pair.reconcile()).drifts
    assert (await pair.reconciler.GetStatus(pb.GetStatusRequest())).open_drifts == 1
    log = reconciliation_log_service_pb2_grpc.ReconciliationLogServiceStub(pair.position.channel)
    await log.TransitionDrift(
        reconciliation_log_service_pb2.TransitionDriftRequest(
            drift_id=drift.drift_id, status=drift_pb2.DRIFT_STATUS_RESOLVED, reason="known"
        )
    )
    assert (await pair.reconciler.GetStatus(pb.GetStatusRequest())).open_drifts == 0


async def test_failed_venue_concludes_nothing_and_says_so(start: StartReconciler, position: Any) -> None:
    venue = TestVenue([held()])
    await open_btc(position)
    pair = await start(venue)
    await pair.reconcile()
    venue.error = VenueUnreachable("503 from the venue")
    answer = await pair.reconcile()
    assert not answer.drifts
    assert [check.outcome for check in answer.run.checks] == [drift_pb2.CHECK_OUTCOME_FAILED]
    status = await pair.reconciler.GetStatus(pb.GetStatusRequest())
    assert status.venues[0].state == "FAILED"
    assert status.venues[0].last_error == "hyperliquid: 503 from the venue"
    assert status.venues[0].age_ms >= 0
    assert status.position_service_ok

    venue.error = RuntimeError("a defect of the adapter")
    assert not (await pair.reconcile()).drifts
    venue.error = None
    await pair.reconcile()
    assert (await pair.reconciler.ListVenues(pb.ListVenuesRequest())).venues[0].state == "OK"


async def test_empty_account_is_doubted_before_it_is_believed(start: StartReconciler) -> None:
    venue = TestVenue()
    pair = await start(venue)
    await pair.reconcile()
    venue.hold(held())
    await open_btc(pair.position)
    await pair.reconcile()
    venue.positions.clear()
    before = venue.snapshots
    answer = await pair.reconcile()
    assert venue.snapshots - before == 3
    assert [d.kind for d in answer.drifts] == [drift_pb2.DRIFT_KIND_MISSING_AT_VENUE]
    assert answer.drifts[0].explanation.estimated
    assert answer.drifts[0].severity == drift_pb2.DRIFT_SEVERITY_CRITICAL


async def test_refused_address_is_checked_again_until_it_is_good(start: StartReconciler, position: Any) -> None:
    venue = TestVenue([held()])
    venue.check_error = VenueRefused("an agent wallet")
    await open_btc(position)
    pair = await start(venue)
    answer = await pair.reconcile()
    assert [check.error for check in answer.run.checks] == ["an agent wallet"]
    assert venue.snapshots == 0
    venue.check_error = None
    assert [check.outcome for check in (await pair.reconcile()).run.checks] == [drift_pb2.CHECK_OUTCOME_OK]


async def test_dry_run_finds_and_records_nothing(start: StartReconciler) -> None:
    venue = TestVenue()
    pair = await start(venue)
    await pair.reconcile()
    runs = len((await pair.reconciler.ListRuns(pb.ListRunsRequest())).runs)
    venue.hold(held())
    answer = await pair.reconcile(dry_run=True)
    assert [d.kind for d in answer.drifts] == [drift_pb2.DRIFT_KIND_MISSING_LOCALLY]
    assert not answer.drifts[0].drift_id
    assert not await pair.open_drifts()
    assert len((await pair.reconciler.ListRuns(pb.ListRunsRequest())).runs) == runs


async def test_calls_during_a_cycle_share_the_next_one(start: StartReconciler, position: Any) -> None:
    await open_btc(position)
    pair = await start(TestVenue([held()]))
    answers = await asyncio.gather(*(pair.reconcile() for _ in range(10)))
    assert len({answer.run.run_id for answer in answers}) <= 2
    last = await pair.reconciler.GetLastRun(pb.GetLastRunRequest())
    assert last.run.trigger == "request"


async def test_answers_say_what_each_venue_holds(start: StartReconciler, position: Any) -> None:
    await open_btc(position)
    venue = TestVenue([held()])
    pair = await start(venue)
    answer = await pair.reconcile()
    last = await pair.reconciler.GetLastRun(pb.GetLastRunRequest())
    venue.error = VenueUnreachable("503 from the venue")
    await pair.reconcile()
    status = await pair.reconciler.GetStatus(pb.GetStatusRequest())  # the last good read still counts
    for seen in (answer, last, status):
        view = seen.exchanges["hyperliquid"]
        assert (view.positions, view.allocation, view.HasField("timestamp")) == (1, "1", True)
        assert (seen.total_positions, list(seen.assets)) == (1, ["BTC/USD"])
    assert answer.timestamp == answer.run.finished_at
    assert last.timestamp == last.run.finished_at


async def test_unconfigured_and_unknown_venues_are_refused(start: StartReconciler) -> None:
    pair = await start(TestVenue())
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await pair.reconcile(venues=["coinbase"])
    error = from_rpc(raised.value)
    assert (error.reason, error.metadata) == ("VENUE_UNCONFIGURED", {"venue": "coinbase"})


async def test_absent_position_service_is_an_error_with_a_reason(start: StartReconciler) -> None:
    pair = await start(TestVenue(), address="127.0.0.1:1")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await pair.reconcile()
    assert from_rpc(raised.value).reason == "STORE_UNAVAILABLE"
    status = await pair.reconciler.GetStatus(pb.GetStatusRequest())
    assert not status.position_service_ok
    assert not status.active


async def test_acknowledge_and_snooze_pass_through(start: StartReconciler) -> None:
    pair = await start(TestVenue([held()]))
    (drift,) = (await pair.reconcile()).drifts
    moved = await pair.reconciler.AcknowledgeDrift(
        pb.AcknowledgeDriftRequest(drift_id=drift.drift_id, reason="mine", expected_revision=drift.revision)
    )
    assert moved.drift.status == drift_pb2.DRIFT_STATUS_ACKNOWLEDGED
    assert moved.drift.reason == "mine"
    request = pb.SnoozeDriftRequest(drift_id=drift.drift_id)
    request.until.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    assert (await pair.reconciler.SnoozeDrift(request)).drift.status == drift_pb2.DRIFT_STATUS_SNOOZED
    found = await pair.reconciler.GetDrift(pb.GetDriftRequest(drift_id=drift.drift_id))
    assert found.drift.snoozed_until == request.until
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await pair.reconciler.AcknowledgeDrift(
            pb.AcknowledgeDriftRequest(drift_id=drift.drift_id, expected_revision=drift.revision)
        )
    assert from_rpc(raised.value).reason == "STALE_REVISION"


async def test_stream_is_live_ordered_filtered_and_resumable(start: StartReconciler) -> None:
    venue = TestVenue()
    pair = await start(venue)
    await pair.reconcile()
    request = pb.StreamDriftEventsRequest()
    async with asyncio.timeout(20), watch(pair.reconciler.StreamDriftEvents(request)) as stream:
        first = await anext(stream)
        assert first.phase == types_pb2.STREAM_PHASE_PROGRESS
        assert first.venues[0].venue == "hyperliquid"
        for symbol in ("BTC", "ETH", "SOL"):
            venue.hold(held(symbol=symbol, asset=f"{symbol}/USD"))
            await pair.reconcile()
        live: list[drift_pb2.DriftEvent] = []
        while len(live) < 3:
            live += (await anext(stream)).events
    assert [event.drift.symbol for event in live] == ["BTC", "ETH", "SOL"]
    revisions = [event.revision for event in live]
    assert revisions == sorted(set(revisions))

    resumed = await events_of(pair, 2, after_revision=revisions[0])
    assert [event.revision for event in resumed] == revisions[1:]
    snapshot = await events_of(pair, 3, include_open=True)
    assert [event.revision for event in snapshot] == revisions
    filtered = await events_of(pair, 1, after_revision=revisions[0], symbol="SOL")
    assert [event.drift.symbol for event in filtered] == ["SOL"]
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await events_of(pair, 1, after_revision=10**9)
    assert from_rpc(raised.value).reason == "REVISION_IN_FUTURE"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await events_of(pair, 1, after_revision=1, include_open=True)
    assert from_rpc(raised.value).violations[0].field == "include_open"


async def test_stream_survives_restarts_of_the_position_service(
    start: StartReconciler, start_position: Any, tmp_path: Any
) -> None:
    address = f"unix:{tmp_path}/p.sock"
    first = await start_position(position_listen=address)
    venue = TestVenue()
    pair = await start(venue, address=address)
    await pair.reconcile()
    seen: list[int] = []
    symbols: list[str] = []

    async def subscribe() -> None:
        async with aclosing(
            follow(
                lambda revision: pair.reconciler.StreamDriftEvents(
                    pb.StreamDriftEventsRequest(after_revision=revision, include_open=not revision)
                )
            )
        ) as stream:
            async for message in stream:
                seen.extend(event.revision for event in message.events)
                symbols.extend(event.drift.symbol for event in message.events)

    readers = [asyncio.create_task(subscribe())]
    try:
        for round_, symbol in enumerate(("BTC", "ETH", "SOL")):
            venue.hold(held(symbol=symbol, asset=f"{symbol}/USD"))
            await _reconciled(pair)
            await until(lambda symbol=symbol: symbol in symbols)
            if round_ < 2:
                await first.app.stop()
                first = await start_position(position_listen=address)
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    assert symbols == ["BTC", "ETH", "SOL"]
    assert seen == sorted(set(seen))


async def _reconciled(pair: Pair) -> None:
    """Reconcile, however long the Position service is away."""
    async for attempt in stamina.retry_context(on=grpc.aio.AioRpcError, timeout=20, attempts=None, wait_max=0.2):
        with attempt:
            await pair.reconcile()


async def test_without_venues_nothing_is_configured(start: StartReconciler) -> None:
    app = ReconcilerApp(ReconcilerSettings(reconciler_listen="127.0.0.1:0"))
    try:
        assert [(seen.venue, seen.state.value) for seen in app.runner.venues] == [
            ("hyperliquid", "UNCONFIGURED"),
            ("coinbase", "UNCONFIGURED"),
        ]
        assert app.runner.venues[0].source is Source.LIVE
    finally:
        await app.stop()


async def test_a_named_venue_without_credentials_is_refused_even_beside_a_good_one(start: StartReconciler) -> None:
    pair = await start(TestVenue())
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await pair.reconcile(venues=["hyperliquid", "coinbase"])
    assert from_rpc(raised.value).metadata == {"venue": "coinbase"}
    with pytest.raises(grpc.aio.AioRpcError):
        await pair.reconcile(accounts=["nobody"])
    assert (await pair.reconcile(venues=["hyperliquid"], accounts=["main"])).run.checks


async def test_allocation_is_of_marks_and_of_what_is_asked_for(start: StartReconciler, position: Any) -> None:
    await open_btc(position)
    pair = await start(TestVenue([held()]))
    await pair.reconcile()  # brings the mark
    whole = await pair.reconciler.ValidateAllocation(pb.ValidateAllocationRequest())
    assert (whole.portfolio_value, whole.tolerance) == ("21075", "0.05")
    shares = {venue: (s.value, s.actual, s.drift, s.within_tolerance) for venue, s in whole.allocations.items()}
    assert shares == {"hyperliquid": ("21075", "1", "0.2", False), "coinbase": ("0", "0", "-0.2", False)}
    part = await pair.reconciler.ValidateAllocation(pb.ValidateAllocationRequest(portfolio_value="25000"))
    assert part.allocations["hyperliquid"].actual == "0.843"
    assert part.allocations["hyperliquid"].within_tolerance
    none = await pair.reconciler.ValidateAllocation(pb.ValidateAllocationRequest(account="nobody"))
    assert none.portfolio_value == "0"
    assert all(share.within_tolerance for share in none.allocations.values())
