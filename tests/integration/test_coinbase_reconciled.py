"""The whole stack on Coinbase: the SIMULATED venue, its adapter, the Reconciler, the Position service, PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from trueup.position.v1 import position_service_pb2, position_service_pb2_grpc
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc
from trueup.types.v1 import drift_pb2, types_pb2

from grpckit.channel import connect
from reconciler_service.app import ReconcilerApp
from reconciler_service.opening import open_venues
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.coinbase import scenario
from reconciler_service.simulator.coinbase.gate import ApiKey
from reconciler_service.simulator.coinbase.scenario import DATED, PERPETUAL
from reconciler_service.simulator.coinbase.server import RunningServer, serve
from reconciler_service.simulator.faults import Kind
from reconciler_service.venues.http import HttpSettings, Retries
from tests.coinbase_samples import EC, KEY_NAME, SEC1
from tests.reconciler_samples import until

BOOK = (
    ("BTC-USD", "BTC/USD", types_pb2.PRODUCT_SPOT, types_pb2.SIDE_LONG, "1.5", "60000"),
    ("ETH-USD", "ETH/USD", types_pb2.PRODUCT_SPOT, types_pb2.SIDE_LONG, "10", "2500"),
    (DATED, "BTC/USD", types_pb2.PRODUCT_FUTURE, types_pb2.SIDE_LONG, "0.2", "90000"),
    (PERPETUAL, "BTC/USD", types_pb2.PRODUCT_PERPETUAL, types_pb2.SIDE_SHORT, "0.05", "92000"),
)

IMPATIENT = HttpSettings(retries=Retries(attempts=2, wait_s=0.001, max_wait_s=0.002, jitter_s=0.001, deadline_s=2))
HURTING = [kind for kind in Kind if kind not in (Kind.HANG, Kind.SLOW, Kind.PARTIAL_SCOPE, Kind.DUPLICATE, Kind.LOST)]


class Desk:
    """The stack and its clients."""

    def __init__(self, venue: RunningServer, app: ReconcilerApp, port: int) -> None:
        self.venue = venue
        self.app = app
        self.portfolio = venue.portfolio
        self.channel = connect(f"127.0.0.1:{port}")
        self.reconciler = reconciler_service_pb2_grpc.ReconcilerServiceStub(self.channel)

    async def reconcile(self) -> pb.ReconcileResponse:
        return await self.reconciler.Reconcile(pb.ReconcileRequest(), timeout=30)

    async def drifts(self) -> dict[str, tuple[str, str]]:
        """Kind and cause of the open drifts, by symbol."""
        listed = await self.reconciler.ListDrifts(pb.ListDriftsRequest())
        return {
            drift.symbol: (
                drift_pb2.DriftKind.Name(drift.kind).removeprefix("DRIFT_KIND_"),
                drift_pb2.DriftCause.Name(drift.explanation.cause).removeprefix("DRIFT_CAUSE_"),
            )
            for drift in listed.drifts
        }


@pytest.fixture
def push() -> bool:
    """Whether the venue may say when to look; by default only the test does."""
    return False


@pytest.fixture
async def desk(position: Any, push: bool) -> AsyncIterator[Desk]:
    """A book and a venue that agree."""
    portfolio = scenario.new_portfolio(lambda: time.time_ns() // 1_000_000)
    venue = await serve(portfolio, [ApiKey(KEY_NAME, EC.public_key())], budget=Budget(time.monotonic, 10**6))
    settings = ReconcilerSettings(
        reconciler_listen="127.0.0.1:0",
        position_address=position.address,
        reconciliation_interval=3600,
        confirmation_delay=0.02,
        drain_grace=1,
        venues="simulated",
        coinbase_key=KEY_NAME,
        coinbase_secret=SEC1,
        coinbase_api_url=venue.url,
        coinbase_requests_per_second=30,
        push=push,
    )
    book = position_service_pb2_grpc.PositionServiceStub(position.channel)
    for symbol, asset, product, side, size, entry in BOOK:
        request = position_service_pb2.OpenPositionRequest(
            account="main",
            venue="coinbase",
            symbol=symbol,
            asset=asset,
            product=product,
            side=side,
            size=size,
            entry_price=entry,
        )
        await book.OpenPosition(request)
    (adapter,), _ = open_venues(settings)
    adapter._client._http._settings = IMPATIENT  # type: ignore[attr-defined]
    app = ReconcilerApp(settings, [adapter])
    made = Desk(venue, app, await app.start())
    yield made
    await made.channel.close()
    await app.stop()
    await venue.close()


async def test_a_book_that_agrees_has_no_drift(desk: Desk) -> None:
    run = (await desk.reconcile()).run
    assert (run.positions_compared, run.confirmed, run.suspected) == (4, 0, 0)
    assert run.source == types_pb2.SOURCE_SIMULATED
    assert {check.scope: (check.outcome, check.positions) for check in run.checks} == {
        "spot": (drift_pb2.CHECK_OUTCOME_OK, 2),
        "futures": (drift_pb2.CHECK_OUTCOME_OK, 1),
        "perpetuals": (drift_pb2.CHECK_OUTCOME_OK, 1),
    }


async def test_what_the_book_missed_is_found_and_explained(desk: Desk) -> None:
    await desk.reconcile()
    desk.portfolio.trade("BTC-USD", is_buy=True, size=Decimal("0.25"))
    desk.portfolio.trade(DATED, is_buy=False, size=Decimal(30))
    desk.portfolio.close(PERPETUAL)
    desk.portfolio.deposit("SOL", Decimal(3))
    desk.portfolio.deposit("DOGE", Decimal("0.3"))  # dust: six cents
    await desk.reconcile()
    assert await desk.drifts() == {
        "BTC-USD": ("SIZE", "MISSED_FILLS"),
        DATED: ("SIDE", "MISSED_FILLS"),
        PERPETUAL: ("MISSING_AT_VENUE", "CLOSED_AT_VENUE"),
        "SOL-USD": ("MISSING_LOCALLY", "UNEXPLAINED"),
    }


@pytest.mark.parametrize("push", [True])
async def test_a_change_at_the_venue_is_a_drift_without_an_interval(desk: Desk) -> None:
    await until(lambda: desk.app.runner.last is not None and desk.app.runner.venues[0].push.state.value == "UP")
    stream = desk.reconciler.StreamDriftEvents(pb.StreamDriftEventsRequest())
    try:
        await stream.read()  # the bookmark
        for product, happen in (
            ("BTC-USD", lambda: desk.portfolio.trade("BTC-USD", is_buy=True, size=Decimal("0.25"))),
            (DATED, lambda: desk.portfolio.set_contracts(DATED, Decimal(9), Decimal(90_000))),
        ):
            happen()
            async with asyncio.timeout(30):
                while not any(event.drift.symbol == product for event in (await stream.read()).events):
                    pass
    finally:
        stream.cancel()
    await until(lambda: desk.app.runner.last is not None and desk.app.runner.last.run.trigger == "push")
    assert desk.venue.gate.refused == []


async def hurt(desk: Desk, kind: Kind, endpoint: str) -> set[str]:
    """Reconcile while something is wrong; returns the outcomes of the checks."""
    # An empty answer that stays is the truth in the end; a passing one is not.
    passing = {"count": 1} if kind is Kind.EMPTY else {}
    desk.venue.fault(kind, types=frozenset({endpoint} if endpoint else ()), size=20_000_000, **passing)
    run = (await desk.reconcile()).run
    desk.venue.faults.clear()
    assert await desk.drifts() == {}, (kind, endpoint)
    return {drift_pb2.CheckOutcome.Name(check.outcome).removeprefix("CHECK_OUTCOME_") for check in run.checks}


@pytest.mark.parametrize("endpoint", ["accounts", "cfm/positions", "products", "best_bid_ask"])
async def test_no_fault_of_one_endpoint_makes_a_drift(desk: Desk, endpoint: str) -> None:
    desk.portfolio.deposit("DOGE", Decimal("0.3"))  # dust, as long as there is a price
    for kind in HURTING:
        await hurt(desk, kind, endpoint)
        assert {check.outcome for check in (await desk.reconcile()).run.checks} == {drift_pb2.CHECK_OUTCOME_OK}, kind
    assert await desk.drifts() == {}


@pytest.mark.parametrize("kind", HURTING)
async def test_no_fault_of_all_endpoints_makes_a_drift(desk: Desk, kind: Kind) -> None:
    desk.portfolio.deposit("DOGE", Decimal("0.3"))
    seen = await hurt(desk, kind, "")
    harmless = {Kind.STALE, Kind.FLOAT_NOISE, Kind.LATE_FILLS, Kind.LOST_FILLS, Kind.DUPLICATE_FILLS}
    assert seen <= ({"OK"} if kind in harmless else {"OK", "SUSPECT"} if kind is Kind.EMPTY else {"FAILED"})
