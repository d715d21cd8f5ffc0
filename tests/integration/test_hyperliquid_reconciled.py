"""Spot and sub-accounts of a simulated Hyperliquid, reconciled with a real Position service by real processes' parts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from trueup.position.v1 import position_service_pb2, position_service_pb2_grpc
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.reconciler.v1 import reconciler_service_pb2_grpc
from trueup.types.v1 import drift_pb2, types_pb2

from grpckit.channel import connect
from reconciler_service import evidence
from reconciler_service.app import ReconcilerApp
from reconciler_service.model import Source
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.simulator import scenario, server
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.faults import Kind
from reconciler_service.simulator.floor import SpotFloor
from reconciler_service.simulator.records import Mode, Role, SpotBalance
from reconciler_service.simulator.wire import Style
from reconciler_service.venues.budget import Breaker, WeightBudget
from reconciler_service.venues.http import HttpSettings, Retries
from reconciler_service.venues.hyperliquid.adapter import Hyperliquid, Settings
from reconciler_service.venues.hyperliquid.spot import SpotSettings

HEDGE = "0x" + "11" * 20
SUB = "main/hedge"
IMPATIENT = HttpSettings(
    retries=Retries(attempts=2, wait_s=0.001, max_wait_s=0.002, jitter_s=0.001, deadline_s=2),
    max_bytes=300_000,
)
# What a request type may suffer. HANG and SLOW cost time, and what they lead to is a timeout like others.
# 401, 403 and 404 are Coinbase's; PARTIAL_SCOPE is a 500 of one dex; DUPLICATE and LOST are for WebSockets.
COSTLY = (Kind.HANG, Kind.SLOW)
ELSEWHERE = (Kind.PARTIAL_SCOPE, Kind.HTTP_401, Kind.HTTP_403, Kind.HTTP_404, Kind.DUPLICATE, Kind.LOST)
HURTING = [kind for kind in Kind if kind not in COSTLY + ELSEWHERE]
OF_FILLS = (Kind.LATE_FILLS, Kind.LOST_FILLS, Kind.DUPLICATE_FILLS)
HARMLESS = {Kind.FLOAT_NOISE, Kind.STALE, Kind.CLOCK_SKEW, *OF_FILLS}
PERPETUALS = ("clearinghouseState", "meta", "perpDexs")
SPOT = ("spotClearinghouseState", "spotMeta", "allMids")
OTHERS = ("userAbstraction", "subAccounts2", "userRole")
HISTORIES = ("userFillsByTime", "userFunding", "userNonFundingLedgerUpdates")


class Desk:
    """The stack and its clients: a master that trades perpetuals and spot, and one sub-account."""

    def __init__(self, exchange: Any, venue: server.RunningServer, position: Any) -> None:
        self.exchange = exchange
        self.floor = SpotFloor(exchange)
        self.venue = venue
        self.position = position
        self.book = position_service_pb2_grpc.PositionServiceStub(position.channel)
        self.apps: list[ReconcilerApp] = []
        self.reconciler: Any = None

    async def start(self, **settings: Any) -> None:
        """A Reconciler beside the book."""
        spot = SpotSettings(if_booked=settings.pop("if_booked", True))
        adapter = Hyperliquid(
            scenario.DESK,
            source=Source.SIMULATED,
            base_url=self.venue.url,
            # Everything is asked for every time, so that a fault of it is felt.
            settings=Settings(metadata_for=timedelta(0), spot=spot, sub_accounts=("all",), http=IMPATIENT),
            budget=WeightBudget(10**6),
        )
        told = ReconcilerSettings(
            reconciler_listen="127.0.0.1:0",
            position_address=self.position.address,
            reconciliation_interval=3600,
            confirmation_delay=0.02,
            drain_grace=1,
            venues="simulated",
        )
        app = ReconcilerApp(told, [adapter])
        self.apps.append(app)
        channel = connect(f"127.0.0.1:{await app.start()}")
        self.reconciler = reconciler_service_pb2_grpc.ReconcilerServiceStub(channel)
        self.channel = channel

    async def open(self, symbol: str, asset: str, size: str, entry: str, **fields: Any) -> Any:
        values = {"product": types_pb2.PRODUCT_SPOT, "side": types_pb2.SIDE_LONG, "account": "main"} | fields
        request = position_service_pb2.OpenPositionRequest(
            venue="hyperliquid", symbol=symbol, asset=asset, size=size, entry_price=entry, **values
        )
        return (await self.book.OpenPosition(request)).position

    async def reconcile(self, **request: Any) -> pb.ReconcileResponse:
        return await self.reconciler.Reconcile(pb.ReconcileRequest(**request), timeout=60)

    async def drifts(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Kind and cause of the open drifts, by account and symbol."""
        listed = await self.reconciler.ListDrifts(pb.ListDriftsRequest())
        return {
            (drift.account, drift.symbol): (
                drift_pb2.DriftKind.Name(drift.kind).removeprefix("DRIFT_KIND_"),
                drift_pb2.DriftCause.Name(drift.explanation.cause).removeprefix("DRIFT_CAUSE_"),
            )
            for drift in listed.drifts
        }

    async def positions(self) -> dict[tuple[str, str], tuple[str, str, int]]:
        listed = await self.book.ListPositions(position_service_pb2.ListPositionsRequest())
        return {(one.account, one.symbol): (one.size, one.entry_price, one.revision) for one in listed.positions}


@pytest.fixture(autouse=True)
def _ask_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A circuit that opens is tried again at once: what is looked at here is what the answers lead to."""
    monkeypatch.setattr("reconciler_service.venues.http.Breaker", lambda: Breaker(open_s=0.0))


@pytest.fixture
async def desk(position: Any) -> AsyncIterator[Desk]:
    """A book and a venue that agree on perpetuals; the venue also holds cash on spot, the sub-account a short."""
    exchange = scenario.new_exchange(lambda: time.time_ns() // 1_000_000)
    scenario.seed(exchange)
    exchange.set_spot(scenario.DESK, SpotBalance("USDC", Decimal(200_000)))
    exchange.open_account(HEDGE, Role.SUB_ACCOUNT, scenario.DESK, "hedge")
    exchange.deposit(HEDGE, Decimal(50_000))
    exchange.trade(HEDGE, "SOL", is_buy=False, size=Decimal(20))
    venue = await server.serve(exchange, style=Style(), budget=Budget(time.monotonic, limit=10**9))
    made = Desk(exchange, venue, position)
    for held in scenario.book():
        await made.open(
            held.coin,
            held.asset,
            f"{held.size:f}",
            f"{held.entry_price:f}",
            product=types_pb2.PRODUCT_PERPETUAL,
            side=types_pb2.SIDE_LONG if held.is_long else types_pb2.SIDE_SHORT,
            leverage=str(held.leverage),
            margin_mode=types_pb2.MARGIN_MODE_CROSS if held.mode is Mode.CROSS else types_pb2.MARGIN_MODE_ISOLATED,
        )
    short = {"product": types_pb2.PRODUCT_PERPETUAL, "side": types_pb2.SIDE_SHORT, "leverage": "20", "account": SUB}
    await made.open("SOL", "SOL/USD", "20", "101.2", **short)
    yield made
    if made.apps:
        await made.channel.close()
    for app in made.apps:
        await app.stop()
    await venue.close()


def checks(answer: pb.ReconcileResponse) -> dict[tuple[str, str], str]:
    return {
        (one.account, one.scope): drift_pb2.CheckOutcome.Name(one.outcome).removeprefix("CHECK_OUTCOME_")
        for one in answer.run.checks
    }


# --- spot ------------------------------------------------------------------------------------------------------------


async def test_a_desk_of_perpetuals_hears_nothing_of_its_spot_balances(desk: Desk) -> None:
    desk.floor.transfer(scenario.DESK, "UBTC", Decimal("0.5"))
    await desk.start()
    answer = await desk.reconcile()
    assert (answer.run.confirmed, answer.run.suspected, await desk.drifts()) == (0, 0, {})
    assert checks(answer) == {(account, scope): "OK" for account in ("main", SUB) for scope in ("", "xyz", "spot")}
    assert {(one.account, one.scope): one.positions for one in answer.run.checks}["main", "spot"] == 1  # read, reported
    assert answer.run.positions_compared == 6


async def test_switched_on_a_balance_is_missing_locally(desk: Desk) -> None:
    desk.floor.transfer(scenario.DESK, "UBTC", Decimal("0.5"))
    await desk.start(if_booked=False)
    await desk.reconcile()
    assert await desk.drifts() == {("main", "@3"): ("MISSING_LOCALLY", "TRANSFER")}


async def test_once_the_book_keeps_spot_all_balances_count_and_go_on_counting(desk: Desk) -> None:
    desk.floor.transfer(scenario.DESK, "UBTC", Decimal("0.5"))
    desk.floor.transfer(scenario.DESK, "HYPE", Decimal(40))
    await desk.open("@3", "BTC/USD", "0.5", "42500")
    await desk.start()
    await desk.reconcile()
    assert await desk.drifts() == {("main", "@2"): ("MISSING_LOCALLY", "TRANSFER")}
    await desk.open("@2", "HYPE/USD", "40", "22.1")
    await desk.reconcile()
    assert await desk.drifts() == {}
    for symbol in ("@3", "@2"):
        closing = position_service_pb2.ClosePositionRequest(venue="hyperliquid", symbol=symbol, close_price="42500")
        await desk.book.ClosePosition(closing)
    await desk.reconcile()
    assert (await desk.drifts()).keys() == {("main", "@2"), ("main", "@3")}


async def test_the_fee_of_a_purchase_is_found_in_the_base_currency(desk: Desk) -> None:
    """The bot booked its fill as it stood, so the book says 0.5; the venue took its fee from what was bought."""
    await desk.start()
    await desk.reconcile()
    desk.floor.trade(scenario.DESK, "UBTC", is_buy=True, size=Decimal("0.5"))
    await desk.open("@3", "BTC/USD", "0.5", "42500")
    answer = await desk.reconcile()
    assert await desk.drifts() == {("main", "@3"): ("SIZE", "FEE_IN_BASE")}
    (drift,) = answer.drifts
    assert {one.field: one.after for one in drift.explanation.correction} == {"size": "0.49965", "entry_price": "42529.770839587711397979"}  # fmt: skip
    assert "fee 0.00035 BTC" in drift.explanation.evidence[0].text


async def test_a_purchase_the_book_missed_is_explained_with_its_fee(desk: Desk) -> None:
    desk.floor.transfer(scenario.DESK, "UBTC", Decimal(1))
    await desk.open("@3", "BTC/USD", "1", "42500")
    await desk.start()
    await desk.reconcile()
    desk.floor.trade(scenario.DESK, "UBTC", is_buy=True, size=Decimal("0.5"))
    answer = await desk.reconcile()
    assert await desk.drifts() == {("main", "@3"): ("SIZE", "MISSED_FILLS")}
    assert not answer.drifts[0].explanation.estimated
    assert "Fees were taken from the bought asset itself" in answer.drifts[0].explanation.text


async def test_a_sale_and_a_transfer_out_are_told_apart(desk: Desk) -> None:
    for token, symbol, asset, entry in (("UBTC", "@3", "BTC/USD", "42500"), ("HYPE", "@2", "HYPE/USD", "22.1")):
        desk.floor.transfer(scenario.DESK, token, Decimal(40))
        await desk.open(symbol, asset, "40", entry)
    await desk.start()
    await desk.reconcile()
    desk.floor.trade(scenario.DESK, "UBTC", is_buy=False, size=Decimal(1))
    desk.floor.transfer(scenario.DESK, "HYPE", Decimal(-15))
    answer = await desk.reconcile()
    assert await desk.drifts() == {("main", "@3"): ("SIZE", "MISSED_FILLS"), ("main", "@2"): ("SIZE", "TRANSFER")}
    hype = next(one for one in answer.drifts if one.symbol == "@2")
    assert hype.explanation.text == "15 HYPE were transferred out, not traded."
    assert [(one.kind, one.text) for one in hype.explanation.evidence] == [("transfer", "-15 HYPE, spotTransfer")]


async def test_a_liquidation_price_moved_by_funding_or_collateral_says_so(desk: Desk) -> None:
    position = (await desk.book.ListPositions(position_service_pb2.ListPositionsRequest(symbol="ETH"))).positions[0]
    await desk.book.UpdatePosition(
        position_service_pb2.UpdatePositionRequest(position_id=position.position_id, liquidation_price="2000")
    )
    desk.exchange.pay_funding("ETH", Decimal("0.0001"))
    await desk.start()
    await desk.reconcile()
    assert await desk.drifts() == {("main", "ETH"): ("LIQUIDATION_PRICE", "FUNDING")}


# --- sub-accounts and modes ------------------------------------------------------------------------------------------


async def test_a_sub_account_drifts_and_fails_by_itself(desk: Desk) -> None:
    await desk.start()
    await desk.reconcile()
    desk.exchange.close(HEDGE, "SOL")
    await desk.reconcile()
    assert await desk.drifts() == {(SUB, "SOL"): ("MISSING_AT_VENUE", "CLOSED_AT_VENUE")}
    answer = await desk.reconcile(accounts=[SUB])
    assert {account for account, _ in checks(answer)} == {SUB}
    health = (await desk.reconciler.ListVenues(pb.ListVenuesRequest())).venues
    assert {(one.account, one.state, one.account_mode) for one in health} == {
        ("main", "OK", "default"),
        (SUB, "OK", "default"),
    }


async def test_an_account_that_is_unified_while_we_look_is_not_flat(desk: Desk) -> None:
    await desk.start()
    await desk.reconcile()
    for address in (scenario.DESK, HEDGE):
        desk.exchange.set_abstraction(address, "unifiedAccount")
    answer = await desk.reconcile()
    assert (await desk.drifts(), answer.run.positions_compared) == ({}, 6)


async def test_the_address_is_checked_until_the_venue_could_be_asked(desk: Desk) -> None:
    """Unreachable at the start, then an agent: an error both times, never a flat account; good in the end."""
    fault = desk.venue.fault(Kind.HTTP_502, types=frozenset({"userRole"}))
    account = desk.exchange.account(scenario.DESK)
    await desk.start()
    before = sizes(await desk.positions())
    assert set(checks(await desk.reconcile()).values()) == {"FAILED"}
    desk.venue.faults.clear(fault.id)
    account.role, account.master = Role.AGENT, HEDGE
    answer = await desk.reconcile(accounts=["main"])
    assert set(checks(answer).values()) == {"FAILED"}
    assert all("is an agent" in one.error for one in answer.run.checks)
    account.role, account.master = Role.USER, None
    answer = await desk.reconcile()
    assert set(checks(answer).values()) == {"OK"}
    assert (await desk.drifts(), sizes(await desk.positions())) == ({}, before)


def sizes(positions: dict[tuple[str, str], tuple[str, str, int]]) -> dict[tuple[str, str], tuple[str, str]]:
    """Without the revisions: the first marks move a leveraged position into what counts as at risk."""
    return {key: held[:2] for key, held in positions.items()}


# --- faults ----------------------------------------------------------------------------------------------------------


async def settled(desk: Desk) -> dict[tuple[str, str], tuple[str, str, int]]:
    """A desk that also trades spot, reconciled once; returns its book."""
    desk.floor.transfer(scenario.DESK, "UBTC", Decimal("0.5"))
    desk.floor.transfer(scenario.DESK, "HYPE", Decimal("0.02"))  # dust, as long as there is a price
    await desk.open("@3", "BTC/USD", "0.5", "42500")
    await desk.start()
    assert set(checks(await desk.reconcile()).values()) == {"OK"}
    return await desk.positions()


async def hurt(desk: Desk, kind: Kind, types: frozenset[str]) -> set[str]:
    """Reconcile while something is wrong; returns the outcomes of the checks."""
    # An empty answer that stays is the truth in the end; a passing one is not.
    passing = {"count": 1} if kind is Kind.EMPTY else {}
    desk.venue.fault(kind, types=types, size=400_000, skew_ms=-30_000, **passing)
    seen = checks(await desk.reconcile())
    desk.venue.faults.clear()
    assert await desk.drifts() == {}, (kind, types)
    return set(seen.values())


@pytest.mark.parametrize("about", [PERPETUALS, SPOT, OTHERS])
async def test_no_fault_of_one_endpoint_makes_a_drift_or_moves_a_position(desk: Desk, about: tuple[str, ...]) -> None:
    before = await settled(desk)
    kinds = [kind for kind in HURTING if kind not in OF_FILLS]
    for kind in kinds:
        for one in about:
            await hurt(desk, kind, frozenset({one}))
        assert set(checks(await desk.reconcile()).values()) == {"OK"}, kind
    assert (await desk.drifts(), await desk.positions()) == ({}, before)
    assert all(desk.venue.requests[one] > len(kinds) for one in about if one != "userRole"), "a fault hit nothing"


async def test_no_fault_of_all_endpoints_makes_a_drift_or_moves_a_position(desk: Desk) -> None:
    before = await settled(desk)
    for kind in HURTING:
        seen = await hurt(desk, kind, frozenset())
        assert kind in HARMLESS | {Kind.EMPTY} or "FAILED" in seen, kind
        assert set(checks(await desk.reconcile()).values()) == {"OK"}, kind
    assert (await desk.drifts(), await desk.positions()) == ({}, before)


async def test_no_fault_of_the_histories_makes_more_of_a_drift_than_it_is(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "ASK_AGAIN", timedelta(0))  # an empty answer is one, and not doubted for a while
    before = await settled(desk)
    desk.floor.transfer(scenario.DESK, "UBTC", Decimal("0.25"))
    for kind in HURTING:
        desk.venue.fault(kind, types=frozenset(HISTORIES), size=400_000)
        await desk.reconcile()
        desk.venue.faults.clear()
        ((place, (found, cause)),) = (await desk.drifts()).items()
        assert (place, found, cause in ("UNEXPLAINED", "TRANSFER")) == (("main", "@3"), "SIZE", True), kind
    await desk.reconcile()
    assert (await desk.drifts(), await desk.positions()) == ({("main", "@3"): ("SIZE", "TRANSFER")}, before)
