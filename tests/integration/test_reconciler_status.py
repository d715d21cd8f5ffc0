"""What the status calls say is what the simulated venues did: two venues, three accounts, one of which fails."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from trueup.position.v1 import position_service_pb2 as book_pb
from trueup.position.v1 import position_service_pb2_grpc
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc
from trueup.types.v1 import drift_pb2, types_pb2

from grpckit.channel import connect
from reconciler_service.app import ReconcilerApp
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.simulator import scenario, server
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.coinbase import scenario as coinbase_scenario
from reconciler_service.simulator.coinbase import server as coinbase_server
from reconciler_service.simulator.coinbase.gate import ApiKey
from reconciler_service.simulator.faults import Kind
from reconciler_service.tables import Account
from tests.coinbase_samples import EC, KEY_NAME, SEC1

SECOND = "0x" + "5e" * 20


class Desks:
    """The pair, two simulated venues, and when everything began."""

    def __init__(self, position: Any, exchange: Any, venue: Any, budget: Budget, port: int) -> None:
        self.began = datetime.now(UTC)
        self.exchange, self.venue, self.budget = exchange, venue, budget
        self.channel = connect(f"127.0.0.1:{port}")
        self.reconciler = reconciler_service_pb2_grpc.ReconcilerServiceStub(self.channel)
        self.book = position_service_pb2_grpc.PositionServiceStub(position.channel)

    async def reconcile(self) -> pb.ReconcileResponse:
        return await self.reconciler.Reconcile(pb.ReconcileRequest(), timeout=60)

    async def status(self) -> pb.GetStatusResponse:
        return await self.reconciler.GetStatus(pb.GetStatusRequest())

    async def venues(self) -> dict[tuple[str, str], drift_pb2.VenueHealth]:
        listed = await self.reconciler.ListVenues(pb.ListVenuesRequest())
        return {(health.venue, health.account): health for health in listed.venues}

    @property
    def weight_left(self) -> int:
        """Of our own 960, counted by the venue."""
        return 960 - self.budget.used("127.0.0.1")


@pytest.fixture
async def desks(position: Any) -> AsyncIterator[Desks]:
    exchange = scenario.new_exchange(lambda: time.time_ns() // 1_000_000)
    scenario.seed(exchange)
    exchange.open_account(SECOND)
    exchange.deposit(SECOND, Decimal(10_000))
    exchange.trade(SECOND, "ARB", True, Decimal(100), Decimal("0.95"))
    budget = Budget(time.monotonic, limit=10**9)
    hyperliquid = await server.serve(exchange, budget=budget)
    portfolio = coinbase_scenario.new_portfolio(lambda: time.time_ns() // 1_000_000)
    keys = [ApiKey(KEY_NAME, EC.public_key())]
    coinbase = await coinbase_server.serve(portfolio, keys, budget=Budget(time.monotonic, 10**6))
    settings = ReconcilerSettings(
        reconciler_listen="127.0.0.1:0",
        position_address=position.address,
        reconciliation_interval=1234.5,
        confirmation_delay=0.02,
        drain_grace=1,
        venues="simulated",
        HYPERLIQUID_ADDRESS=scenario.DESK,  # type: ignore[call-arg]
        hyperliquid_api_url=hyperliquid.url,
        coinbase_api_url=coinbase.url,
        coinbase_requests_per_second=30,
        allocation_tolerance=Decimal(1),
        accounts=(
            Account(venue="hyperliquid", name="desk2", address=SECOND),
            Account(venue="coinbase", name="desk2", key=KEY_NAME, secret=SEC1),
        ),
    )
    app = ReconcilerApp(settings)
    made = Desks(position, exchange, hyperliquid, budget, await app.start())
    yield made
    await made.channel.close()
    await app.stop()
    await hyperliquid.close()
    await coinbase.close()


async def test_every_field_is_what_the_venues_did(desks: Desks) -> None:
    answer = await desks.reconcile()
    asked_at = datetime.now(UTC)
    status = await desks.status()
    seen = await desks.venues()
    counted = desks.weight_left  # nothing is read between cycles
    assert {key: (one.state, one.positions, one.last_error) for key, one in seen.items()} == {
        ("hyperliquid", "main"): ("OK", 5, ""),
        ("hyperliquid", "desk2"): ("OK", 1, ""),
        ("coinbase", "desk2"): ("OK", 4, ""),
    }
    for one in seen.values():
        last_ok = one.last_ok_at.ToDatetime(tzinfo=UTC)
        now = datetime.now(UTC)
        assert desks.began <= last_ok <= asked_at
        assert (asked_at - last_ok).total_seconds() * 1_000 - 1 <= one.age_ms
        assert one.age_ms <= (now - last_ok).total_seconds() * 1_000 + 1
        assert one.source == types_pb2.SOURCE_SIMULATED
    # One budget for both addresses, never more than the venue would count; what it prices by rows we round up.
    left = {one.budget_left for (venue, _), one in seen.items() if venue == "hyperliquid"}
    assert [0 <= counted - one <= 10 for one in left] == [True]
    assert counted < 960

    run = answer.run
    began, ended = run.started_at.ToDatetime(tzinfo=UTC), run.finished_at.ToDatetime(tzinfo=UTC)
    assert desks.began <= began < ended <= asked_at
    assert (run.trigger, run.source) == ("request", types_pb2.SOURCE_SIMULATED)
    assert (run.positions_compared, run.suspected, run.resolved) == (0, 0, 0)
    assert run.confirmed == len(answer.drifts) == 10  # nothing is booked: every position is missing
    assert {(check.venue, check.account) for check in run.checks} == set(seen)
    for check in run.checks:
        assert (check.outcome, check.error) == (drift_pb2.CHECK_OUTCOME_OK, "")
        assert began <= check.checked_at.ToDatetime(tzinfo=UTC) <= ended

    assert status.last_run == run
    assert {(one.venue, one.account) for one in status.venues} == set(seen)
    assert (status.open_drifts, status.suspected, status.interval_ms) == (10, 0, 1_234_500)
    assert (status.active, status.position_service_ok, status.source) == (True, True, types_pb2.SOURCE_SIMULATED)
    assert {name: view.positions for name, view in status.exchanges.items()} == {"hyperliquid": 6, "coinbase": 4}
    assert sum(Decimal(view.allocation) for view in status.exchanges.values()) == 1
    assert status.total_positions == 10
    assert "ARB/USD" in status.assets
    last = await desks.reconciler.GetLastRun(pb.GetLastRunRequest())
    assert (last.run, last.timestamp) == (run, run.finished_at)


async def test_runs_are_listed_newest_first_page_by_page(desks: Desks) -> None:
    wanted = [(await desks.reconcile()).run.run_id for _ in range(3)]
    listed: list[drift_pb2.Run] = []
    page = await desks.reconciler.ListRuns(pb.ListRunsRequest(page_size=2))
    while True:
        listed += page.runs
        if not page.next_page_token:
            break
        request = pb.ListRunsRequest(page_size=2, page_token=page.next_page_token)
        page = await desks.reconciler.ListRuns(request)
    assert [run.run_id for run in listed if run.trigger == "request"] == wanted[::-1]
    assert [run.trigger for run in listed if run.run_id not in wanted] == ["start"]
    revisions = [run.local_revision for run in listed]
    assert revisions == sorted(revisions, reverse=True)


async def test_a_venue_that_fails_says_so_and_ages_while_the_others_go_on(desks: Desks) -> None:
    await desks.reconcile()
    before = await desks.venues()
    desks.venue.fault(Kind.NAN, types=frozenset({"clearinghouseState"}))
    answer = await desks.reconcile()
    after = await desks.venues()
    for key, one in after.items():
        was, is_good = before[key], key[0] == "coinbase"
        assert (one.state == "OK") is is_good, key  # FAILED, or DEGRADED where other scopes are still read
        assert (one.last_ok_at.ToDatetime() > was.last_ok_at.ToDatetime()) is is_good
        assert bool(one.last_error) is not is_good
        assert is_good or one.age_ms > was.age_ms
        assert one.positions == was.positions  # of the last good check
        for secret in SEC1.splitlines()[1:-1]:
            assert secret not in one.last_error
    for check in answer.run.checks:
        is_hurt = check.venue == "hyperliquid" and check.product == types_pb2.PRODUCT_PERPETUAL
        assert (check.outcome == drift_pb2.CHECK_OUTCOME_FAILED) is is_hurt
        assert bool(check.error) is is_hurt
    status = await desks.status()
    assert (status.open_drifts, status.total_positions) == (10, 10)

    desks.venue.faults.clear()
    await desks.reconcile()
    for key, one in (await desks.venues()).items():
        assert one.state == "OK"
        assert one.last_error == after[key].last_error  # kept: somebody may look later


async def test_marks_of_every_account_reach_the_book(desks: Desks) -> None:
    await desks.book.OpenPosition(
        book_pb.OpenPositionRequest(
            account="desk2", asset="ARB/USD", symbol="ARB", size="100", entry_price="0.95", leverage="10"
        )
    )
    desks.exchange.set_mark("ARB", Decimal("1.234"))
    answer = await desks.reconcile()
    assert answer.run.positions_compared == 1
    (held,) = (await desks.book.ListPositions(book_pb.ListPositionsRequest(account="desk2"))).positions
    assert held.mark_price == "1.234"
    assert not [
        drift for drift in answer.drifts if drift.symbol == "ARB" and drift.account == "desk2" and drift.status == 2
    ]
