"""The adapter against the SIMULATED Coinbase: real sockets, real tokens, every fault at every endpoint."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from reconciler_service.model import Outcome, Product, ScopeReading, Side, Snapshot, Source
from reconciler_service.opening import open_venues
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.coinbase import answers, scenario
from reconciler_service.simulator.coinbase.gate import ApiKey
from reconciler_service.simulator.coinbase.portfolio import Portfolio
from reconciler_service.simulator.coinbase.records import Fill, Market, Wallet
from reconciler_service.simulator.coinbase.scenario import DATED, PERPETUAL
from reconciler_service.simulator.coinbase.server import RunningServer, serve
from reconciler_service.simulator.coinbase.wire import Style
from reconciler_service.simulator.faults import Kind
from reconciler_service.tables import Account
from reconciler_service.venues import Venue, VenueDataError, VenueError, VenueRefused, VenueUnreachable
from reconciler_service.venues.budget import WeightBudget
from reconciler_service.venues.coinbase import auth, client, limits
from reconciler_service.venues.coinbase.adapter import Coinbase, Settings
from reconciler_service.venues.http import HttpSettings, Retries, Timeouts
from tests.coinbase_samples import EC, ED, ED_BYTES, KEY_ID, KEY_NAME, SEC1

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
FAST = HttpSettings(
    timeouts=Timeouts(total_s=0.5, read_s=0.5),
    retries=Retries(attempts=2, wait_s=0.001, max_wait_s=0.002, jitter_s=0.001, deadline_s=2),
    max_bytes=1_000_000,
)
SCOPES = ("spot", "futures", "perpetuals")
HELD = {
    "BTC-USD": (Side.LONG, Decimal("1.5")),
    "ETH-USD": (Side.LONG, Decimal(10)),
    DATED: (Side.LONG, Decimal("0.2")),
    PERPETUAL: (Side.SHORT, Decimal("0.05")),
}


class Clock:
    """The adapter's clock and the venue's, which move only when told."""

    def __init__(self) -> None:
        self.now = NOW
        self.venue_ahead = timedelta()

    def __call__(self) -> datetime:
        return self.now

    def venue_ms(self) -> int:
        return int((self.now + self.venue_ahead).timestamp() * 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def portfolio(clock: Clock) -> Portfolio:
    return scenario.new_portfolio(clock.venue_ms)


Start = Callable[..., Awaitable[RunningServer]]
Connect = Callable[..., Coinbase]


@pytest.fixture
async def start(portfolio: Portfolio) -> AsyncIterator[Start]:
    running: list[RunningServer] = []

    async def start(style: Style | None = None, limit: int = 10**6, **rights: bool) -> RunningServer:
        keys = [
            ApiKey(KEY_NAME, EC.public_key(), **rights),
            ApiKey(KEY_ID, ED.public_key(), "EdDSA", **rights),
        ]
        server = await serve(portfolio, keys, style=style, budget=Budget(time.monotonic, limit))
        running.append(server)
        return server

    yield start
    for server in running:
        await server.close()


@pytest.fixture
async def venue(start: Start) -> RunningServer:
    return await start()


@pytest.fixture
async def connect(clock: Clock) -> AsyncIterator[Connect]:
    made: list[Coinbase] = []

    def connect(server: RunningServer, *, ed25519: bool = False, **settings: Any) -> Coinbase:
        key = auth.key(KEY_ID, ED_BYTES) if ed25519 else auth.key(KEY_NAME, SEC1)
        adapter = Coinbase(
            key,
            source=Source.SIMULATED,
            base_url=server.url,
            settings=Settings(**{"http": FAST} | settings),
            budget=WeightBudget(10_000),
            clock=clock,
        )
        made.append(adapter)
        return adapter

    yield connect
    for adapter in made:
        await adapter.close()


def by_scope(snapshot: Snapshot) -> dict[str, ScopeReading]:
    return {reading.scope: reading for reading in snapshot.scopes}


async def outcomes(adapter: Coinbase) -> dict[str, str]:
    return {name: reading.outcome.value for name, reading in by_scope(await adapter.snapshot()).items()}


def held(snapshot: Snapshot) -> dict[str, tuple[Side, Decimal]]:
    return {p.symbol: (p.side, p.size) for reading in snapshot.scopes for p in reading.positions}


ALL_OK = dict.fromkeys(SCOPES, "OK")
SPOT_ONLY = {"spot": "OK", "futures": "FAILED", "perpetuals": "FAILED"}
FUTURES_ONLY = {"spot": "FAILED", "futures": "OK", "perpetuals": "OK"}


@pytest.mark.parametrize("ed25519", [False, True])
@pytest.mark.parametrize(
    "style", [Style(), Style(amounts=True, page_end="null", page=2), Style(page_end="absent", page=1)]
)
async def test_a_snapshot_in_every_shape(start: Start, connect: Connect, style: Style, ed25519: bool) -> None:
    server = await start(style)
    adapter = connect(server, ed25519=ed25519)
    as_protocol: Venue = adapter
    await as_protocol.check()
    snapshot = await as_protocol.snapshot()
    assert (snapshot.venue, snapshot.account, snapshot.source, snapshot.requested_at) == (
        "coinbase",
        "main",
        Source.SIMULATED,
        NOW,
    )
    assert held(snapshot) == HELD
    scopes = by_scope(snapshot)
    assert {name: (r.outcome, r.product, r.symbol_prefix, r.error) for name, r in scopes.items()} == {
        "spot": (Outcome.OK, Product.SPOT, "", ""),
        "futures": (Outcome.OK, Product.FUTURE, "", ""),
        "perpetuals": (Outcome.OK, Product.PERPETUAL, "", ""),
    }
    btc = scopes["spot"].positions[0]
    assert (btc.asset, btc.entry_price, btc.mark_price, btc.size_step) == (
        "BTC/USD",
        None,
        Decimal(91000),
        Decimal("1e-8"),
    )
    (dated,), (perpetual,) = scopes["futures"].positions, scopes["perpetuals"].positions
    assert (dated.asset, dated.entry_price, dated.mark_price) == ("BTC/USD", Decimal(90000), Decimal(91200))
    assert (perpetual.asset, perpetual.size_step) == ("BTC/USD", Decimal("0.01"))
    assert dict(snapshot.marks) == {
        "BTC-USD": Decimal(91000),
        "ETH-USD": Decimal("3100.5"),
        DATED: Decimal(91200),
        PERPETUAL: Decimal(91050),
    }
    assert not server.gate.refused
    assert not server.brokerage.refused_paths


async def test_metadata_is_read_once_an_hour_and_a_new_market_at_once(
    venue: RunningServer, connect: Connect, portfolio: Portfolio, clock: Clock
) -> None:
    adapter = connect(venue)
    for _ in range(3):
        await adapter.snapshot()
    assert venue.requests["products"] == 2
    assert venue.requests["accounts"] == venue.requests["cfm/positions"] == venue.requests["best_bid_ask"] == 3
    portfolio.deposit("SOL", Decimal(3))
    await adapter.snapshot()
    assert venue.requests["products"] == 2  # it was listed, though not held
    portfolio.list_market(Market("NEW-USD", "NEW", "USD", Decimal("0.1"), Decimal(7)))
    portfolio.deposit("NEW", Decimal(5))
    portfolio.deposit("ODD", Decimal(5))
    for _ in range(2):
        found = {p.symbol: p.asset for p in by_scope(await adapter.snapshot())["spot"].positions}
        assert found["NEW-USD"] == "NEW/USD"
        assert found["ODD-USD"] is None  # unmapped, not left out
    assert venue.requests["products"] == 3
    clock.now += timedelta(hours=1)
    await adapter.snapshot()
    assert venue.requests["products"] == 5


async def test_a_balance_counts_what_orders_hold_but_neither_cash_nor_dust(
    venue: RunningServer, connect: Connect, portfolio: Portfolio
) -> None:
    portfolio.set_hold("ETH", Decimal("9.75"))
    portfolio.deposit("SOL", Decimal("0.000000009"))
    portfolio.deposit("DOGE", Decimal("0.05"))
    assert held(await connect(venue).snapshot()) == HELD
    portfolio.deposit("SOL", Decimal("0.000000001"))
    portfolio.deposit("DOGE", Decimal("0.0500000001"))
    found = held(await connect(venue).snapshot())
    assert found["SOL-USD"] == (Side.LONG, Decimal("1e-8"))
    assert found["DOGE-USD"] == (Side.LONG, Decimal("0.1000000001"))
    assert not {"USD-USD", "USDC-USD"} & found.keys()


async def test_collateral_of_derivatives_is_not_spot(
    venue: RunningServer, connect: Connect, portfolio: Portfolio
) -> None:
    portfolio.wallets["x"] = Wallet("x", "BTC", Decimal(7), 0, platform="ACCOUNT_PLATFORM_CFM_CONSUMER")
    portfolio.wallets["y"] = Wallet("y", "SOL", Decimal(7), 0, type="ACCOUNT_TYPE_PERP_FUTURES")
    portfolio.wallets["z"] = Wallet("z", "ETH", Decimal(1), 0, is_ready=False)
    assert held(await connect(venue).snapshot()) == HELD | {"ETH-USD": (Side.LONG, Decimal(11))}


async def test_an_account_without_futures(venue: RunningServer, connect: Connect, portfolio: Portfolio) -> None:
    portfolio.is_enrolled = False
    snapshot = await connect(venue).snapshot()
    assert await outcomes(connect(venue)) == ALL_OK
    assert held(snapshot).keys() == {"BTC-USD", "ETH-USD"}
    assert {name: reading.is_absent for name, reading in by_scope(snapshot).items()} == {
        "spot": False,
        "futures": True,
        "perpetuals": True,
    }
    assert await outcomes(connect(venue, futures="required")) == SPOT_ONLY
    assert await outcomes(connect(venue, futures="off")) == {"spot": "OK"}


async def test_an_account_that_had_futures_does_not_lose_them_by_a_404(
    venue: RunningServer, connect: Connect, portfolio: Portfolio
) -> None:
    adapter = connect(venue)
    assert await outcomes(adapter) == ALL_OK
    portfolio.is_enrolled = False
    for _ in range(3):
        assert await outcomes(adapter) == SPOT_ONLY


async def test_one_404_does_not_make_an_account_without_futures(venue: RunningServer, connect: Connect) -> None:
    venue.fault(Kind.HTTP_404, types=frozenset({"cfm/positions"}))
    assert await outcomes(connect(venue)) == SPOT_ONLY
    venue.fault(Kind.HTTP_500, types=frozenset({"cfm/balance_summary"}))
    assert await outcomes(connect(venue)) == SPOT_ONLY
    venue.fault(Kind.HTTP_403, types=frozenset({"cfm/balance_summary"}))
    assert await outcomes(connect(venue)) == SPOT_ONLY


async def test_a_key_without_the_scope_says_nothing_of_futures(venue: RunningServer, connect: Connect) -> None:
    venue.fault(Kind.HTTP_403, types=frozenset({"cfm/positions"}))
    reading = by_scope(await connect(venue).snapshot())["futures"]
    assert reading.outcome is Outcome.FAILED
    assert "Missing required scopes" in reading.error


@pytest.mark.parametrize("endpoint", ["products", "product"])
async def test_a_404_of_the_metadata_is_not_about_enrolment(
    venue: RunningServer, connect: Connect, portfolio: Portfolio, endpoint: str
) -> None:
    portfolio.market(DATED).is_listed = False
    venue.fault(Kind.HTTP_404, types=frozenset({endpoint}))
    result = await outcomes(connect(venue))
    assert (result["futures"], result["perpetuals"]) == ("FAILED", "FAILED")


async def test_an_expired_contract_is_looked_up(venue: RunningServer, connect: Connect, portfolio: Portfolio) -> None:
    portfolio.market(DATED).is_listed = False
    adapter = connect(venue)
    assert held(await adapter.snapshot()) == HELD
    assert held(await adapter.snapshot()) == HELD
    assert venue.requests["product"] == 1


# --- trust -------------------------------------------------------------------------------------------------------


async def test_wallets_that_vanish_are_believed_only_by_a_later_look(
    venue: RunningServer, connect: Connect, portfolio: Portfolio
) -> None:
    adapter = connect(venue)
    assert await outcomes(adapter) == ALL_OK
    venue.fault(Kind.EMPTY, types=frozenset({"accounts", "cfm/positions"}), count=2)
    readings = by_scope(await adapter.snapshot())
    assert {reading.outcome for reading in readings.values()} == {Outcome.SUSPECT}
    assert readings["spot"].error == "3 of 3 wallets held before are not listed any more; asking again"
    assert readings["futures"].error == "2 of 2 contracts held before are not listed any more; asking again"
    assert held(await adapter.snapshot()) == HELD
    portfolio.wallets = {uuid: one for uuid, one in portfolio.wallets.items() if one.currency != "ETH"}
    assert (await outcomes(adapter))["spot"] == "SUSPECT"
    assert (await outcomes(adapter))["spot"] == "OK"
    portfolio.close(DATED)
    assert await outcomes(adapter) == ALL_OK  # one of two contracts: no news
    portfolio.close(PERPETUAL)
    assert (await outcomes(adapter))["futures"] == "SUSPECT"
    assert await outcomes(adapter) == ALL_OK


async def test_two_looks_at_once_do_not_confirm_each_other(venue: RunningServer, connect: Connect) -> None:
    adapter = connect(venue)
    await adapter.snapshot()
    venue.fault(Kind.EMPTY, types=frozenset({"accounts"}))
    both = await asyncio.gather(adapter.snapshot(), adapter.snapshot())
    assert {by_scope(one)["spot"].outcome for one in both} == {Outcome.SUSPECT}


async def test_a_sold_holding_is_no_doubt(venue: RunningServer, connect: Connect, portfolio: Portfolio) -> None:
    adapter = connect(venue)
    await adapter.snapshot()
    portfolio.trade("ETH-USD", is_buy=False, size=Decimal(10))
    snapshot = await adapter.snapshot()
    assert by_scope(snapshot)["spot"].outcome is Outcome.OK
    assert "ETH-USD" not in held(snapshot)


async def test_an_old_list_is_suspect_as_long_as_it_is_old(
    venue: RunningServer, connect: Connect, portfolio: Portfolio, clock: Clock
) -> None:
    adapter = connect(venue)
    clock.now += timedelta(seconds=1)
    stale = venue.fault(Kind.STALE, types=frozenset({"accounts"}), count=10)
    venue.faults.clear()
    portfolio.trade("BTC-USD", is_buy=True, size=Decimal("0.5"))
    assert await outcomes(adapter) == ALL_OK
    venue.faults.active.append(stale)
    for _ in range(3):
        reading = by_scope(await adapter.snapshot())["spot"]
        assert reading.outcome is Outcome.SUSPECT
        assert "stale" in reading.error
    venue.faults.clear()
    assert held(await adapter.snapshot())["BTC-USD"] == (Side.LONG, Decimal(2))
    venue.faults.active.append(stale)
    clock.now += timedelta(hours=1, seconds=1)  # a venue that set times back must not blind us for ever
    assert (await outcomes(adapter))["spot"] == "OK"


# --- keys, tokens, clocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rights", "text"),
    [
        ({"can_trade": True}, "can trade;"),
        ({"can_transfer": True}, "can transfer;"),
        ({"can_trade": True, "can_transfer": True}, "can trade and transfer;"),
    ],
)
async def test_a_key_that_can_do_more_than_read_is_refused_unless_it_is_named(
    start: Start, connect: Connect, rights: dict[str, bool], text: str
) -> None:
    server = await start(**rights)
    for named in ("", "another", KEY_ID):
        with pytest.raises(VenueRefused, match=text):
            await connect(server, allow_trading_key=named).check()
    await connect(server, allow_trading_key=KEY_NAME).check()


async def test_of_a_key_of_the_file_the_setting_there_is_named(start: Start, clock: Clock) -> None:
    clock.venue_ahead = datetime.now(UTC) - NOW
    server = await start(can_trade=True)
    row = Account(venue="coinbase", name="desk2", key=SecretStr(KEY_NAME), secret=SecretStr(SEC1))
    settings = ReconcilerSettings(accounts=(row,), coinbase_api_url=server.url, venues="simulated", push=False)
    (adapter,), _ = open_venues(settings)
    try:
        with pytest.raises(VenueRefused, match="set allow_trading_key in the settings file to this key's name"):
            await adapter.check()
    finally:
        await adapter.close()


async def test_a_key_that_cannot_read_is_refused(start: Start, connect: Connect) -> None:
    server = await start(can_view=False)
    with pytest.raises(VenueRefused, match="cannot view"):
        await connect(server).check()


async def test_a_single_401_is_tried_again_with_a_fresh_token(venue: RunningServer, connect: Connect) -> None:
    venue.fault(Kind.HTTP_401, types=frozenset({"accounts"}), count=1)
    assert await outcomes(connect(venue)) == ALL_OK
    assert venue.requests["accounts"] == 2
    assert not venue.gate.refused  # the gate takes no token twice


async def test_a_401_that_stays_is_no_outage(venue: RunningServer, connect: Connect) -> None:
    venue.fault(Kind.HTTP_401)
    adapter = connect(venue)
    with pytest.raises(VenueRefused, match="refused twice"):
        await adapter.check()
    readings = by_scope(await adapter.snapshot())
    assert {reading.outcome for reading in readings.values()} == {Outcome.FAILED}
    assert "status 401: Unauthorized: the key was refused twice" in readings["spot"].error
    assert venue.requests["accounts"] == 2


async def test_tokens_name_the_host_that_is_set_whatever_the_base_url(portfolio: Portfolio, clock: Clock) -> None:
    venue = await serve(portfolio, [ApiKey(KEY_NAME, EC.public_key())], jwt_host="proxy.test")
    for host, ends in (("proxy.test", Outcome.OK), ("api.coinbase.com", Outcome.FAILED)):
        adapter = Coinbase(
            auth.key(KEY_NAME, SEC1),
            source=Source.SIMULATED,
            base_url=venue.url,
            jwt_host=host,
            settings=Settings(http=FAST),
            budget=WeightBudget(10_000),
            clock=clock,
        )
        assert {one.outcome for one in (await adapter.snapshot()).scopes} == {ends}, host
        await adapter.close()
    await venue.close()


async def test_a_key_that_the_venue_does_not_know(portfolio: Portfolio, connect: Connect) -> None:
    server = await serve(portfolio, [ApiKey(KEY_NAME, ED.public_key(), "EdDSA")])
    with pytest.raises(VenueRefused, match="revoked, of another account"):
        await connect(server).check()
    await server.close()


@pytest.mark.parametrize("ahead_s", [-29, -7, 1, 7, 29])
async def test_a_clock_that_is_off_is_reckoned_with(
    venue: RunningServer, connect: Connect, clock: Clock, ahead_s: int
) -> None:
    clock.venue_ahead = timedelta(seconds=ahead_s)
    adapter = connect(venue)
    await adapter.check()
    assert await outcomes(adapter) == ALL_OK
    assert not venue.gate.refused


async def test_a_clock_that_went_off_since_is_found_by_the_first_401(
    venue: RunningServer, connect: Connect, clock: Clock
) -> None:
    adapter = connect(venue)
    await adapter.check()
    clock.venue_ahead = timedelta(seconds=-20)
    assert await outcomes(adapter) == ALL_OK
    assert "not yet" in venue.gate.refused[0]


@pytest.mark.parametrize(("ahead_s", "way"), [(31, "31 s behind"), (-31, "31 s ahead of"), (86_400, "86400 s behind")])
async def test_a_clock_that_is_too_far_off_is_named(
    venue: RunningServer, connect: Connect, clock: Clock, ahead_s: int, way: str
) -> None:
    clock.venue_ahead = timedelta(seconds=ahead_s)
    with pytest.raises(VenueRefused, match=f"clock is {way} Coinbase's"):
        await connect(venue).check()


async def test_no_secret_shows_anywhere(
    venue: RunningServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    texts = []
    for kind in Kind:
        for needs_dex in (Kind.PARTIAL_SCOPE, Kind.HANG):
            if kind is needs_dex:
                break
        else:
            venue.faults.clear()
            venue.fault(kind, delay_s=0.01)
            adapter = connect(venue)
            texts += [reading.error for reading in (await adapter.snapshot()).scopes] + [
                repr(adapter),
                repr(vars(adapter)),
            ]
            try:
                await adapter.check()
            except VenueError as error:
                texts.append(repr(error))
    everything = "\n".join(texts) + caplog.text
    canaries = [line for line in SEC1.splitlines() if not line.startswith("-----")] + [ED_BYTES, "eyJ"]
    assert len(texts) > 60
    for canary in canaries:
        assert canary not in everything


# --- fills -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", [Style(), Style(page=1), Style(page=2, trailing_cursor=True)])
async def test_fills_of_spot_and_futures(
    start: Start, connect: Connect, portfolio: Portfolio, clock: Clock, style: Style
) -> None:
    server = await start(style)
    adapter = connect(server)
    portfolio.trade("ETH-USD", is_buy=False, size=Decimal(1), price=Decimal(3000))
    clock.now += timedelta(seconds=10)
    since = clock.now
    for product, is_buy, size in (
        ("BTC-USD", True, "0.25"),
        ("BTC-USDC", False, "0.01"),
        (DATED, False, "25"),
        (PERPETUAL, True, "1"),
    ):
        clock.now += timedelta(seconds=1)
        portfolio.trade(product, is_buy, Decimal(size))
    found = await adapter.fills(since)
    assert [(one.symbol, one.signed_size, one.fee_currency) for one in found] == [
        ("BTC-USD", Decimal("0.25"), "USD"),
        ("BTC-USD", Decimal("-0.01"), "USDC"),
        (DATED, Decimal("-0.25"), "USD"),
        (PERPETUAL, Decimal("0.01"), "USD"),
    ]
    assert found[0].fee == Decimal("136.5")
    assert [one.signed_size for one in await adapter.fills(since, [DATED])] == [Decimal("-0.25")]
    assert len(await adapter.fills(NOW, ["ETH-USD"])) == 1
    assert await adapter.fills(clock.now + timedelta(seconds=1)) == []


async def test_fills_explain_what_changed(
    venue: RunningServer, connect: Connect, portfolio: Portfolio, clock: Clock
) -> None:
    adapter = connect(venue)
    before = held(await adapter.snapshot())
    clock.now += timedelta(seconds=1)
    since = clock.now
    for size in ("0.1", "0.00000001", "1.25"):
        portfolio.trade("BTC-USD", is_buy=True, size=Decimal(size))
    portfolio.trade(DATED, is_buy=False, size=Decimal(30))
    after = held(await adapter.snapshot())
    moved = {
        symbol: after[symbol][0].sign * after[symbol][1] - before[symbol][0].sign * before[symbol][1] for symbol in HELD
    }
    filled = dict.fromkeys(HELD, Decimal(0))
    for one in await adapter.fills(since):
        filled[one.symbol] += one.signed_size
    assert moved == filled


async def test_fills_faults(venue: RunningServer, connect: Connect, portfolio: Portfolio, clock: Clock) -> None:
    adapter = connect(venue)
    portfolio.trade("BTC-USD", is_buy=True, size=Decimal("0.1"))
    venue.fault(Kind.DUPLICATE_FILLS)
    assert len(await adapter.fills(NOW)) == 1
    venue.faults.clear()
    venue.fault(Kind.LATE_FILLS, delay_s=5)
    portfolio.trade("BTC-USD", is_buy=True, size=Decimal("0.2"))
    assert len(await adapter.fills(NOW)) == 1
    clock.now += timedelta(seconds=5)
    assert len(await adapter.fills(NOW)) == 2


async def test_a_fill_booked_late_belongs_to_when_it_was_traded(
    venue: RunningServer, connect: Connect, portfolio: Portfolio, clock: Clock
) -> None:
    now = clock.venue_ms()
    late = Fill(1, "BTC-USD", True, Decimal(1), Decimal(90000), Decimal(0), now - 1, now + 5000)
    portfolio.fills.append(late)
    adapter = connect(venue)
    assert await adapter.fills(NOW) == []
    assert len(await adapter.fills(NOW - timedelta(milliseconds=1))) == 1


async def test_a_product_that_nobody_names_is_an_error_only_where_it_matters(
    venue: RunningServer, connect: Connect, portfolio: Portfolio, clock: Clock
) -> None:
    portfolio.trade("BTC-USD", is_buy=True, size=Decimal("0.1"))
    now = clock.venue_ms()
    gone = Fill(2, "ADA-PERP-INTX", True, Decimal(20), Decimal("0.6"), Decimal(0), now, now)
    portfolio.fills.append(gone)
    adapter = connect(venue)
    assert len(await adapter.fills(NOW, ["BTC-USD"])) == 1
    for symbols in ([], ["ADA-PERP-INTX"]):
        with pytest.raises(VenueDataError, match="ADA-PERP-INTX"):
            await adapter.fills(NOW, symbols)
    assert venue.requests["product"] == 2  # asked for once each, not again
    portfolio.fills[-1] = Fill(2, "../x", True, Decimal(20), Decimal("0.6"), Decimal(0), now, now)
    with pytest.raises(VenueDataError, match="does not name"):
        await adapter.fills(NOW)
    assert not venue.brokerage.refused_paths


# --- budgets -----------------------------------------------------------------------------------------------------


async def test_the_venues_word_on_what_is_left(start: Start, connect: Connect) -> None:
    adapter = connect(await start(limit=100))
    assert adapter.budget_left == 10_000
    await adapter.check()
    assert adapter.budget_left == 98


async def test_with_nothing_left_by_the_venues_word_a_request_waits(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window is a minute, so that waiting the pause out is answered by 429: that it waited is what is seen."""
    monkeypatch.setattr(limits, "LONGEST_PAUSE_S", 0.3)
    venue = await start(limit=2)
    adapter = connect(venue)
    await adapter.check()
    assert adapter.budget_left == 0
    began = asyncio.get_running_loop().time()
    with pytest.raises(VenueUnreachable, match="too many requests"):
        await adapter.fills(datetime(2026, 1, 1, tzinfo=UTC))
    assert asyncio.get_running_loop().time() - began >= 0.2


async def test_a_spent_budget_asks_nothing(venue: RunningServer, clock: Clock) -> None:
    adapter = Coinbase(
        auth.key(KEY_NAME, SEC1),
        source=Source.SIMULATED,
        base_url=venue.url,
        settings=Settings(http=FAST),
        budget=WeightBudget(2, max_wait_s=0),
        clock=clock,
    )
    readings = (await adapter.snapshot()).scopes
    assert any("budget spent" in reading.error for reading in readings)
    assert sum(venue.requests.values()) == 2
    await adapter.close()


# --- faults ------------------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[Kind, dict[str, Any]]] = {
    "401": (Kind.HTTP_401, {}),
    "403": (Kind.HTTP_403, {}),
    "404": (Kind.HTTP_404, {}),
    "429": (Kind.HTTP_429, {}),
    "500": (Kind.HTTP_500, {}),
    "502 html": (Kind.HTTP_502, {}),
    "truncated": (Kind.TRUNCATED, {}),
    "reset": (Kind.RESET, {}),
    "redirect": (Kind.REDIRECT, {}),
    "oversized": (Kind.OVERSIZED, {"size": 2_000_000}),
    "hang": (Kind.HANG, {}),
    "slow": (Kind.SLOW, {"delay_s": 0.01}),
    "empty": (Kind.EMPTY, {}),
    "nan": (Kind.NAN, {}),
    "bare nan": (Kind.NAN, {"bare": True}),
    "stale": (Kind.STALE, {}),
    "clock behind": (Kind.CLOCK_SKEW, {"skew_ms": -60_000}),
    "clock ahead": (Kind.CLOCK_SKEW, {"skew_ms": 150_000}),
}
HARMLESS = {"slow", "stale"}  # stale: nothing has changed since
READS = ("accounts", "cfm/positions", "products", "best_bid_ask")


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("endpoint", READS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_makes_a_position_or_takes_one_away(
    venue: RunningServer, connect: Connect, fault: str, endpoint: str, warm: bool
) -> None:
    adapter = connect(venue)
    if warm:
        assert held(await adapter.snapshot()) == HELD
    kind, more = FAULTS[fault]
    venue.fault(kind, types=frozenset({endpoint}), **more)
    snapshot = await adapter.snapshot()
    readings = by_scope(snapshot)
    assert tuple(readings) == SCOPES
    for name, reading in readings.items():
        if reading.outcome is Outcome.OK:
            assert reading.error == ""
        else:
            assert reading.error, name
        if reading.outcome is Outcome.FAILED:
            assert reading.positions == ()
    expected = expected_outcomes(fault, endpoint, warm=warm)
    assert {name: reading.outcome.value for name, reading in readings.items()} == expected
    if not (fault == "empty" and not warm):
        # Where a scope is OK it says the truth; an empty first answer is weighed against the book, not in here.
        assert held(snapshot).items() <= HELD.items()
        for name, reading in readings.items():
            if reading.outcome is Outcome.OK:
                truth = {s for s in HELD if (s.endswith("-USD"), s == DATED, s == PERPETUAL)[SCOPES.index(name)]}
                assert {p.symbol for p in reading.positions} == truth
    venue.faults.clear()
    assert held(await adapter.snapshot()) == HELD
    assert await outcomes(adapter) == ALL_OK


def expected_outcomes(fault: str, endpoint: str, *, warm: bool) -> dict[str, str]:
    if fault in HARMLESS or endpoint == "best_bid_ask" or (endpoint == "products" and warm):
        return ALL_OK
    if fault == "empty":
        if endpoint != "products" and not warm:
            return ALL_OK
        if endpoint == "products":
            return dict.fromkeys(SCOPES, "FAILED")
        suspect = ("spot",) if endpoint == "accounts" else ("futures", "perpetuals")
        return ALL_OK | dict.fromkeys(suspect, "SUSPECT")
    if endpoint == "products":
        return dict.fromkeys(SCOPES, "FAILED")
    return FUTURES_ONLY if endpoint == "accounts" else SPOT_ONLY


@pytest.mark.parametrize("fault", FAULTS)
async def test_fills_are_complete_or_an_error(
    venue: RunningServer, connect: Connect, portfolio: Portfolio, fault: str
) -> None:
    portfolio.trade("BTC-USD", is_buy=True, size=Decimal("0.5"))
    kind, more = FAULTS[fault]
    venue.fault(kind, types=frozenset({"fills"}), **more)
    adapter = connect(venue)
    if fault in (*HARMLESS, "empty"):  # an empty list of fills is a list of fills: it explains nothing
        assert len(await adapter.fills(NOW)) == (fault != "empty")
        return
    with pytest.raises(VenueError):
        await adapter.fills(NOW)


@pytest.mark.parametrize("endpoint", ["time", "key_permissions"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_the_check_passes_or_says_why_not(
    venue: RunningServer, connect: Connect, fault: str, endpoint: str
) -> None:
    kind, more = FAULTS[fault]
    venue.fault(kind, types=frozenset({endpoint}), **more)
    adapter = connect(venue)
    clock_unknown = endpoint == "time" and not fault.startswith("clock")  # then the tokens have to tell
    without_numbers = endpoint == "key_permissions" and "nan" in fault
    if fault in (*HARMLESS, "empty") or clock_unknown or without_numbers:
        await adapter.check()
        return
    with pytest.raises((VenueRefused, VenueUnreachable)) as caught:
        await adapter.check()
    assert str(caught.value)


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces what the venue answers at one endpoint, given the question and the true answer."""

    def spoil(endpoint: str, change: Callable[[answers.Ask, Any], Any]) -> None:
        real = answers._ANSWERS[endpoint]
        changed = dict(answers._ANSWERS) | {endpoint: lambda ask: change(ask, real(ask))}
        monkeypatch.setattr(answers, "_ANSWERS", changed)

    return spoil


Spoil = Callable[[str, Callable[[answers.Ask, Any], Any]], None]


async def test_a_second_page_that_fails_is_no_shorter_list(start: Start, connect: Connect, spoil: Spoil) -> None:
    def second_is_broken(ask: answers.Ask, answer: Any) -> Any:
        if ask.query.get("cursor"):
            raise answers.Refused(500, "internal", "no second page")
        return answer

    server = await start(Style(page=2))
    spoil("accounts", second_is_broken)
    assert await outcomes(connect(server)) == FUTURES_ONLY


async def test_pages_that_go_in_circles_end(venue: RunningServer, connect: Connect, spoil: Spoil) -> None:
    spoil("accounts", lambda _, answer: answer | {"has_next": True, "cursor": "1"})
    reading = by_scope(await connect(venue).snapshot())["spot"]
    assert (reading.outcome, reading.error) == (Outcome.FAILED, "coinbase accounts: the next page is the same page")
    spoil("accounts", lambda ask, answer: answer | {"has_next": True, "cursor": ask.query.get("cursor", "") + "0"})
    reading = by_scope(await connect(venue).snapshot())["spot"]
    assert (reading.outcome, reading.error) == (Outcome.FAILED, "coinbase accounts: more than 50 pages")


async def test_a_list_without_an_end_is_no_answer(
    venue: RunningServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MOST_ROWS", 3)
    reading = by_scope(await connect(venue).snapshot())["spot"]
    assert (reading.outcome, reading.error) == (Outcome.FAILED, "coinbase accounts: more than 3 rows")


async def test_two_keys_of_one_portfolio_are_not_two_accounts(venue: RunningServer, clock: Clock) -> None:
    portfolios: dict[str, str] = {}

    def opened(key: auth.Key, account: str) -> Coinbase:
        return Coinbase(
            key,
            source=Source.SIMULATED,
            account=account,
            base_url=venue.url,
            settings=Settings(http=FAST),
            budget=WeightBudget(10_000),
            clock=clock,
            portfolios=portfolios,
        )

    first, second = opened(auth.key(KEY_NAME, SEC1), "main"), opened(auth.key(KEY_ID, ED_BYTES), "desk2")
    for _ in range(2):
        await first.check()
        with pytest.raises(VenueRefused, match="desk2 is bound to the portfolio that main reads: remove one of them"):
            await second.check()
    for one in (first, second):
        await one.close()


async def test_a_fill_of_the_future_is_none(
    venue: RunningServer, connect: Connect, portfolio: Portfolio, clock: Clock
) -> None:
    portfolio.trade("BTC-USD", is_buy=True, size=Decimal("0.25"))
    since = clock.now
    portfolio.fills[-1] = replace(portfolio.fills[-1], time=portfolio.fills[-1].time + 11 * 60_000)
    with pytest.raises(VenueDataError, match=r"coinbase fills: one is of .* which is in the future"):
        await connect(venue).fills(since)


async def test_an_error_with_status_200_is_no_position(venue: RunningServer, connect: Connect, spoil: Spoil) -> None:
    spoil("accounts", lambda *_: {"errors": [{"id": "internal", "message": "sorry"}]})
    reading = by_scope(await connect(venue).snapshot())["spot"]
    assert reading.error == "coinbase accounts: coinbase says: internal: sorry"


async def test_two_rows_of_one_contract_are_not_summed(venue: RunningServer, connect: Connect, spoil: Spoil) -> None:
    spoil("cfm/positions", lambda _, answer: {"positions": answer["positions"] * 2})
    assert await outcomes(connect(venue)) == SPOT_ONLY


async def test_a_row_on_two_pages_counts_once(venue: RunningServer, connect: Connect, spoil: Spoil) -> None:
    spoil("accounts", lambda _, answer: answer | {"accounts": answer["accounts"] * 2})
    assert held(await connect(venue).snapshot()) == HELD


async def test_contract_sizes_that_disagree_are_no_size(
    start: Start, connect: Connect, portfolio: Portfolio, spoil: Spoil
) -> None:
    server = await start(Style(amounts=True))
    spoil("cfm/positions", lambda _, a: {"positions": [row | {"contract_size": "1"} for row in a["positions"]]})
    reading = by_scope(await connect(server).snapshot())["futures"]
    assert "1 in the position, 0.01 in the product" in reading.error


async def test_old_metadata_is_better_than_none(
    venue: RunningServer, connect: Connect, portfolio: Portfolio, clock: Clock
) -> None:
    adapter = connect(venue)
    await adapter.snapshot()
    clock.now += timedelta(hours=2)
    venue.fault(Kind.HTTP_500, types=frozenset({"products"}))
    assert held(await adapter.snapshot()) == HELD
    portfolio.deposit("SOL", Decimal(1))
    assert await outcomes(adapter) == ALL_OK  # known from before
    portfolio.deposit("NEW", Decimal(1))
    assert await outcomes(adapter) == FUTURES_ONLY  # may be new, not unknown


async def test_a_lookup_that_answers_something_else(
    venue: RunningServer, connect: Connect, portfolio: Portfolio, spoil: Spoil
) -> None:
    portfolio.market(DATED).is_listed = False
    spoil("product", lambda _, answer: answer | {"product_id": "OTHER"})
    reading = by_scope(await connect(venue).snapshot())["futures"]
    assert reading.error == f"product {DATED}: the answer is of OTHER"


async def test_a_second_try_may_fail_otherwise(venue: RunningServer, connect: Connect) -> None:
    venue.fault(Kind.HTTP_401, types=frozenset({"accounts"}), count=1)
    venue.fault(Kind.HTTP_403, types=frozenset({"accounts"}))
    reading = by_scope(await connect(venue).snapshot())["spot"]
    assert "status 403" in reading.error
    assert "refused twice" not in reading.error


async def test_prices_that_cannot_be_had_leave_older_ones_to_tell_dust_by(
    venue: RunningServer, connect: Connect, portfolio: Portfolio
) -> None:
    adapter = connect(venue)
    await adapter.snapshot()
    portfolio.set_price("BTC-USD", Decimal(50000))
    venue.fault(Kind.HTTP_500, types=frozenset({"best_bid_ask"}))
    snapshot = await adapter.snapshot()
    assert by_scope(snapshot)["spot"].positions[0].mark_price == 91000
    assert "BTC-USD" not in dict(snapshot.marks)  # not pushed as a price of now
    (cold, *_) = by_scope(await connect(venue).snapshot())["spot"].positions
    assert cold.mark_price == 50000  # the product's last trade


async def test_no_request_follows_a_redirect_or_leaves_the_read_paths(venue: RunningServer, connect: Connect) -> None:
    adapter = connect(venue)
    await adapter.check()
    venue.fault(Kind.REDIRECT, location=f"{venue.url}/api/v3/brokerage/orders")
    assert set((await outcomes(adapter)).values()) == {"FAILED"}
    assert not venue.brokerage.refused_paths


async def test_the_control_api(venue: RunningServer, connect: Connect) -> None:
    async def post(session: aiohttp.ClientSession, name: str, status: int = 200, **body: Any) -> Any:
        async with session.post(f"{venue.url}/control/{name}", json=body) as response:
            assert response.status == status, await response.text()
            assert response.headers["Server"] == "SIMULATED"
            return await response.json()

    async with aiohttp.ClientSession() as session:
        await post(session, "trade", product="BTC-USD", side="buy", size="0.5")
        await post(session, "trade", product="BTC-USD", side="sell", size="99", status=409)
        await post(session, "trade", product="NO-USD", side="sell", size="1", status=404)
        await post(session, "deposit", currency="SOL", amount="3")
        await post(session, "hold", currency="SOL", amount="1")
        await post(session, "position", product=DATED, contracts="-7", entry="91000")
        await post(session, "mark", product=DATED, price="92000")
        await post(session, "close", product=PERPETUAL)
        await post(session, "close", product=PERPETUAL, status=404)
        await post(session, "trade", product="ETH-USD", side="buy", size="2")
        await post(session, "reverse", product="ETH-USD")
        await post(session, "reverse", product="ETH-USD", status=404)
        await post(session, "enrolment", enrolled=True)
        await post(session, "fault", kind="http_500", types=["time"], count=1)
        assert (await post(session, "faults/clear"))["cleared"] == 1
        async with session.get(f"{venue.url}/control/state") as response:
            state = await response.json()
        async with session.get(f"{venue.url}/api/v3/brokerage/intx/positions/x") as response:
            assert response.status == 404
        async with session.post(f"{venue.url}/api/v3/brokerage/orders", json={}) as response:
            assert response.status == 405
        async with session.get(f"{venue.url}/api/v3/brokerage/accounts") as response:
            assert (response.status, await response.text(), response.content_type) == (
                401,
                "Unauthorized\n",
                "text/plain",
            )
    assert (state["source"], state["fills"]) == ("SIMULATED", 4)
    assert held(await connect(venue).snapshot()) == {
        "BTC-USD": (Side.LONG, Decimal(2)),
        "ETH-USD": (Side.LONG, Decimal(10)),
        "SOL-USD": (Side.LONG, Decimal(3)),
        DATED: (Side.SHORT, Decimal("0.07")),
    }


async def test_a_liquidation_and_a_trade_that_was_taken_back(
    venue: RunningServer, connect: Connect, portfolio: Portfolio, clock: Clock
) -> None:
    adapter, before = connect(venue), held(await connect(venue).snapshot())
    cash = portfolio.wallet("USD").available
    since = clock.now
    for product, size in (("BTC-USD", "0.25"), (DATED, "3")):
        portfolio.trade(product, is_buy=True, size=Decimal(size))
        clock.now += timedelta(seconds=1)
        portfolio.reverse(product)
    assert held(await adapter.snapshot()) == before
    assert (await adapter.fills(since), portfolio.wallet("USD").available) == ([], cash)
    portfolio.liquidate(DATED, Decimal(80_000))
    (taken,) = await adapter.fills(since)
    assert (taken.symbol, taken.is_buy, taken.size, taken.price) == (DATED, False, Decimal("0.2"), Decimal(80_000))
    assert DATED not in held(await adapter.snapshot())


async def test_as_a_process_of_its_own(tmp_path: Path) -> None:
    key_file = tmp_path / "cdp.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "reconciler_service.simulator.coinbase", str(key_file), "--port", "0"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(20):
        said = ""
        while "COINBASE_API_URL=" not in said:
            said = (await process.stderr.readline()).decode()
    url = said.partition("COINBASE_API_URL=")[2].split()[0]
    assert key_file.stat().st_mode & 0o077 == 0
    adapter = Coinbase(auth.key("", auth.key_file(key_file)), source=Source.SIMULATED, base_url=url)
    await adapter.check()
    assert held(await adapter.snapshot()) == HELD
    await adapter.close()
    process.terminate()
    async with asyncio.timeout(20):
        assert await process.wait() == 0


# --- worth -------------------------------------------------------------------------------------------------------


async def test_each_scope_tells_what_it_is_worth(venue: RunningServer, connect: Connect, portfolio: Portfolio) -> None:
    portfolio.open_wallet("EUR", Decimal(70), "ACCOUNT_TYPE_FIAT")
    portfolio.set_hold("USD", Decimal(40_000))
    portfolio.trade(DATED, is_buy=False, size=Decimal(5), price=Decimal(91000))
    readings = by_scope(await connect(venue).snapshot())
    spot, futures = readings["spot"].equity, readings["futures"].equity
    assert spot is not None
    assert (spot.cash, spot.unpriced) == (Decimal(255_000), ("EUR",))
    assert spot.holdings == Decimal("1.5") * 91000 + 10 * Decimal("3100.5")
    assert futures is not None
    realized = Decimal("0.05") * (91000 - 90000) - 5 * Decimal("0.15")
    open_pnl = Decimal("0.15") * (91200 - 90000) + Decimal("0.05") * (92000 - 91050)
    assert (futures.cash, futures.unrealized_pnl) == (10_000 + realized, open_pnl)
    assert readings["perpetuals"].equity is None  # one account behind both: it counts once


@pytest.mark.parametrize("kind", [Kind.HTTP_500, Kind.HTTP_404, Kind.TRUNCATED, Kind.NAN])
async def test_positions_do_not_need_the_balance_summary(venue: RunningServer, connect: Connect, kind: Kind) -> None:
    venue.fault(kind, types=frozenset({"cfm/balance_summary"}))
    snapshot = await connect(venue).snapshot()
    assert held(snapshot) == HELD
    assert by_scope(snapshot)["futures"].equity is None


async def test_the_skew_of_the_clock_is_told(venue: RunningServer, connect: Connect, clock: Clock) -> None:
    clock.venue_ahead = timedelta(seconds=-20)
    adapter = connect(venue)
    assert (await adapter.snapshot()).clock_skew == timedelta(seconds=-20)  # a 401 made it be measured
    exact = connect(venue)
    clock.venue_ahead = timedelta()
    await exact.check()
    assert (await exact.snapshot()).clock_skew == timedelta()


async def test_fills_sized_in_quote_are_what_the_wallet_moved_by(
    venue: RunningServer, connect: Connect, portfolio: Portfolio, clock: Clock
) -> None:
    adapter = connect(venue)
    (before,) = [one for one in by_scope(await adapter.snapshot())["spot"].positions if one.symbol == "BTC-USD"]
    portfolio.trade_quote("BTC-USD", is_buy=True, worth=Decimal(1000))
    (found,) = await adapter.fills(clock.now, ["BTC-USD"])
    (after,) = [one for one in by_scope(await adapter.snapshot())["spot"].positions if one.symbol == "BTC-USD"]
    assert found.size == after.size - before.size == Decimal("0.01098901")
    venue.fault(Kind.HTTP_404, types=frozenset({"order"}))
    (rounded,) = await adapter.fills(clock.now, ["BTC-USD"])
    assert (rounded.size, rounded.text) == (Decimal("0.010989010989010989"), "size from quote, rounded")
