"""Spot, account modes, sub-accounts and cash flows: the adapter against the simulated venue on a socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reconciler_service.model import Equity, FlowKind, Outcome, Product, ScopeReading, Side, Snapshot, Source
from reconciler_service.simulator import scenario, server
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.faults import Kind
from reconciler_service.simulator.floor import SpotFloor
from reconciler_service.simulator.records import Role, SpotBalance
from reconciler_service.simulator.wire import Style
from reconciler_service.venues import VenueDataError, VenueRefused, VenueUnreachable
from reconciler_service.venues.budget import WeightBudget
from reconciler_service.venues.http import HttpSettings, Retries
from reconciler_service.venues.hyperliquid.adapter import Common, Hyperliquid, Settings, members
from reconciler_service.venues.hyperliquid.family import chosen
from reconciler_service.venues.hyperliquid.pages import FUNDING
from reconciler_service.venues.hyperliquid.spot import SpotSettings

D = Decimal
START_MS = 1_795_356_000_000
START = datetime.fromtimestamp(START_MS // 1000, UTC)
FAST = HttpSettings(retries=Retries(attempts=2, wait_s=0.001, max_wait_s=0.002, jitter_s=0.001, deadline_s=5))
HEDGE = "0x" + "11" * 20
ARB = "0x" + "22" * 20


class World:
    """The venue with its clock, and the adapter's, which is the same."""

    def __init__(self) -> None:
        self.now_ms = START_MS
        self.exchange: Exchange = scenario.new_exchange(lambda: self.now_ms)
        scenario.seed(self.exchange)
        self.floor = SpotFloor(self.exchange)
        self.budget = WeightBudget(10**6)
        self.venue: server.RunningServer
        self.opened: list[Hyperliquid] = []

    def clock(self) -> datetime:
        return START + timedelta(milliseconds=self.now_ms - START_MS)

    def later(self, **time: float) -> None:
        self.now_ms += int(timedelta(**time) / timedelta(milliseconds=1))

    def fund(self, token: str, total: str, hold: str = "0") -> None:
        self.exchange.set_spot(scenario.DESK, SpotBalance(token, D(total), D(hold)))

    def connect(
        self, address: str = scenario.DESK, account: str = "main", common: Common | None = None, **settings: Any
    ) -> Hyperliquid:
        made = Hyperliquid(
            address,
            source=Source.SIMULATED,
            account=account,
            base_url=self.venue.url,
            settings=Settings(http=FAST, **settings),
            budget=self.budget,
            clock=self.clock,
            common=common,
        )
        self.opened.append(made)
        return made


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    made.venue = await server.serve(made.exchange, style=Style(), budget=Budget(time.monotonic, limit=10**9))
    yield made
    for adapter in made.opened:
        await adapter.close()
    await made.venue.close()


def spot_of(snapshot: Snapshot) -> ScopeReading:
    return next(one for one in snapshot.scopes if one.scope == "spot")


def sizes(reading: ScopeReading) -> dict[str, str]:
    return {one.symbol: f"{one.signed_size:f}" for one in reading.positions}


# --- spot ------------------------------------------------------------------------------------------------------------


async def test_tokens_are_positions_and_cash_is_collateral(world: World) -> None:
    world.fund("USDC", "1000.5", hold="200")
    world.fund("USDH", "50")
    world.fund("UBTC", "0.5000000001", hold="0.1")
    world.fund("HYPE", "-3")
    world.fund("USOL", "0.0009")  # dust
    snapshot = await world.connect().snapshot()
    spot = spot_of(snapshot)
    assert (spot.outcome, spot.product, spot.symbol_prefix) == (Outcome.OK, Product.SPOT, "")
    assert sizes(spot) == {"@3": "0.5000000001", "@2": "-3"}
    assert {one.symbol: (one.asset, one.side, one.mark_price) for one in spot.positions} == {
        "@3": ("BTC/USD", Side.LONG, D(42500)),
        "@2": ("HYPE/USD", Side.SHORT, D("22.1")),
    }
    assert spot.equity == Equity(D("1050.5"), holdings=D("0.5000000001") * 42500 - 3 * D("22.1"))
    assert spot.equity.value == spot.equity.cash + spot.equity.holdings
    assert dict(snapshot.marks)["@3"] == 42500
    assert spot.if_booked


async def test_a_desk_without_tokens_pays_two_for_spot(world: World) -> None:
    world.fund("USDC", "10")
    adapter = world.connect()
    await adapter.snapshot()
    before = world.budget.left
    await adapter.snapshot()
    assert before - world.budget.left == 2 * 2 + 2  # two dexes, and spot
    assert world.venue.requests["spotMeta"] == world.venue.requests["allMids"] == 0
    await world.connect(spot=None).snapshot()
    assert world.venue.requests["spotClearinghouseState"] == 2


async def test_metadata_of_tokens_is_kept_for_an_hour_and_read_again_for_a_new_one(world: World) -> None:
    world.fund("UBTC", "1")
    adapter = world.connect()
    for _ in range(3):
        await adapter.snapshot()
    assert world.venue.requests["spotMeta"] == 1
    world.later(hours=1)
    world.venue.fault(Kind.HTTP_502, types=frozenset({"spotMeta"}))
    assert spot_of(await adapter.snapshot()).outcome is Outcome.OK  # the old one still names it


@pytest.mark.parametrize("kind", ["spotClearinghouseState", "spotMeta", "allMids"])
async def test_spot_fails_alone(world: World, kind: str) -> None:
    world.fund("UBTC", "1")
    world.venue.fault(Kind.HTTP_502, types=frozenset({kind}))
    snapshot = await world.connect().snapshot()
    assert {one.scope: one.outcome for one in snapshot.scopes} == {
        "": Outcome.OK,
        "xyz": Outcome.OK,
        "spot": Outcome.FAILED,
    }
    assert (spot_of(snapshot).positions, spot_of(snapshot).equity) == ((), None)
    assert kind in spot_of(snapshot).error


async def test_old_prices_tell_dust_while_new_ones_cannot_be_had(world: World) -> None:
    world.fund("UBTC", "1")
    adapter = world.connect()
    await adapter.snapshot()
    world.venue.fault(Kind.HTTP_500, types=frozenset({"allMids"}))
    snapshot = await adapter.snapshot()
    (one,) = spot_of(snapshot).positions
    assert (one.mark_price, dict(snapshot.marks).get("@3")) == (42500, None)  # an old price is no fresh mark


async def test_balances_out_of_an_old_cache_are_no_change(world: World) -> None:
    """STALE answers from when the fault was made; what was read since is newer."""
    world.fund("USDC", "100000")
    world.fund("UBTC", "1")
    adapter = world.connect()
    assert spot_of(await adapter.snapshot()).outcome is Outcome.OK
    old = world.venue.fault(Kind.STALE, types=frozenset({"spotClearinghouseState"}), count=1)
    world.floor.trade(scenario.DESK, "UBTC", is_buy=True, size=D("0.5"))
    stale = spot_of(await adapter.snapshot())
    assert (stale.outcome, sizes(stale)) == (Outcome.OK, {"@3": "1"}), "it cannot be told: nothing newer was seen"
    assert sizes(spot_of(await adapter.snapshot())) == {"@3": "1.49965"}
    old.count = 1
    world.venue.faults.active.append(old)
    stale = spot_of(await adapter.snapshot())
    assert (stale.outcome, stale.error.startswith("old: every balance is as it was")) == (Outcome.SUSPECT, True)
    assert spot_of(await adapter.snapshot()).outcome is Outcome.OK


async def test_a_token_nobody_quotes_has_no_price_and_no_part_in_the_equity(world: World) -> None:
    world.fund("PURR", "7")
    spot = spot_of(await world.connect().snapshot())
    assert sizes(spot) == {"PURR/USDC": "7"}
    assert spot.equity == Equity(D(0), unpriced=("PURR/USDC",))


async def test_spot_fills_are_of_the_holding_and_name_its_asset(world: World) -> None:
    world.fund("USDC", "100000")
    world.floor.trade(scenario.DESK, "UBTC", is_buy=True, size=D("0.5"))
    world.floor.trade(scenario.DESK, "UBTC", is_buy=False, size=D("0.2"))
    adapter = world.connect()
    buy, sell = await adapter.fills(START, ["@3"])
    assert (buy.symbol, buy.is_buy, buy.size, buy.fee, buy.fee_currency) == ("@3", True, D("0.5"), D("0.00035"), "BTC")
    assert (sell.is_buy, sell.fee, sell.fee_currency) == (False, D("5.95"), "USDC")
    assert buy.start_position is None  # fees and transfers move a balance, too
    assert await adapter.fills(START) == []
    (held,) = spot_of(await adapter.snapshot()).positions
    assert held.size == D("0.5") - D("0.00035") - D("0.2")
    world.venue.fault(Kind.HTTP_502, types=frozenset({"spotMeta"}))
    with pytest.raises(VenueUnreachable, match="spotMeta"):
        await world.connect().fills(START, ["@3"])


async def test_a_fill_of_the_future_is_none(world: World) -> None:
    world.exchange.trade(scenario.DESK, "BTC", is_buy=True, size=D("0.1"))
    world.later(minutes=-9)
    adapter = world.connect()
    assert len(await adapter.fills(START - timedelta(days=30))) == 6
    world.later(minutes=-2)
    with pytest.raises(VenueDataError, match=r"fills: one is of .* which is in the future"):
        await adapter.fills(START - timedelta(days=30))


# --- modes -----------------------------------------------------------------------------------------------------------


async def test_each_dex_tells_its_own_equity(world: World) -> None:
    snapshot = await world.connect().snapshot()
    assert snapshot.mode == "default"
    for reading in snapshot.scopes[:2]:
        total = world.exchange.view(scenario.DESK, reading.scope).total
        seen = world.exchange.view(scenario.DESK, reading.scope).positions
        assert reading.equity is not None
        assert reading.equity.value == total.account_value
        assert reading.equity.unrealized_pnl == sum(one.unrealized for one in seen)
        assert reading.equity.cash == total.account_value - sum(one.unrealized for one in seen)


@pytest.mark.parametrize("mode", ["unifiedAccount", "portfolioMargin"])
async def test_unified_only_spot_tells_values_and_dexes_tell_positions(world: World, mode: str) -> None:
    apart = await world.connect().snapshot()
    world.exchange.set_abstraction(scenario.DESK, mode)
    snapshot = await world.connect().snapshot()
    assert snapshot.mode == mode
    assert [one.equity for one in snapshot.scopes[:2]] == [None, None]
    assert [one.positions for one in snapshot.scopes[:2]] == [one.positions for one in apart.scopes[:2]]
    assert {one.outcome for one in snapshot.scopes} == {Outcome.OK}
    values = [one.equity.value for one in apart.scopes[:2] if one.equity]
    assert spot_of(snapshot).equity == Equity(sum(values, D(0)))


async def test_the_mode_is_read_again_every_hour(world: World) -> None:
    adapter = world.connect()
    await adapter.snapshot()
    world.exchange.set_abstraction(scenario.DESK, "unifiedAccount")
    assert (await adapter.snapshot()).mode == "default"
    world.later(hours=1)
    assert (await adapter.snapshot()).mode == "unifiedAccount"
    assert world.venue.requests["userAbstraction"] == 2


async def test_of_a_mode_that_cannot_be_read_no_value_is_believed(world: World) -> None:
    fault = world.venue.fault(Kind.HTTP_502, types=frozenset({"userAbstraction"}))
    adapter = world.connect()
    snapshot = await adapter.snapshot()
    assert (snapshot.mode, [one.equity for one in snapshot.scopes]) == ("", [None] * 3)
    assert {one.outcome for one in snapshot.scopes} == {Outcome.OK}
    world.venue.faults.clear(fault.id)
    assert (await adapter.snapshot()).mode == "default"  # asked again at once
    world.later(hours=1)
    world.venue.fault(Kind.HTTP_502, types=frozenset({"userAbstraction"}))
    assert (await adapter.snapshot()).mode == "default"  # what was read last holds


# --- sub-accounts ----------------------------------------------------------------------------------------------------


def add(world: World, address: str, label: str) -> None:
    world.exchange.open_account(address, Role.SUB_ACCOUNT, scenario.DESK, label)


async def test_sub_accounts_are_accounts_of_their_own(world: World) -> None:
    add(world, HEDGE, "hedge book")
    world.exchange.deposit(HEDGE, D(10_000))
    world.exchange.trade(HEDGE, "SOL", is_buy=False, size=D(5))
    world.exchange.set_spot(HEDGE, SpotBalance("UBTC", D(2)))
    adapter = world.connect(sub_accounts=("all",))
    (member,) = await members([adapter])
    world.opened.append(member)
    assert (member.account, member.name, member.source) == ("main/hedge-book", "hyperliquid", Source.SIMULATED)
    await member.check()
    snapshot = await member.snapshot()
    assert sizes(snapshot.scopes[0]) == {"SOL": "-5"}
    assert sizes(spot_of(snapshot)) == {"@3": "2"}
    assert "SOL" in sizes((await adapter.snapshot()).scopes[0])  # the master's own long
    assert member.budget_left == adapter.budget_left  # one budget for one address of ours
    assert world.venue.requests["perpDexs"] == 1  # and one reading of what is true of the venue
    assert await members([member]) == []


async def test_new_sub_accounts_are_found_within_the_hour_and_once(world: World) -> None:
    adapter = world.connect(sub_accounts=("all",))
    assert await members([adapter]) == []  # the venue says null
    assert {one.outcome for one in (await adapter.snapshot()).scopes} == {Outcome.OK}
    add(world, HEDGE, "hedge")
    assert await members([adapter]) == []
    world.later(hours=1)
    found = await members([adapter])
    world.opened += found
    assert [one.account for one in found] == ["main/hedge"]
    world.later(hours=1)
    assert await members([adapter, *found]) == []
    assert world.venue.requests["subAccounts2"] == 3


async def test_sub_accounts_are_chosen_by_name_or_address_and_missed_when_absent(world: World) -> None:
    add(world, HEDGE, "hedge")
    add(world, ARB, "arb")
    adapter = world.connect(sub_accounts=("Hedge", "nobody"))
    found = await members([adapter])
    world.opened += found
    assert [one.account for one in found] == ["main/hedge"]
    (said,) = [one for one in (await adapter.snapshot()).scopes if one.outcome is not Outcome.OK]
    assert (said.scope, said.error) == ("sub-accounts", "sub-accounts: there is none called nobody")
    (by_address,) = await members([world.connect(sub_accounts=(ARB.upper(),))])
    world.opened.append(by_address)
    assert by_address.account == "main/arb"


@pytest.mark.parametrize("kind", [Kind.HTTP_502, Kind.TRUNCATED, Kind.RESET])
async def test_sub_accounts_that_cannot_be_listed_are_said_and_asked_for_again(world: World, kind: Kind) -> None:
    add(world, HEDGE, "hedge")
    fault = world.venue.fault(kind, types=frozenset({"subAccounts2"}))
    adapter = world.connect(sub_accounts=("all",))
    assert await members([adapter]) == []
    failed = [one for one in (await adapter.snapshot()).scopes if one.outcome is Outcome.FAILED]
    assert [(one.scope, one.symbol_prefix, one.positions) for one in failed] == [("sub-accounts", "sub-accounts:", ())]
    world.venue.faults.clear(fault.id)
    found = await members([adapter])
    world.opened += found
    assert [one.account for one in found] == ["main/hedge"]
    assert {one.outcome for one in (await adapter.snapshot()).scopes} == {Outcome.OK}


OTHER_MASTER = "0x" + "33" * 20


async def with_two_masters(world: World, *wanted: str) -> list[Hyperliquid]:
    """Two masters, of which both have a sub-account called hedge, and the second one has arb."""
    world.exchange.open_account(OTHER_MASTER)
    add(world, HEDGE, "hedge")
    for address, label in ((ARB, "arb"), ("0x" + "44" * 20, "Hedge")):
        world.exchange.open_account(address, Role.SUB_ACCOUNT, OTHER_MASTER, label)
    return [world.connect(sub_accounts=wanted), world.connect(OTHER_MASTER, "desk2", sub_accounts=wanted)]


async def found_by(world: World, masters: list[Hyperliquid]) -> list[str]:
    found = await members(masters)
    world.opened += found
    return [one.account for one in found]


async def errors(masters: list[Hyperliquid]) -> list[str]:
    return [
        one.error for master in masters for one in (await master.snapshot()).scopes if one.outcome is not Outcome.OK
    ]


async def test_a_name_is_looked_for_under_all_masters_and_missed_by_none_that_has_it_not(world: World) -> None:
    masters = await with_two_masters(world, "arb")
    assert await found_by(world, masters) == ["desk2/arb"]
    assert await errors(masters) == []


async def test_a_name_that_two_masters_have_is_read_for_neither_and_both_are_named(world: World) -> None:
    masters = await with_two_masters(world, "hedge", "arb")
    assert await found_by(world, masters) == ["desk2/arb"]
    told = (
        f"sub-accounts: hedge in HYPERLIQUID_SUB_ACCOUNTS may be main/hedge ({HEDGE}), desk2/Hedge ({'0x' + '44' * 20}): "
        "give one of these names or addresses"
    )
    assert await errors(masters) == [told, told]


@pytest.mark.parametrize("word", ["Desk2/hedge", "0x" + "44" * 20])
async def test_a_name_with_its_master_or_an_address_means_one(world: World, word: str) -> None:
    masters = await with_two_masters(world, word)
    assert await found_by(world, masters) == ["desk2/Hedge"]
    assert await errors(masters) == []


async def test_all_are_all_of_every_master(world: World) -> None:
    masters = await with_two_masters(world, "all")
    assert await found_by(world, masters) == ["main/hedge", "desk2/arb", "desk2/Hedge"]


async def test_a_name_that_was_given_on_does_not_make_two_accounts_one(world: World) -> None:
    add(world, HEDGE, "hedge")
    master = world.connect(sub_accounts=("all",))
    (first,) = await members([master])
    world.opened.append(first)
    world.exchange.account(HEDGE).label = "old"
    add(world, ARB, "hedge")
    world.later(hours=1)
    (second,) = await members([master, first])
    world.opened.append(second)
    assert (first.account, second.account) == ("main/hedge", f"main/hedge-{ARB[:10]}")


async def test_a_name_that_nobody_has_is_said_once_and_looked_for_again(world: World) -> None:
    masters = await with_two_masters(world, "nobody")
    assert await found_by(world, masters) == []
    assert await errors(masters) == ["sub-accounts: there is none called nobody"]
    asked = world.venue.requests["subAccounts2"]
    assert await found_by(world, masters) == []
    assert world.venue.requests["subAccounts2"] == asked, "not at every look"
    world.later(minutes=5)
    add(world, "0x" + "55" * 20, "nobody")
    assert await found_by(world, masters) == ["main/nobody"]
    assert await errors(masters) == []


async def test_a_bare_name_is_not_decided_before_every_master_is_known(world: World) -> None:
    masters = await with_two_masters(world, "hedge", "arb", "main/hedge")
    fault = world.venue.fault(Kind.HTTP_502, types=frozenset({"subAccounts2"}), count=2)
    # Whichever is asked first fails, with its retries; the other one is listed.
    await masters[1].family.refresh(world.clock())
    world.venue.faults.clear(fault.id)
    assert masters[1].family.members is None
    await masters[0].family.refresh(world.clock())
    found, wrong = chosen({"main": masters[0].family.members, "desk2": None}, ["hedge", "arb"])
    assert found == []
    assert wrong == {"main": "hedge is not read before the sub-accounts of desk2 are known"}
    found, wrong = chosen({"main": masters[0].family.members, "desk2": None}, ["main/hedge", HEDGE])
    assert ([one.account for one in found], wrong) == (["main/hedge"], {})


async def test_one_that_is_configured_by_its_address_is_read_once(world: World) -> None:
    masters = await with_two_masters(world, "all")
    configured = world.connect(ARB, "arbitrage", sub_accounts=("all",))
    assert await found_by(world, [*masters, configured]) == ["main/hedge", "desk2/Hedge"]
    assert await errors([*masters, configured]) == []


# --- metadata --------------------------------------------------------------------------------------------------------


async def test_accounts_share_what_is_true_of_the_venue(world: World) -> None:
    common = Common()
    for address in (HEDGE, ARB):
        add(world, address, address)
        world.exchange.deposit(address, D(10_000))
        world.exchange.trade(address, "SOL", is_buy=True, size=D(5))
    for address in (scenario.DESK, HEDGE, ARB):
        world.exchange.set_spot(address, SpotBalance("UBTC", D(1)))
    accounts = [world.connect(one, one, common) for one in (scenario.DESK, HEDGE, ARB)]
    snapshots = await asyncio.gather(*(one.snapshot() for one in accounts))
    assert {reading.outcome for one in snapshots for reading in one.scopes} == {Outcome.OK}
    asked = {kind: world.venue.requests[kind] for kind in ("perpDexs", "meta", "spotMeta")}
    assert asked == {"perpDexs": 1, "meta": 2, "spotMeta": 1}  # the desk holds something on two dexes


async def test_a_shared_reading_that_fails_is_asked_for_once_and_takes_no_positions_down(world: World) -> None:
    common = Common()
    for address in (HEDGE, ARB):
        add(world, address, address)
    accounts = [world.connect(one, one, common) for one in (scenario.DESK, HEDGE, ARB)]
    await asyncio.gather(*(one.snapshot() for one in accounts))
    world.later(hours=1)
    world.venue.fault(Kind.HTTP_502, types=frozenset({"perpDexs", "meta"}))
    before = world.venue.requests["perpDexs"]
    snapshots = await asyncio.gather(*(one.snapshot() for one in accounts))
    assert [{one.scope: one.outcome.value for one in snapshot.scopes} for snapshot in snapshots] == [
        {"": "OK", "xyz": "OK", "*": "FAILED", "spot": "OK"}
    ] * 3
    assert world.venue.requests["perpDexs"] - before == 2, "one reader and its retry"


def test_an_account_name_must_leave_room_for_sub_accounts() -> None:
    with pytest.raises(VenueRefused, match="longer than 32"):
        Hyperliquid(scenario.DESK, source=Source.SIMULATED, account="x" * 33, settings=Settings(sub_accounts=("all",)))


# --- cash flows ------------------------------------------------------------------------------------------------------


async def test_what_moved_balances_without_a_trade(world: World) -> None:
    world.fund("USDC", "500")
    world.exchange.pay_funding("BTC", D("0.0000125"))
    world.later(seconds=1)
    world.exchange.deposit(scenario.DESK, D(100), "xyz")
    world.later(seconds=1)
    world.floor.transfer(scenario.DESK, "UBTC", D("0.25"))
    world.later(seconds=1)
    world.floor.between_classes(scenario.DESK, D(40), to_perp=False)
    found = await world.connect().cash_flows(START)
    assert [(one.kind, one.scope, one.currency, f"{one.amount:f}", one.symbol) for one in found] == [
        (FlowKind.FUNDING, "", "USDC", "-0.265625", "BTC"),
        (FlowKind.TRANSFER, "xyz", "USDC", "100", ""),
        (FlowKind.TRANSFER, "spot", "BTC", "0.25", ""),
        (FlowKind.TRANSFER, "", "USDC", "-40", ""),
        (FlowKind.TRANSFER, "spot", "USDC", "40", ""),
    ]
    assert await world.connect().cash_flows(START + timedelta(seconds=4)) == []


@pytest.mark.parametrize("same_ms", [1, 7, FUNDING.full - 1])
async def test_histories_are_paged_without_loss_or_double(world: World, same_ms: int) -> None:
    count = 2 * FUNDING.full + 3
    account = world.exchange.account(scenario.DESK)
    world.exchange.pay_funding("BTC", D("0.0000125"))
    (one,) = account.history.funding
    account.history.funding = [
        replace(one, coin=f"C{n % same_ms}", usdc=D(n), time=START_MS + n // same_ms) for n in range(count)
    ]
    before = world.budget.left
    found = await world.connect().cash_flows(START)
    assert sorted(flow.amount for flow in found if flow.kind is FlowKind.FUNDING) == list(range(count))
    assert before - world.budget.left >= 4 * 20 + count // 20  # three pages and more, the ledger, and every 20 rows


async def test_a_millisecond_fuller_than_a_page_is_an_error_not_a_loop(world: World) -> None:
    account = world.exchange.account(scenario.DESK)
    world.exchange.pay_funding("BTC", D("0.0000125"))
    (one,) = account.history.funding
    account.history.funding = [replace(one, coin=f"C{n}") for n in range(FUNDING.full + 1)]
    with pytest.raises(VenueUnreachable, match="userFunding: 500 or more in the millisecond"):
        await world.connect().cash_flows(START)


@pytest.mark.parametrize("kind", ["userFunding", "userNonFundingLedgerUpdates"])
async def test_flows_are_complete_or_an_error(world: World, kind: str) -> None:
    world.venue.fault(Kind.HTTP_502, types=frozenset({kind}))
    with pytest.raises(VenueUnreachable, match=kind):
        await world.connect().cash_flows(START)


# --- spelled as the setting says -------------------------------------------------------------------------------------


async def test_settings_say_what_is_cash_and_what_a_token_stands_for(world: World) -> None:
    world.fund("USDH", "50")
    world.fund("UBTC", "1")
    wanted = SpotSettings(cash=("USDC",), assets={"UBTC": "XBT"}, if_booked=False)
    spot = spot_of(await world.connect(spot=wanted).snapshot())
    assert {one.symbol: one.asset for one in spot.positions} == {"@6": "USDH/USD", "@3": "XBT/USD"}
    assert not spot.if_booked
