"""A watch over a SIMULATED venue, over real sockets: what makes it call, and whatever the socket does, it goes on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp import web

from reconciler_service.health import PushState
from reconciler_service.opening import open_venues
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.simulator import scenario, server, sockets
from reconciler_service.simulator.coinbase import scenario as coinbase_scenario
from reconciler_service.simulator.coinbase.gate import ApiKey
from reconciler_service.simulator.coinbase.scenario import DATED
from reconciler_service.simulator.coinbase.server import RunningServer as RunningCoinbase
from reconciler_service.simulator.coinbase.server import serve as serve_coinbase
from reconciler_service.simulator.faults import Kind
from reconciler_service.simulator.records import SpotBalance
from reconciler_service.simulator.wire import Style
from reconciler_service.tables import Account
from reconciler_service.venues import push
from reconciler_service.venues.coinbase import auth
from reconciler_service.venues.coinbase.push import CoinbaseDialect
from reconciler_service.venues.hyperliquid.push import MOST_USERS, TAKEN, HyperliquidDialect
from reconciler_service.venues.push import Backoff, Dialect, Places, SocketWatch, socket_url
from tests.coinbase_samples import EC, KEY_NAME, SEC1
from tests.reconciler_samples import until

DESK = scenario.DESK
OTHER = "0x" + "22" * 20
QUICK = Backoff(first_s=0.01, longest_s=0.02)


class Listening:
    """A watch under way, and how often it called."""

    def __init__(self, dialect: Dialect, places: Places | None) -> None:
        self.calls = 0
        self.watch = SocketWatch(dialect, "the venue main", places=places, backoff=QUICK)
        self.task = asyncio.create_task(self.watch.run(self._called))

    def _called(self) -> None:
        self.calls += 1

    @property
    def state(self) -> PushState:
        return self.watch.state.state

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def is_up(self) -> None:
        await until(lambda: self.state is PushState.UP)

    async def hears(self, happening: Callable[[], Any]) -> None:
        """Let something happen, and wait until it is called because of it."""
        before = self.calls
        happening()
        await until(lambda: self.calls > before)


class Listen(Protocol):
    """Starts one."""

    async def __call__(self, dialect: Dialect, places: Places | None = None) -> Listening: ...


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    running: list[Listening] = []

    async def start(dialect: Dialect, places: Places | None = None) -> Listening:
        one = Listening(dialect, places)
        running.append(one)
        return one

    yield start
    for one in running:
        await one.stop()


@pytest.fixture
async def venue() -> AsyncIterator[server.RunningServer]:
    exchange = scenario.new_exchange(lambda: time.time_ns() // 1_000_000)
    scenario.seed(exchange)
    running = await server.serve(exchange, style=Style())
    yield running
    await running.close()


@pytest.fixture
async def coinbase() -> AsyncIterator[RunningCoinbase]:
    portfolio = coinbase_scenario.new_portfolio(lambda: time.time_ns() // 1_000_000)
    running = await serve_coinbase(portfolio, [ApiKey(KEY_NAME, EC.public_key())])
    yield running
    await running.close()


def hyperliquid(venue: server.RunningServer) -> HyperliquidDialect:
    return HyperliquidDialect(DESK, [socket_url(venue.url)])


def coinbase_at(*urls: str, futures: bool = True) -> CoinbaseDialect:
    key = auth.key(KEY_NAME, SEC1)
    return CoinbaseDialect(key, urls, lambda: datetime.now(UTC), futures=futures)


def buy(venue: server.RunningServer) -> Callable[[], Any]:
    return lambda: venue.exchange.trade(DESK, "BTC", is_buy=True, size=Decimal("0.001"))


async def test_hyperliquid_is_heard(venue: server.RunningServer, listen: Listen) -> None:
    one = await listen(hyperliquid(venue))
    await one.is_up()
    assert one.calls == 1, "a new connection is a reason to look"
    state = one.watch.state
    assert (state.last_error, state.changes) == ("", 1)
    assert state.up_since is not None
    for happening in (
        buy(venue),
        lambda: venue.exchange.close(DESK, "SOL"),
        lambda: venue.exchange.set_leverage(DESK, "HYPE", 10, scenario.Mode.CROSS),
        lambda: venue.exchange.liquidate(DESK, "ETH"),
        lambda: venue.exchange.trade(DESK, "xyz:TSLA", is_buy=False, size=Decimal(1)),
        lambda: venue.exchange.set_spot(DESK, SpotBalance("HYPE", Decimal("4.5"))),
    ):
        await one.hears(happening)


async def test_marks_that_move_are_no_reason_to_look(venue: server.RunningServer, listen: Listen) -> None:
    one = await listen(hyperliquid(venue))
    await one.is_up()
    walk = scenario.Walk(venue.exchange)
    for _ in range(20):
        walk.step()
        heard_at = one.watch.state.last_message_at
        await until(lambda at=heard_at: one.watch.state.last_message_at != at)
    assert one.calls == 1


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.TRUNCATED, Kind.DUPLICATE, Kind.LOST, Kind.SLOW])
async def test_a_frame_of_hyperliquid_goes_wrong(venue: server.RunningServer, listen: Listen, kind: Kind) -> None:
    one = await listen(hyperliquid(venue))
    await one.is_up()
    venue.fault(kind, types=frozenset({"ws/userFills"}), count=1, delay_s=0.2)
    await one.hears(buy(venue))
    await until(lambda: not venue.faults.active)
    told = {Kind.RESET: "the venue closed the connection (code 1006)", Kind.TRUNCATED: "hyperliquid push: broken JSON"}
    if kind in told:
        await until(lambda: one.watch.state.last_error.startswith(told[kind]))
    else:
        assert one.watch.state.last_error == ""
    await one.is_up()
    await one.hears(buy(venue))


async def test_a_connection_that_drops_is_made_again_and_is_a_reason_to_look(
    venue: server.RunningServer, listen: Listen
) -> None:
    one = await listen(hyperliquid(venue))
    for opened in range(1, 4):
        await until(lambda opened=opened: venue.sockets.opened == opened and one.state is PushState.UP)
        assert one.calls == opened
        venue.fault(Kind.RESET, types=frozenset({"ws"}), count=1)
        venue.exchange.set_mark("BTC", Decimal(42_500 + opened))
        await until(lambda opened=opened: venue.sockets.opened > opened)
    await one.is_up()
    assert one.watch.state.last_error.startswith("the venue closed the connection (code 1006")


async def test_a_silent_connection_is_given_up(venue: server.RunningServer, listen: Listen) -> None:
    dialect = hyperliquid(venue)
    dialect.ping_s, dialect.silence_s = 0.05, 1.0
    one = await listen(dialect)
    await one.is_up()
    heard_at, opened = one.watch.state.last_message_at, venue.sockets.opened
    await until(lambda: one.watch.state.last_message_at != heard_at)  # a ping is answered
    venue.fault(Kind.HANG, types=frozenset({"ws/pong"}), count=1)
    await until(lambda: venue.sockets.opened > opened and one.state is PushState.UP)
    assert one.watch.state.last_error == "silent for 1 s"
    assert one.calls > 1


@pytest.mark.parametrize("kind", [Kind.HTTP_502, Kind.HTTP_429, Kind.RESET, Kind.REDIRECT, Kind.TRUNCATED])
async def test_a_handshake_that_fails_is_tried_again(venue: server.RunningServer, listen: Listen, kind: Kind) -> None:
    target = await _nobody()
    venue.fault(kind, types=frozenset({"ws/connect"}), count=2, location=target.location)
    one = await listen(hyperliquid(venue))
    await one.is_up()
    assert venue.sockets.opened == 1
    assert one.calls == 1
    assert one.watch.state.last_error
    assert not target.visits, "a redirect is not followed"
    await target.runner.cleanup()


class _Nobody:
    def __init__(self) -> None:
        self.visits: list[str] = []
        self.location = ""
        self.runner: web.AppRunner

    async def visit(self, request: web.Request) -> web.Response:
        self.visits.append(request.path)
        return web.Response()


async def _nobody() -> _Nobody:
    """A host that nobody should be sent to."""
    made, app = _Nobody(), web.Application()
    app.router.add_get("/", made.visit)
    made.runner, made.location = await server.listen(app, "127.0.0.1", 0, allow_remote=False)
    return made


async def test_a_venue_that_is_not_there_yet_is_found_later(listen: Listen) -> None:
    exchange = scenario.new_exchange(lambda: time.time_ns() // 1_000_000)
    scenario.seed(exchange)
    first = await server.serve(exchange)
    port = int(first.url.rpartition(":")[2])
    await first.close()
    one = await listen(HyperliquidDialect(DESK, [socket_url(first.url)]))
    await until(lambda: one.watch.state.last_error.startswith("no connection (ClientConnectorError"))
    again = await server.serve(exchange, port=port)
    await one.is_up()
    await again.close()
    await until(lambda: one.state is PushState.DOWN)
    assert one.watch.state.up_since is None


async def test_a_subscription_that_was_accepted_may_be_silent_and_its_first_word_is_a_reason_to_look(
    venue: server.RunningServer, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "SETTLE_S", 0.2)
    venue.fault(Kind.LOST, types=frozenset({"ws/spotState"}), count=1)
    one = await listen(hyperliquid(venue))
    await one.is_up()
    assert (one.calls, one.watch.state.last_error) == (1, "")
    # What it says now is the first that is heard of it: it may have changed since the look.
    await one.hears(lambda: venue.exchange.set_spot(DESK, SpotBalance("HYPE", Decimal("4.5"))))
    assert (one.calls, one.state) == (2, PushState.UP)


async def test_what_happens_before_the_first_word_of_a_subscription_is_looked_at(
    venue: server.RunningServer, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fill between connecting and the first frame: the look that follows is made after it, not before."""
    monkeypatch.setattr(push, "SETTLE_S", 60.0)
    venue.fault(Kind.LOST, types=frozenset({"ws/allDexsClearinghouseState"}), count=1)
    one = await listen(hyperliquid(venue))
    await until(lambda: not venue.faults.active)
    assert (one.state, one.calls) == (PushState.DOWN, 0)
    await one.hears(buy(venue))
    await one.is_up()


async def test_a_subscription_that_is_not_accepted_is_told_and_the_others_are_heard(
    venue: server.RunningServer, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "SETTLE_S", 0.2)
    lost = [venue.fault(Kind.LOST, types=frozenset({f"ws/{one}"})) for one in ("spotState", "subscriptionResponse")]
    one = await listen(hyperliquid(venue))
    await until(lambda: one.calls == 1)
    assert one.state is PushState.DOWN
    assert one.watch.state.last_error == "not pushed: the venue did not accept spotState"
    await one.hears(buy(venue))
    assert (one.state, venue.sockets.opened) == (PushState.DOWN, 1)
    for fault in lost:
        venue.faults.clear(fault.id)
    await one.hears(lambda: venue.exchange.set_spot(DESK, SpotBalance("HYPE", Decimal("4.5"))))
    assert (one.state, venue.sockets.opened) == (PushState.UP, 1)


async def test_a_connection_that_stays_incomplete_is_made_again(
    venue: server.RunningServer, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "SETTLE_S", 0.2)
    monkeypatch.setattr(push, "PARTIAL_S", 0.1)
    lost = [venue.fault(Kind.LOST, types=frozenset({f"ws/{one}"})) for one in ("spotState", "subscriptionResponse")]
    one = await listen(hyperliquid(venue))
    await until(lambda: venue.sockets.opened >= 2)
    assert one.state is PushState.DOWN
    for fault in lost:
        venue.faults.clear(fault.id)
    await one.is_up()


async def test_the_eleventh_address_is_told_that_it_is_not_pushed_and_why(
    venue: server.RunningServer, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is the IP address's, so that another process may have used it up: the venue's word decides."""
    monkeypatch.setattr(push, "SETTLE_S", 0.5)
    ten = [await listen(HyperliquidDialect(f"0x{number:040x}", [socket_url(venue.url)])) for number in range(10)]
    for one in ten:
        await one.is_up()
    eleventh = await listen(hyperliquid(venue))
    await until(lambda: eleventh.watch.state.last_error.startswith("not pushed"))
    assert (eleventh.state, eleventh.calls) == (PushState.DOWN, 0)
    assert eleventh.watch.state.last_error == (
        "not pushed: the venue did not accept allDexsClearinghouseState, spotState, userFills "
        "(hyperliquid push: 'Cannot track more than 10 total users.')"
    )
    assert {one.state for one in ten} == {PushState.UP}
    await ten[0].stop()
    await eleventh.is_up()


async def test_no_more_of_one_process_listen_than_the_venue_lets(venue: server.RunningServer, listen: Listen) -> None:
    places = Places(2, "not pushed: two are enough")
    urls = [socket_url(venue.url)]
    first, second = [await listen(HyperliquidDialect(one, urls), places) for one in (OTHER, OTHER.replace("2", "3"))]
    await first.is_up()
    await second.is_up()
    third = await listen(hyperliquid(venue), places)
    await until(lambda: third.watch.state.last_error == "not pushed: two are enough")
    assert (third.state, venue.sockets.opened) == (PushState.DOWN, 2)
    await second.stop()
    await third.is_up()
    assert (third.calls, venue.sockets.opened) == (1, 3)


async def test_of_eleven_accounts_in_the_settings_ten_listen_and_one_says_why_not(venue: server.RunningServer) -> None:
    accounts = tuple(
        Account(venue="hyperliquid", name=f"desk{number}", address=f"0x{number:040x}")
        for number in range(MOST_USERS + 1)
    )
    settings = ReconcilerSettings(venues="simulated", hyperliquid_api_url=venue.url, accounts=accounts)
    opened, _ = open_venues(settings)
    watches = [watch for one in opened if (watch := one.watch()) is not None]
    tasks = [asyncio.create_task(watch.run(lambda: None)) for watch in watches]
    try:
        await until(lambda: [one.state.state for one in watches].count(PushState.UP) == MOST_USERS)
        (left,) = [one.state for one in watches if one.state.state is not PushState.UP]
        assert (left.state, left.last_error) == (PushState.DOWN, TAKEN)
        assert venue.sockets.opened == MOST_USERS
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in opened:
            await one.close()


async def test_a_defect_of_a_dialect_does_not_end_the_watch(venue: server.RunningServer, listen: Listen) -> None:
    class Broken(HyperliquidDialect):
        def hear(self, frame: str) -> Any:
            if venue.sockets.opened == 1:
                raise RuntimeError("a defect")
            return super().hear(frame)

    one = await listen(Broken(DESK, [socket_url(venue.url)]))
    await one.is_up()
    assert one.watch.state.last_error == "internal error, see the log"


async def test_coinbase_is_heard(coinbase: RunningCoinbase, listen: Listen) -> None:
    one = await listen(coinbase_at(socket_url(coinbase.url)))
    await one.is_up()
    portfolio = coinbase.portfolio
    assert (one.calls, coinbase.gate.refused) == (1, [])
    for happening in (
        lambda: portfolio.trade("BTC-USD", is_buy=True, size=Decimal("0.25")),
        lambda: portfolio.trade(DATED, is_buy=False, size=Decimal(3)),
        lambda: portfolio.set_contracts(DATED, Decimal(9), Decimal(90_000)),
        lambda: portfolio.close(DATED),
        lambda: portfolio.deposit("USD", Decimal(100)),
    ):
        await one.hears(happening)
    calls = one.calls
    portfolio.set_price(DATED, Decimal(91_300))
    portfolio.deposit("ETH", Decimal(1))  # not pushed by the venue
    heard_at = one.watch.state.last_message_at
    await until(lambda: one.watch.state.last_message_at != heard_at)
    assert one.calls == calls


async def test_a_frame_of_coinbase_that_is_lost_is_noticed_by_the_next_ones_number(
    coinbase: RunningCoinbase, listen: Listen
) -> None:
    one = await listen(coinbase_at(socket_url(coinbase.url)))
    await one.is_up()
    coinbase.fault(Kind.LOST, types=frozenset({"ws/user"}), count=1)
    coinbase.portfolio.trade("BTC-USD", is_buy=True, size=Decimal("0.25"))
    await until(lambda: coinbase.sockets.opened == 2 and one.state is PushState.UP)
    assert one.watch.state.last_error.startswith("coinbase push:")
    assert one.calls >= 2


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.TRUNCATED, Kind.DUPLICATE, Kind.SLOW])
@pytest.mark.parametrize("channel", ["user", "heartbeats"])
async def test_a_frame_of_coinbase_goes_wrong(
    coinbase: RunningCoinbase, listen: Listen, kind: Kind, channel: str
) -> None:
    """One that is cut off is one that is lost: the next number tells, and the connection after it begins with a look."""
    one = await listen(coinbase_at(socket_url(coinbase.url)))
    await one.is_up()
    coinbase.fault(kind, types=frozenset({f"ws/{channel}"}), count=1, delay_s=0.2)
    await one.hears(lambda: coinbase.portfolio.trade("BTC-USD", is_buy=True, size=Decimal("0.25")))
    await until(lambda: not coinbase.faults.active)
    broken = kind in (Kind.RESET, Kind.TRUNCATED)
    await until(lambda: coinbase.sockets.opened == 1 + broken and one.state is PushState.UP)
    await one.hears(lambda: coinbase.portfolio.trade("BTC-USD", is_buy=False, size=Decimal("0.25")))


async def test_a_token_that_is_refused_is_told_and_tried_again_with_another(
    coinbase: RunningCoinbase, listen: Listen
) -> None:
    keys = dict(coinbase.gate.keys)
    coinbase.gate.keys.clear()
    one = await listen(coinbase_at(socket_url(coinbase.url)))
    await until(lambda: one.watch.state.last_error == "coinbase says: 'authentication failure'")
    assert (one.state, one.calls) == (PushState.DOWN, 0)
    coinbase.gate.keys.update(keys)
    await one.is_up()
    assert one.calls == 1


async def test_where_the_first_host_is_away_its_stand_in_is_taken(coinbase: RunningCoinbase, listen: Listen) -> None:
    one = await listen(coinbase_at("ws://127.0.0.1:1/ws", socket_url(coinbase.url)))
    await one.is_up()


async def test_an_account_without_futures_is_heard_all_the_same(
    coinbase: RunningCoinbase, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "SETTLE_S", 0.2)
    coinbase.portfolio.is_enrolled = False
    one = await listen(coinbase_at(socket_url(coinbase.url)))
    await one.is_up()
    assert (one.calls, one.watch.state.last_error) == (1, "")
    monkeypatch.setattr(push, "SETTLE_S", 30.0)
    other = await listen(coinbase_at(socket_url(coinbase.url), futures=False))
    await other.is_up()
    assert other.watch.state.last_error == ""


async def said(socket: aiohttp.ClientWebSocketResponse) -> Any:
    return json.loads(await socket.receive_str(timeout=20))


async def test_the_simulated_hyperliquid_answers_like_the_venue(venue: server.RunningServer) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(socket_url(venue.url)) as socket:
        assert await socket.receive_str(timeout=20) == "Websocket connection established."
        await socket.send_str('{"method":"ping"}')
        assert await said(socket) == {"channel": "pong"}
        fills = {"type": "userFills", "user": DESK}
        await socket.send_json({"method": "subscribe", "subscription": fills})
        assert (await said(socket))["data"] == {"method": "subscribe", "subscription": fills}
        first = await said(socket)
        assert (first["data"]["isSnapshot"], len(first["data"]["fills"])) == (True, 5)
        await socket.send_json({"method": "subscribe", "subscription": fills})
        assert (await said(socket))["data"].startswith("Already subscribed: {")
        venue.exchange.trade(DESK, "BTC", is_buy=True, size=Decimal("0.1"))
        new = (await said(socket))["data"]
        assert "isSnapshot" not in new
        assert [one["sz"] for one in new["fills"]] == ["0.1"]
        for _ in range(2):
            await socket.send_json({"method": "unsubscribe", "subscription": fills})
        assert (await said(socket))["data"]["method"] == "unsubscribe"
        assert (await said(socket))["data"].startswith("Already unsubscribed")
        for wrong in ("", "[]", "{", '{"method":"order"}', '{"method":"post","id":1}'):
            await socket.send_str(wrong)
            assert (await said(socket))["data"].startswith("Error parsing JSON into valid websocket request:")
        for wrong in ({"type": "userFills"}, {"type": "orders", "user": DESK}, None):
            await socket.send_json({"method": "subscribe", "subscription": wrong})
            assert (await said(socket))["data"].startswith("Invalid subscription ")


async def test_the_simulated_venues_end_what_is_idle_or_says_nothing(
    venue: server.RunningServer, coinbase: RunningCoinbase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "TICK_S", 0.05)
    venue._endpoint.idle_s = 0.1
    clock = coinbase.portfolio.now
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(socket_url(venue.url)) as socket:
            await socket.receive_str(timeout=20)
            assert (await socket.receive(timeout=20)).type is aiohttp.WSMsgType.CLOSE
        async with session.ws_connect(socket_url(coinbase.url)) as socket:
            for wrong in ("{", '{"type":"subscribe","channel":"level2"}', '{"type":"subscribe","channel":"user"}'):
                await socket.send_str(wrong)
                assert (await said(socket))["type"] == "error"
            coinbase.portfolio.now = lambda: clock() + 5_000
            assert (await socket.receive(timeout=20)).type is aiohttp.WSMsgType.CLOSE
