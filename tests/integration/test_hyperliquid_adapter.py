"""The adapter against a real HTTP server on loopback, which says what each test tells it to."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from reconciler_service.model import Outcome, ScopeReading, Side, Snapshot, Source
from reconciler_service.opening import open_venues
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.tables import Account
from reconciler_service.venues import Venue, VenueDataError, VenueRefused, VenueUnreachable
from reconciler_service.venues.budget import Breaker, WeightBudget
from reconciler_service.venues.http import HttpSettings, JsonHttp, Request, Retries, StatusRefused, Timeouts
from reconciler_service.venues.hyperliquid.adapter import KEPT, Hyperliquid, Settings, checked_address
from reconciler_service.venues.hyperliquid.pages import FILLS
from tests.reconciler_samples import until

ADDRESS = "0x" + "ab" * 20
NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
NOW_MS = 1_795_356_000_000
FAST = Retries(attempts=3, wait_s=0.001, max_wait_s=0.002, jitter_s=0.001, deadline_s=5)

PAGE = FILLS.full

Answer = Callable[[dict[str, Any]], Awaitable[web.StreamResponse] | web.StreamResponse]


def reply(value: object) -> web.Response:
    return web.json_response(value)


class FakeVenue:
    """Answers ``POST /info`` by type; ``script`` holds one-off answers that go first."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.now_ms = NOW_MS
        self.dexes: list[str] = []
        self.positions: dict[str, list[dict[str, Any]]] = {}
        self.fills: list[dict[str, Any]] = []
        self.newest_first = False
        self.script: dict[str, list[Answer]] = {}
        self.role: dict[str, Any] = {"role": "user"}
        self.mode = "default"
        self.url = ""

    def next(self, kind: str, *answers: Answer) -> None:
        self.script.setdefault(kind, []).extend(answers)

    def count(self, kind: str) -> int:
        return sum(body["type"] == kind for body in self.asked)

    async def info(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.asked.append(body)
        for key in (f"{body['type']} {body.get('dex', '')}".strip(), body["type"]):
            if self.script.get(key):
                answer = self.script[key].pop(0)(body)
                return answer if isinstance(answer, web.StreamResponse) else await answer
        return reply(getattr(self, body["type"])(body))

    def userAbstraction(self, _: dict[str, Any]) -> object:
        return self.mode

    def userRole(self, _: dict[str, Any]) -> object:
        return self.role

    def perpDexs(self, _: dict[str, Any]) -> object:
        return [None, *({"name": dex} for dex in self.dexes)]

    def meta(self, body: dict[str, Any]) -> object:
        dex = body.get("dex", "")
        names = {"": {"BTC": 5, "ARB": 1}}.get(dex, {f"{dex}:TSLA": 3})
        return {"universe": [{"name": name, "szDecimals": digits} for name, digits in names.items()]}

    def clearinghouseState(self, body: dict[str, Any]) -> object:
        assert body["user"] == ADDRESS
        rows = self.positions.get(body.get("dex", ""), [])
        total = sum((Decimal(row.get("positionValue", "0")) for row in rows), Decimal(0))
        return {
            "assetPositions": [{"type": "oneWay", "position": row} for row in rows],
            "marginSummary": {"accountValue": "1000.0", "totalNtlPos": str(total), "totalRawUsd": "0.0"},
            "time": self.now_ms,
        }

    def userFillsByTime(self, body: dict[str, Any]) -> object:
        kept = sorted(self.fills, key=lambda row: row["time"])[-KEPT:]
        rows = [row for row in kept if body["startTime"] <= row["time"] <= body.get("endTime", 2**60)]
        return rows[::-1][:PAGE] if self.newest_first else rows[:PAGE]


@pytest.fixture
async def venue() -> AsyncIterator[FakeVenue]:
    fake = FakeVenue()
    app = web.Application()
    app.router.add_post("/info", fake.info)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    yield fake
    await runner.cleanup()


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def adapter(venue: FakeVenue, clock: Clock) -> AsyncIterator[Hyperliquid]:
    made = Hyperliquid(
        ADDRESS.upper().replace("X", "x"),
        source=Source.SIMULATED,
        base_url=venue.url,
        settings=Settings(spot=None, http=HttpSettings(retries=FAST)),
        clock=clock,
    )
    yield made
    await made.close()


def long_btc(size: str = "0.5") -> dict[str, Any]:
    value = str(Decimal(size) * 42500)
    return {"coin": "BTC", "szi": size, "entryPx": "42000.0", "positionValue": value, "liquidationPx": None}


def by_scope(snapshot: Snapshot) -> dict[str, ScopeReading]:
    return {reading.scope: reading for reading in snapshot.scopes}


async def outcomes(adapter: Hyperliquid) -> dict[str, str]:
    return {reading.scope: reading.outcome.value for reading in (await adapter.snapshot()).scopes}


def html(_: dict[str, Any]) -> web.Response:
    return web.Response(status=502, text="<html>CloudFront</html>", content_type="text/html")


def too_many(_: dict[str, Any]) -> web.Response:
    return web.json_response(None, status=429)


def truncated(_: dict[str, Any]) -> web.Response:
    return web.Response(body=b'{"assetPositions": [{"position": {"coin": "BT', content_type="application/json")


async def test_a_snapshot_of_all_dexes(adapter: Hyperliquid, venue: FakeVenue) -> None:
    assert isinstance(adapter.source, Source)
    as_protocol: Venue = adapter
    venue.dexes = ["xyz", "flx"]
    venue.positions = {
        "": [long_btc(), {"coin": "ARB", "szi": "-1064075.6000000001"}],
        "xyz": [{"coin": "xyz:TSLA", "szi": "2"}],
    }
    snapshot = await as_protocol.snapshot()
    assert (snapshot.venue, snapshot.account, snapshot.source) == ("hyperliquid", "main", Source.SIMULATED)
    assert snapshot.requested_at == NOW
    scopes = by_scope(snapshot)
    assert {name: reading.outcome for name, reading in scopes.items()} == dict.fromkeys(("", "xyz", "flx"), Outcome.OK)
    assert [reading.symbol_prefix for reading in snapshot.scopes] == ["", "xyz:", "flx:"]
    btc, arb = scopes[""].positions
    assert (btc.asset, btc.side, btc.size, btc.mark_price) == ("BTC/USD", Side.LONG, Decimal("0.5"), Decimal(42500))
    assert (arb.side, arb.size, arb.raw_size) == (Side.SHORT, Decimal("1064075.6"), "-1064075.6000000001")
    assert scopes["xyz"].positions[0].asset == "TSLA/USD"
    assert snapshot.marks == (("BTC", Decimal(42500)),)
    assert scopes[""].observed_at == NOW


async def test_metadata_is_read_once_an_hour_and_only_where_needed(
    adapter: Hyperliquid, venue: FakeVenue, clock: Clock
) -> None:
    venue.dexes = ["xyz"]
    venue.positions = {"": [long_btc()]}
    before = adapter.budget_left
    for _ in range(3):
        await adapter.snapshot()
    assert (venue.count("perpDexs"), venue.count("meta"), venue.count("clearinghouseState")) == (1, 1, 6)
    assert before - adapter.budget_left == 20 + 20 + 20 + 6 * 2  # dexes, markets, mode, states
    for reads in (1, 2):  # looking often does not put it off
        clock.now += timedelta(minutes=30)
        venue.now_ms += 1_800_000
        await adapter.snapshot()
        assert (venue.count("perpDexs"), venue.count("meta")) == (reads, reads)


async def test_one_dex_fails_alone(adapter: Hyperliquid, venue: FakeVenue) -> None:
    venue.dexes = ["xyz", "flx"]
    venue.positions = {"": [long_btc()]}
    venue.next("clearinghouseState xyz", html, html, html)
    scopes = by_scope(await adapter.snapshot())
    assert scopes["xyz"].outcome is Outcome.FAILED
    assert scopes["xyz"].error == "hyperliquid clearinghouseState of xyz: status 502"
    assert scopes["xyz"].positions == ()
    assert (scopes[""].outcome, scopes["flx"].outcome) == (Outcome.OK, Outcome.OK)


@pytest.mark.parametrize("fault", [too_many, html, truncated])
async def test_a_passing_fault_is_retried(adapter: Hyperliquid, venue: FakeVenue, fault: Answer) -> None:
    venue.positions = {"": [long_btc()]}
    venue.next("clearinghouseState", fault, fault)
    assert await outcomes(adapter) == {"": "OK"}
    assert venue.count("clearinghouseState") == 3


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"assetPositions": [{"position": {"coin": "BTC", "szi": NaN}}]}', "holds NaN"),
        (b'{"assetPositions": [{"position": {"coin": "BTC", "szi": "NaN"}}]}', "BTC szi"),
        (b'{"assetPositions": [{"position": {"coin": "BTC", "szi": "0.123456789"}}]}', "not a multiple"),
        (b'{"assetPositions": [{"position": {"coin": "xyz:TSLA", "szi": "1"}}]}', "does not belong to the dex"),
        (b"null", "expected an object"),
        (b"{}", "assetPositions: expected an array"),
        (b'{"status": "err", "response": "User does not exist."}', "User does not exist"),
    ],
)
async def test_an_answer_that_breaks_the_format_is_no_position(
    adapter: Hyperliquid, venue: FakeVenue, body: bytes, error: str
) -> None:
    venue.next("clearinghouseState", lambda _: web.Response(body=body, content_type="application/json"))
    (reading,) = (await adapter.snapshot()).scopes
    assert (reading.outcome, reading.positions) == (Outcome.FAILED, ())
    assert error in reading.error
    assert venue.count("clearinghouseState") == 1  # such an answer is not asked for again


async def test_unlisted_dexes_are_never_concluded_to_be_empty(
    adapter: Hyperliquid, venue: FakeVenue, clock: Clock
) -> None:
    venue.dexes = ["xyz"]
    venue.next("perpDexs", html, html, html)
    assert await outcomes(adapter) == {"": "OK", "*": "FAILED"}
    assert await outcomes(adapter) == {"": "OK", "xyz": "OK"}  # asked again at once, not in an hour
    clock.now += timedelta(hours=1)
    venue.now_ms += 3_600_000
    venue.next("perpDexs", html, html, html)
    assert await outcomes(adapter) == {"": "OK", "xyz": "OK", "*": "FAILED"}


async def test_a_dex_that_leaves_the_list_while_it_holds_positions_is_still_read(
    adapter: Hyperliquid, venue: FakeVenue, clock: Clock
) -> None:
    venue.dexes = ["xyz", "flx"]
    venue.positions = {"xyz": [{"coin": "xyz:TSLA", "szi": "2"}]}
    await adapter.snapshot()
    venue.dexes = []
    clock.now += timedelta(hours=1)
    venue.now_ms += 3_600_000
    assert await outcomes(adapter) == {"": "OK", "xyz": "OK"}


async def test_times_and_emptiness_are_told_and_not_judged(adapter: Hyperliquid, venue: FakeVenue) -> None:
    venue.positions = {"": [long_btc()]}
    await adapter.snapshot()
    venue.positions = {}
    venue.now_ms -= 61_000
    reading = by_scope(await adapter.snapshot())[""]
    assert (reading.outcome, reading.positions, reading.observed_at) == (Outcome.OK, (), NOW - timedelta(seconds=61))


async def test_a_state_without_a_time_is_read(adapter: Hyperliquid, venue: FakeVenue) -> None:
    venue.next("clearinghouseState", lambda _: reply({"assetPositions": []}))
    assert await outcomes(adapter) == {"": "OK"}


async def test_positions_missing_against_the_totals_are_suspect(adapter: Hyperliquid, venue: FakeVenue) -> None:
    def cut(_: dict[str, Any]) -> web.Response:
        return reply({"assetPositions": [], "marginSummary": {"totalNtlPos": "21250.0"}, "time": NOW_MS})

    venue.next("clearinghouseState", cut)
    reading = by_scope(await adapter.snapshot())[""]
    assert (reading.outcome, "some are missing" in reading.error) == (Outcome.SUSPECT, True)


async def test_unified_totals_that_mean_nothing_cast_no_doubt(adapter: Hyperliquid, venue: FakeVenue) -> None:
    venue.mode = "unifiedAccount"
    await adapter.snapshot()
    for total in ("21250.0", "0.0"):  # more than is listed, and less
        row = {"type": "oneWay", "position": long_btc("0.1")}
        state = {"assetPositions": [row], "marginSummary": {"totalNtlPos": total}, "time": NOW_MS}
        venue.next("clearinghouseState", lambda _, state=state: reply(state))  # type: ignore[misc]
        reading = by_scope(await adapter.snapshot())[""]
        assert (reading.outcome, len(reading.positions), reading.equity) == (Outcome.OK, 1, None)


async def test_a_mode_that_changed_is_noticed_by_totals_that_do_not_add_up(
    adapter: Hyperliquid, venue: FakeVenue
) -> None:
    def more_than_listed(_: dict[str, Any]) -> web.Response:
        row = {"type": "oneWay", "position": long_btc("0.1")}
        return reply({"assetPositions": [row], "marginSummary": {"totalNtlPos": "99999.0"}, "time": NOW_MS})

    await adapter.snapshot()
    venue.mode = "unifiedAccount"
    venue.next("clearinghouseState", *[more_than_listed] * 3)
    assert await outcomes(adapter) == {"": "SUSPECT"}  # an hour has not passed
    assert await outcomes(adapter) == {"": "OK"}
    assert await outcomes(adapter) == {"": "OK"}
    assert venue.count("userAbstraction") == 2


async def test_the_first_look_at_a_unified_account_is_judged_by_its_mode_however_late_that_comes(
    adapter: Hyperliquid, venue: FakeVenue
) -> None:
    async def late(_: dict[str, Any]) -> web.Response:
        await until(lambda: venue.count("clearinghouseState") > 0)
        return reply("unifiedAccount")

    row = {"type": "oneWay", "position": long_btc("0.1")}
    state = {"assetPositions": [row], "marginSummary": {"totalNtlPos": "99999.0"}, "time": NOW_MS}
    venue.next("clearinghouseState", lambda _: reply(state))
    venue.next("userAbstraction", late)
    assert await outcomes(adapter) == {"": "OK"}


async def test_a_new_coin_makes_the_metadata_be_read_again(adapter: Hyperliquid, venue: FakeVenue) -> None:
    venue.positions = {"": [long_btc()]}
    await adapter.snapshot()
    venue.positions = {"": [long_btc(), {"coin": "NEW", "szi": "1.5"}]}
    venue.next(
        "meta", lambda _: reply({"universe": [{"name": "BTC", "szDecimals": 5}, {"name": "NEW", "szDecimals": 1}]})
    )
    positions = by_scope(await adapter.snapshot())[""].positions
    assert [p.asset for p in positions] == ["BTC/USD", "NEW/USD"]
    venue.positions[""].append({"coin": "ODD", "szi": "1.5"})
    venue.next("meta", html, html, html)
    assert await outcomes(adapter) == {"": "FAILED"}  # unknown only because we could not look
    positions = by_scope(await adapter.snapshot())[""].positions
    assert positions[2].asset is None


async def test_metadata_without_a_market_does_not_make_a_held_coin_unknown(
    adapter: Hyperliquid, venue: FakeVenue, clock: Clock
) -> None:
    venue.positions = {"": [long_btc()]}
    venue.next("meta", lambda _: reply({"universe": []}))
    reading = by_scope(await adapter.snapshot())[""]
    assert (reading.outcome, reading.error) == (
        Outcome.FAILED,
        "meta of '': no market at all, though BTC is held there",
    )
    assert await outcomes(adapter) == {"": "OK"}
    clock.now += timedelta(hours=1)
    venue.now_ms += 3_600_000
    venue.next("meta", lambda _: reply({"universe": [{"name": "ARB", "szDecimals": 1}]}))
    (held,) = by_scope(await adapter.snapshot())[""].positions
    assert held.asset == "BTC/USD", "a coin that left the list is still what it was"


async def test_old_metadata_serves_while_new_cannot_be_read(
    adapter: Hyperliquid, venue: FakeVenue, clock: Clock
) -> None:
    venue.positions = {"": [long_btc()]}
    await adapter.snapshot()
    clock.now += timedelta(hours=2)
    venue.now_ms += 7_200_000
    venue.next("meta", html, html, html)
    assert await outcomes(adapter) == {"": "OK"}


# --- check -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "error"),
    [
        ({"role": "missing"}, f"knows no account {ADDRESS}: check HYPERLIQUID_KEY"),
        ({"role": "agent", "data": {"user": "0xfeed"}}, "Set HYPERLIQUID_KEY to its master's address 0xfeed"),
        ({"role": "agent"}, "Set HYPERLIQUID_KEY to its master's address"),
        ({"role": "somethingNew"}, "'somethingNew'"),
    ],
)
async def test_an_address_that_cannot_hold_positions_is_refused(
    adapter: Hyperliquid, venue: FakeVenue, role: dict[str, Any], error: str
) -> None:
    venue.role = role
    with pytest.raises(VenueRefused, match=error):
        await adapter.check()


@pytest.mark.parametrize("role", ["missing", "agent"])
async def test_of_an_account_of_the_file_the_address_there_is_refused(venue: FakeVenue, role: str) -> None:
    venue.role = {"role": role}
    row = Account(venue="hyperliquid", name="desk2", address=ADDRESS)
    settings = ReconcilerSettings(accounts=(row,), hyperliquid_api_url=venue.url, venues="simulated", push=False)
    (made,), _ = open_venues(settings)
    try:
        with pytest.raises(VenueRefused, match=r"(check|Set) address in the settings file"):
            await made.check()
    finally:
        await made.close()


async def test_check_passes_holders_and_costs_60(adapter: Hyperliquid, venue: FakeVenue) -> None:
    for role in ("user", "vault", "subAccount"):
        venue.role = {"role": role}
        await adapter.check()
    assert adapter.budget_left == 960 - 3 * 60
    venue.role = {}
    with pytest.raises(VenueUnreachable):
        await adapter.check()


def test_addresses_are_checked_and_never_repeated() -> None:
    assert checked_address(" 0x" + "AB" * 20 + "\n") == ADDRESS
    for bad in ("", "0x", ADDRESS[:-1], ADDRESS + "0", "ab" * 20, "0x" + "g" * 40):
        with pytest.raises(VenueRefused, match="42 characters"):
            checked_address(bad)
    key = "0x" + "c0ffee00" * 8
    with pytest.raises(VenueRefused, match="looks like a private key") as caught:
        checked_address(key)
    assert "c0ffee" not in str(caught.value)


# --- spot ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def with_spot(venue: FakeVenue, clock: Clock) -> AsyncIterator[Hyperliquid]:
    made = Hyperliquid(
        ADDRESS,
        source=Source.SIMULATED,
        base_url=venue.url,
        settings=Settings(http=HttpSettings(retries=FAST)),
        clock=clock,
    )
    yield made
    await made.close()


async def test_a_token_that_is_listed_twice_is_no_balance(with_spot: Hyperliquid, venue: FakeVenue) -> None:
    row = {"coin": "UBTC", "token": 1, "total": "1.0", "hold": "0.0"}
    venue.next("spotClearinghouseState", lambda _: reply({"balances": [row, row]}))
    spot = by_scope(await with_spot.snapshot())["spot"]
    assert (spot.outcome, spot.positions, spot.error) == (Outcome.FAILED, (), "balances: a token is listed twice")


async def test_spot_that_hangs_does_not_take_the_dexes_with_it(
    with_spot: Hyperliquid, venue: FakeVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler_service.venues.hyperliquid.spot.PATIENCE_S", 0.05)
    monkeypatch.setattr("reconciler_service.venues.hyperliquid.modes.PATIENCE_S", 0.05)
    release = asyncio.Event()

    async def hang(_: dict[str, Any]) -> web.StreamResponse:
        await release.wait()
        return reply(None)

    venue.positions = {"": [long_btc()]}
    venue.next("spotClearinghouseState", hang)
    venue.next("userAbstraction", hang)
    snapshot = await with_spot.snapshot()
    release.set()
    scopes = by_scope(snapshot)
    assert (scopes["spot"].outcome, scopes["spot"].error) == (Outcome.FAILED, "no answer within 0.05 s")
    assert (scopes[""].outcome, len(scopes[""].positions), snapshot.mode) == (Outcome.OK, 1, "")


async def test_a_pair_that_is_new_is_looked_up_and_an_outcome_is_not(with_spot: Hyperliquid, venue: FakeVenue) -> None:
    token = {"szDecimals": 2, "weiDecimals": 8}
    tokens = [{"name": "USDC", "index": 0, **token}, {"name": "HYPE", "index": 150, **token}]
    pair = {"name": "@107", "index": 107, "tokens": [150, 0]}
    other = {"name": "@200", "index": 200, "tokens": [0, 150]}
    venue.next(
        "spotMeta",
        lambda _: reply({"tokens": tokens, "universe": [other]}),
        lambda _: reply({"tokens": tokens, "universe": [other, pair]}),
    )
    venue.fills = made_fills(1, 1, "@107") + made_fills(1, 1, "#10") + made_fills(1, 1, "@200")
    for row in venue.fills:
        row["feeToken"] = "HYPE"
    assert {fill.symbol for fill in await with_spot.fills(NOW, ["@107", "#10", "@200"])} == {"@107", "#10", "@200"}
    assert len(await with_spot.fills(NOW, ["@107"])) == 1
    assert venue.count("spotMeta") == 2


# --- fills -----------------------------------------------------------------------------------------------------------


def made_fills(count: int, per_ms: int, coin: str = "BTC") -> list[dict[str, Any]]:
    return [
        {
            "coin": coin,
            "px": "1",
            "sz": "1",
            "side": "B",
            "time": NOW_MS + i // per_ms,
            "startPosition": str(i),
            "oid": 1,
            "tid": (i * 7919) % 1_000_003 + 1,
            "fee": "0",
        }
        for i in range(count)
    ]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(
    ("count", "per_ms"), [(0, 1), (1, 1), (PAGE - 1, 7), (PAGE, 7), (PAGE + 1, 7), (3 * PAGE + 5, 1999)]
)
async def test_fills_are_paged_without_loss_or_double(
    adapter: Hyperliquid, venue: FakeVenue, count: int, per_ms: int, newest_first: bool
) -> None:
    venue.fills = made_fills(count, per_ms)
    venue.newest_first = newest_first
    found = await adapter.fills(NOW)
    assert [fill.start_position for fill in found] == list(range(count))


async def test_fills_cost_what_they_carry(adapter: Hyperliquid, venue: FakeVenue) -> None:
    venue.fills = made_fills(21, 1)
    await adapter.fills(NOW)
    assert adapter.budget_left == 960 - 20 - 2


async def test_fills_since_is_inclusive_and_filters(adapter: Hyperliquid, venue: FakeVenue) -> None:
    venue.fills = made_fills(3, 1) + made_fills(1, 1, "@107") + made_fills(1, 1, "xyz:TSLA")
    later = NOW + timedelta(milliseconds=1, microseconds=500)
    assert [fill.start_position for fill in await adapter.fills(later)] == [1, 2]
    assert {fill.symbol for fill in await adapter.fills(NOW)} == {"BTC", "xyz:TSLA"}
    assert {fill.symbol for fill in await adapter.fills(NOW, ["@107"])} == {"@107"}


async def test_a_millisecond_fuller_than_a_page_is_an_error_not_a_loop(adapter: Hyperliquid, venue: FakeVenue) -> None:
    venue.fills = made_fills(PAGE + 1, PAGE + 1)
    with pytest.raises(VenueUnreachable, match="more than a page holds"):
        await adapter.fills(NOW)
    assert venue.count("userFillsByTime") <= 2


async def test_fills_the_venue_no_longer_has_are_an_error(adapter: Hyperliquid, venue: FakeVenue) -> None:
    venue.fills = made_fills(KEPT + 1, 100)
    with pytest.raises(VenueRefused, match="keeps the newest 10000"):
        await adapter.fills(NOW - timedelta(seconds=1))


async def test_fills_that_never_end_are_an_error(adapter: Hyperliquid, venue: FakeVenue) -> None:
    """A venue that always has another full page: bounded by pages, and by the budget before that."""
    endless = iter(range(1, 10**6))

    def page(body: dict[str, Any]) -> web.Response:
        rows = made_fills(2, 1)
        rows[1]["time"] = body["startTime"] + next(endless)
        rows[0]["time"] = body["startTime"]
        return reply(rows * (PAGE // 2))

    venue.next("userFillsByTime", *([page] * 30))
    with pytest.raises(VenueUnreachable, match="budget spent"):
        await adapter.fills(NOW)
    venue.script.clear()
    venue.next("userFillsByTime", *([page] * 30))
    rich = Hyperliquid(ADDRESS, source=Source.SIMULATED, base_url=venue.url, budget=WeightBudget(10**6))
    with pytest.raises(VenueUnreachable, match="more than 25 pages"):
        await rich.fills(NOW)
    await rich.close()


async def test_a_bad_fill_fails_the_read(adapter: Hyperliquid, venue: FakeVenue) -> None:
    venue.fills = [made_fills(1, 1)[0] | {"sz": "NaN"}]
    with pytest.raises(VenueDataError, match="BTC sz"):
        await adapter.fills(NOW)


# --- the client ------------------------------------------------------------------------------------------------------


async def send(venue: FakeVenue, **settings: Any) -> object:
    client = JsonHttp(venue.url, WeightBudget(960), settings=HttpSettings(**{"retries": FAST, **settings}))
    try:
        return await client.send(Request("POST", "/info", "asking", body={"type": "perpDexs"}))
    finally:
        await client.close()


async def test_an_answer_too_large_is_cut_off_even_when_it_is_small_on_the_wire(venue: FakeVenue) -> None:
    bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    assert len(bomb) < 100_000
    venue.next(
        "perpDexs",
        lambda _: web.Response(body=b'"' + b"x" * 2000 + b'"', content_type="application/json"),
        lambda _: web.Response(body=bomb, content_type="application/json", headers={"Content-Encoding": "gzip"}),
    )
    with pytest.raises(VenueDataError, match="larger than 1000 bytes"):
        await send(venue, max_bytes=1000)
    with pytest.raises(VenueDataError, match="larger than 1000000 bytes"):
        await send(venue, max_bytes=1_000_000)
    assert venue.count("perpDexs") == 2


async def test_redirects_are_not_followed(venue: FakeVenue) -> None:
    venue.next("perpDexs", lambda _: web.Response(status=307, headers={"Location": venue.url + "/info"}))
    with pytest.raises(StatusRefused, match="status 307"):
        await send(venue)
    assert venue.count("perpDexs") == 1


async def test_a_slow_venue_times_out(venue: FakeVenue) -> None:
    release = asyncio.Event()

    async def hang(_: dict[str, Any]) -> web.StreamResponse:
        await release.wait()
        return reply([None])

    venue.next("perpDexs", hang, hang, hang)
    with pytest.raises(VenueUnreachable, match="asking: timed out"):
        await send(venue, timeouts=Timeouts(total_s=0.05, connect_s=1, handshake_s=1, read_s=1))
    assert venue.count("perpDexs") == 3
    venue.next("perpDexs", hang)
    with pytest.raises(VenueUnreachable, match=r"no answer within 0.05 s"):
        await send(venue, retries=Retries(deadline_s=0.05))
    release.set()


async def test_a_body_cut_off_is_unreachable() -> None:
    heads = []

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n[1, 2]")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = JsonHttp(f"http://127.0.0.1:{port}", WeightBudget(960), settings=HttpSettings(retries=FAST))
    with pytest.raises(VenueUnreachable, match=r"asking: no answer .ClientPayloadError"):
        await client.send(Request("GET", "/x", "asking"))
    assert len(heads) == 3
    await client.close()
    server.close()
    await server.wait_closed()
    with pytest.raises(VenueUnreachable, match=r"asking: no answer .ClientConnectorError"):
        await client.send(Request("GET", "/x", "asking"))
    await client.close()


async def test_a_venue_asked_to_wait_for_ever_is_asked_again_soon(venue: FakeVenue) -> None:
    venue.next("perpDexs", lambda _: web.json_response(None, status=429, headers={"Retry-After": "3600"}))
    assert await send(venue) == [None]


async def test_after_failures_in_a_row_nothing_is_sent(venue: FakeVenue) -> None:
    client = JsonHttp(
        venue.url, WeightBudget(960), settings=HttpSettings(retries=FAST), breaker=Breaker(threshold=3, open_s=600)
    )
    venue.next("perpDexs", html, html, html)
    ask = Request("POST", "/info", "asking", body={"type": "perpDexs"})
    with pytest.raises(VenueUnreachable, match="status 502"):
        await client.send(ask)
    with pytest.raises(VenueUnreachable, match="3 failures in a row"):
        await client.send(ask)
    assert venue.count("perpDexs") == 3
    await client.close()


async def test_a_credential_is_fresh_for_each_attempt_and_never_in_an_error(venue: FakeVenue) -> None:
    tokens: list[str] = []

    async def headers() -> dict[str, str]:
        tokens.append(f"canary-secret-token-{len(tokens)}")
        return {"Authorization": f"Bearer {tokens[-1]}"}

    def echo(_: dict[str, Any]) -> web.Response:
        return web.Response(status=403, text=f"bad token {tokens[-1]}", content_type="text/plain")

    venue.next("perpDexs", too_many, echo)
    client = JsonHttp(venue.url, WeightBudget(960), settings=HttpSettings(retries=FAST))
    with pytest.raises(StatusRefused) as caught:
        await client.send(Request("POST", "/info", "asking", body={"type": "perpDexs"}, headers=headers))
    assert str(caught.value) == "asking: status 403: bad token ***"
    assert len(tokens) == 2
    await client.close()


async def test_a_spent_budget_fails_the_scope_and_says_so(venue: FakeVenue, clock: Clock) -> None:
    small = WeightBudget(21, max_wait_s=0)
    adapter = Hyperliquid(ADDRESS, source=Source.SIMULATED, base_url=venue.url, budget=small, clock=clock)
    reading = by_scope(await adapter.snapshot())[""]
    assert (reading.outcome, "request budget spent" in reading.error) == (Outcome.FAILED, True)
    await adapter.close()


async def test_adapters_of_one_url_share_a_budget(adapter: Hyperliquid, venue: FakeVenue) -> None:
    other = Hyperliquid("0x" + "cd" * 20, source=Source.SIMULATED, base_url=venue.url + "/", account="hedge")
    await adapter.check()
    assert other.budget_left == adapter.budget_left == 900
    await other.close()
