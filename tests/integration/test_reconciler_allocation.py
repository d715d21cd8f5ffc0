"""The allocation over the whole stack: a case per venue that is outside, from whole looks at everything only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import grpc
import pytest
from trueup.position.v1 import position_service_pb2, position_service_pb2_grpc
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc
from trueup.types.v1 import drift_pb2, types_pb2

from grpckit.channel import connect
from grpckit.errors import from_rpc
from reconciler_service.app import ReconcilerApp
from reconciler_service.model import Outcome
from reconciler_service.settings import ReconcilerSettings
from tests.reconciler_samples import TestVenue, held

KIND = drift_pb2.DRIFT_KIND_ALLOCATION


def venue(name: str, size: str, account: str = "main") -> TestVenue:
    """One venue that holds so much at 100 USD a piece."""
    hundred = Decimal(100)
    position = held(size, entry_price=hundred, mark_price=hundred, liquidation_price=None, size_step=Decimal("0.1"))
    return TestVenue([position], account, name)


class Desk:
    def __init__(self, reconciler: Any) -> None:
        self.reconciler = reconciler

    async def reconcile(self, **fields: Any) -> dict[str, drift_pb2.Drift]:
        """The allocation cases of a run, by venue."""
        answer = await self.reconciler.Reconcile(pb.ReconcileRequest(**fields), timeout=30)
        return {drift.venue: drift for drift in answer.drifts if drift.kind == KIND}


@asynccontextmanager
async def desk_of(position: Any, *venues: TestVenue) -> AsyncIterator[Desk]:
    settings = ReconcilerSettings(
        reconciler_listen="127.0.0.1:0",
        position_address=position.address,
        reconciliation_interval=3600,
        confirmation_delay=0.01,
        drain_grace=1,
        venues="simulated",
    )
    app = ReconcilerApp(settings, venues)
    port = await app.start()
    try:
        async with connect(f"127.0.0.1:{port}") as channel:
            yield Desk(reconciler_service_pb2_grpc.ReconcilerServiceStub(channel))
    finally:
        await app.stop()


async def test_a_share_outside_is_a_case_from_the_second_look_until_it_is_near_its_target(position: Any) -> None:
    large, small = venue("hyperliquid", "90"), venue("coinbase", "10")
    small.outcome = Outcome.FAILED  # until the first cycle, which nobody asked for, is over
    async with desk_of(position, large, small) as desk:
        await desk.reconcile()
        small.outcome = Outcome.OK
        assert not await desk.reconcile()
        found = await desk.reconcile()
        assert found.keys() == {"hyperliquid", "coinbase"}
        over, under = found["hyperliquid"], found["coinbase"]
        assert (over.account, over.symbol, over.status) == ("*", "", drift_pb2.DRIFT_STATUS_CONFIRMED)
        assert (over.severity, over.source) == (drift_pb2.DRIFT_SEVERITY_WARNING, types_pb2.SOURCE_SIMULATED)
        assert over.rule == "allocation: 10 % > 5 % (of the portfolio)"
        assert over.summary == (
            "hyperliquid holds 90 % of the portfolio, its target is 80 % (+10 points). "
            "The venue holds about 1 000 USD too much for its target."
        )
        state = under.allocation
        assert (state.target, state.actual, state.drift, state.value) == ("0.2", "0.1", "-0.1", "1000")
        assert (state.portfolio_value, state.tolerance, under.notional_delta) == ("10000", "0.05", "1000")
        assert [(t.venue, t.symbol, t.is_buy, t.size, t.notional) for t in state.trades] == [
            ("coinbase", "BTC", True, "10", "1000"),
            ("hyperliquid", "BTC", False, "10", "1000"),
        ]

        large.change("BTC", mark_price=Decimal(101))  # shares move with every mark, and that is no news
        again = (await desk.reconcile())["hyperliquid"]
        assert (again.drift_id, again.revision, again.times_seen) == (over.drift_id, over.revision, 2)
        adopt = pb.ResolveDriftRequest(drift_id=over.drift_id, action=pb.RESOLVE_ACTION_ADOPT_VENUE)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await desk.reconciler.ResolveDrift(adopt)
        assert from_rpc(raised.value).reason == "NOT_CORRECTABLE"

        large.change("BTC", mark_price=Decimal(100), size=Decimal("55.5"))  # 84.7 %
        assert {one.status for one in (await desk.reconcile()).values()} == {drift_pb2.DRIFT_STATUS_CONFIRMED}
        large.change("BTC", size=Decimal(40))
        assert not await desk.reconcile()
        ended = await desk.reconcile()
        assert {one.status for one in ended.values()} == {drift_pb2.DRIFT_STATUS_RESOLVED}
        assert {one.drift_id for one in ended.values()} == {over.drift_id, under.drift_id}


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.SUSPECT])
async def test_nothing_is_concluded_from_a_look_that_is_not_whole(position: Any, outcome: Outcome) -> None:
    large, small, other = venue("hyperliquid", "90"), venue("coinbase", "10"), venue("hyperliquid", "0.1", "desk2")
    async with desk_of(position, large, small, other) as desk:
        other.outcome = outcome
        for _ in range(3):
            assert not await desk.reconcile()
        other.outcome = Outcome.OK
        for _ in range(3):
            assert not await desk.reconcile(venues=["hyperliquid"])
        await desk.reconcile()
        assert len(await desk.reconcile()) == 2
        # What has a case keeps it while nobody can tell.
        large.change("BTC", size=Decimal(40))
        small.outcome = outcome
        for _ in range(3):
            assert not await desk.reconcile()
        listed = await desk.reconciler.ListDrifts(pb.ListDriftsRequest(kinds=[KIND]))
        assert len(listed.drifts) == 2


async def test_while_a_venue_is_not_configured_no_share_is_wrong(position: Any) -> None:
    async with desk_of(position, venue("hyperliquid", "9.05")) as desk:
        for _ in range(3):
            assert not await desk.reconcile()
        told = await desk.reconciler.ValidateAllocation(pb.ValidateAllocationRequest())
        assert {name: share.configured for name, share in told.allocations.items()} == {
            "hyperliquid": True,
            "coinbase": False,
        }
        assert [(t.venue, t.symbol, t.is_buy, t.size, t.notional) for t in told.trades] == [
            ("coinbase", "", True, "", "181"),
            ("hyperliquid", "BTC", False, "1.8", "180"),  # by whole steps of the venue
        ]
        within = await desk.reconciler.ValidateAllocation(pb.ValidateAllocationRequest(portfolio_value="1100"))
        assert within.allocations["hyperliquid"].within_tolerance


async def book(position: Any, venue: str, size: str, price: str) -> None:
    stub = position_service_pb2_grpc.PositionServiceStub(position.channel)
    request = position_service_pb2.OpenPositionRequest(asset="BTC/USD", venue=venue, symbol="BTC")
    request.size, request.entry_price = size, price
    await stub.OpenPosition(request)


def btc(size: str) -> Any:
    """So much at 40 000 USD a coin."""
    price = Decimal(40_000)
    bare: Any = {"leverage": None, "margin_mode": None, "liquidation_price": None}
    return held(size, entry_price=price, mark_price=price, **bare)


async def test_eighty_twenty_of_a_given_value_with_five_points(position: Any) -> None:
    """82 000 at one venue and 18 000 at the other, of 100 000, as book and venues have it."""
    large, small = TestVenue([btc("2.05")]), TestVenue([btc("0.45")], "main", "coinbase")
    for name, size in (("hyperliquid", "2.05"), ("coinbase", "0.45")):
        await book(position, name, size, "40000")
    async with desk_of(position, large, small) as desk:
        await desk.reconcile()
        told = await desk.reconciler.ValidateAllocation(pb.ValidateAllocationRequest(portfolio_value="100000"))
        first, second = told.allocations["hyperliquid"], told.allocations["coinbase"]
        assert (first.target, first.actual, first.drift, first.within_tolerance) == ("0.8", "0.82", "0.02", True)
        assert (second.target, second.actual, second.drift, second.within_tolerance) == ("0.2", "0.18", "-0.02", True)
        assert {one.value == one.booked_value for one in (first, second)} == {True}
        assert not told.trades


async def test_before_a_venue_is_read_its_share_is_the_books_and_says_so(position: Any) -> None:
    large, small = TestVenue([btc("2.05")]), TestVenue([btc("0.45")], "main", "coinbase")
    small.outcome = Outcome.FAILED
    await book(position, "coinbase", "0.5", "40000")
    async with desk_of(position, large, small) as desk:
        await desk.reconcile()
        told = (await desk.reconciler.ValidateAllocation(pb.ValidateAllocationRequest())).allocations
        first, second = told["hyperliquid"], told["coinbase"]
        assert (first.basis, first.value, first.booked_value) == (pb.ALLOCATION_BASIS_VENUE, "82000", "0")
        assert (second.basis, second.value, second.booked_value) == (pb.ALLOCATION_BASIS_BOOK, "20000", "20000")
        assert (first.HasField("observed_at"), second.HasField("observed_at")) == (True, False)
        small.outcome = Outcome.OK
        await desk.reconcile()
        told = (await desk.reconciler.ValidateAllocation(pb.ValidateAllocationRequest())).allocations
        assert (told["coinbase"].basis, told["coinbase"].value) == (pb.ALLOCATION_BASIS_VENUE, "18000")


async def test_while_book_and_venue_differ_it_says_what_the_drift_says(position: Any) -> None:
    large, small = TestVenue([btc("9")]), TestVenue([btc("1")], "main", "coinbase")
    await book(position, "hyperliquid", "4", "40000")
    await book(position, "coinbase", "1", "40000")
    async with desk_of(position, large, small) as desk:
        await desk.reconcile()
        found = await desk.reconcile()
        told = await desk.reconciler.ValidateAllocation(pb.ValidateAllocationRequest())
        assert found.keys() == told.allocations.keys()
        for name, drift in found.items():
            share, case = told.allocations[name], drift.allocation
            names = ("target", "actual", "drift", "value")
            assert [getattr(share, one) for one in names] == [getattr(case, one) for one in names]
            assert (told.portfolio_value, list(told.trades)) == (case.portfolio_value, list(case.trades))
            assert share.observed_at.ToNanoseconds() >= drift.last_seen.ToNanoseconds()
        assert told.allocations["hyperliquid"].booked_value == "160000"
        # The account counts, not the venue's other one.
        mine = await desk.reconciler.ValidateAllocation(pb.ValidateAllocationRequest(account="nobody"))
        assert mine.portfolio_value == "0"
