"""The SIMULATED Hyperliquid over real sockets: answers, every fault, the control API."""

import asyncio
import json
import time
from decimal import Decimal

import aiohttp
import pytest

from reconciler_service.simulator import scenario, server
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.faults import Kind
from reconciler_service.simulator.wire import Style

DESK = scenario.DESK
STATE = {"type": "clearinghouseState", "user": DESK}
FILLS = {"type": "userFillsByTime", "user": DESK, "startTime": 0}
PLENTY = 10**9
DEADLINE_S = 10


class Client:
    """What a reader of the venue does, without any opinion of its own."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url

    async def raw(self, body, **more) -> tuple[int, str, str]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        async with self.session.post(
            f"{self.url}/info", data=data, headers=headers, allow_redirects=False, **more
        ) as response:
            assert response.headers["Server"] == "SIMULATED"
            return response.status, response.headers.get("Content-Type", ""), await response.text()

    async def info(self, body):
        status, kind, text = await self.raw(body)
        assert (status, kind) == (200, "application/json"), text
        return json.loads(text, parse_float=Decimal)

    async def held(self, **more) -> dict:
        state = await self.info(STATE | more)
        return {one["position"]["coin"]: one["position"] for one in state["assetPositions"]}

    async def control(self, what, expected=200, **body):
        async with self.session.post(f"{self.url}/control/{what}", json=body) as response:
            told = await response.json()
            assert (response.status, told["simulated"]) == (expected, True), told
            return told

    async def state(self):
        async with self.session.get(f"{self.url}/control/state") as response:
            return await response.json()


@pytest.fixture
async def venue():
    exchange = scenario.new_exchange(lambda: time.time_ns() // 1_000_000)
    scenario.seed(exchange)
    budget = Budget(time.monotonic, limit=PLENTY)
    running = await server.serve(exchange, style=Style(noise_percent=0), budget=budget)
    yield running
    await running.close()


@pytest.fixture
async def client(venue):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_S)) as session:
        yield Client(session, venue.url)


async def test_reads_what_the_venue_holds(client):
    held = await client.held()
    assert {coin: one["szi"] for coin, one in held.items()} == {
        "BTC": "0.5",
        "ETH": "-4.0",
        "SOL": "120.0",
        "HYPE": "300.0",
    }
    assert set(await client.held(dex="xyz")) == {"xyz:TSLA"}
    assert set(await client.held(user=DESK.upper().replace("0X", "0x"))) == set(held)
    assert await client.held(user="0x" + "1" * 40) == {}
    assert await client.info({"type": "subAccounts", "user": DESK}) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"type":"exchange"}', b"\xff", b"[" * 60_000, b'{"type":NaN}'])
async def test_unreadable_bodies(client, body):
    assert await client.raw(body) == (422, "text/plain", server.NOT_DESERIALIZED)


async def test_unknown_coin_and_dex(client):
    assert await client.raw({"type": "fundingHistory", "coin": "NO", "startTime": 0}) == (
        500,
        "application/json",
        "null",
    )
    assert await client.raw(STATE | {"dex": "no"}) == (500, "application/json", "null")


async def test_nothing_of_a_venue_can_be_changed(client):
    for path in ("exchange", "order", ""):
        async with client.session.post(f"{client.url}/{path}", json={"type": "order"}) as response:
            assert response.status == 404
    async with client.session.get(f"{client.url}/info") as response:
        assert response.status == 405
    async with client.session.post(f"{client.url}/ws", json={"type": "order"}) as response:
        assert response.status == 405


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        ({"kind": "http_429"}, (429, "application/json", "null")),
        ({"kind": "http_500"}, (500, "application/json", "null")),
        ({"kind": "http_502"}, (502, "text/html", server.CDN_PAGE)),
        ({"kind": "partial_scope", "dex": ""}, (500, "application/json", "null")),
    ],
)
async def test_refusing_faults_count_down(client, fault, answer):
    await client.control("fault", **fault, types=["clearinghouseState"], count=2)
    assert (await client.raw({"type": "meta"}))[0] == 200
    assert await client.raw(STATE) == answer
    assert await client.raw(STATE) == answer
    assert (await client.raw(STATE))[0] == 200


async def test_partial_scope_leaves_the_other_dex_alone(client):
    await client.control("fault", kind="partial_scope", dex="xyz")
    assert (await client.raw(STATE | {"dex": "xyz"}))[0] == 500
    assert await client.held()
    await client.control("faults/clear")
    assert await client.held(dex="xyz")


async def test_redirect_names_where_to(client):
    await client.control("fault", kind="redirect", location="http://redirect.invalid/elsewhere", count=1)
    async with client.session.post(f"{client.url}/info", json=STATE, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (307, "http://redirect.invalid/elsewhere")
    assert await client.held()


async def test_truncated_and_nan_answers(client):
    await client.control("fault", kind="truncated", count=1)
    status, _, text = await client.raw(STATE)
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    assert (status, text[:2]) == (200, '{"')
    await client.control("fault", kind="nan", count=1)
    assert (await client.held())["BTC"]["szi"] == "NaN"
    await client.control("fault", kind="nan", bare=True, count=1)
    assert '"szi":NaN,' in (await client.raw(STATE))[2]


async def test_reset_breaks_the_connection(client):
    await client.control("fault", kind="reset", count=1)
    with pytest.raises(aiohttp.ClientOSError):
        await client.raw(STATE)
    assert await client.held()


async def test_oversized_body_is_as_large_as_asked(client):
    await client.control("fault", kind="oversized", size=3_000_001, count=1)
    status, _, text = await client.raw(STATE)
    assert (status, len(text) - len(text.lstrip())) == (200, 3_000_001)
    assert json.loads(text)["assetPositions"]


async def test_slow_answers_late_but_well(client):
    await client.control("fault", kind="slow", delay_s="0.2", count=1)
    begun = time.monotonic()
    assert await client.held()
    assert time.monotonic() - begun >= 0.2


async def test_hang_lasts_until_the_client_gives_up(client):
    await client.control("fault", kind="hang", count=1)
    with pytest.raises(TimeoutError):
        await client.raw(STATE, timeout=aiohttp.ClientTimeout(total=0.2))
    assert await client.held()


async def test_closing_does_not_wait_for_what_hangs(client, venue):
    venue.fault(Kind.HANG)
    hanging = asyncio.create_task(client.raw(STATE))
    async with asyncio.timeout(DEADLINE_S):
        while not venue.requests["clearinghouseState"]:
            await asyncio.sleep(0)
        await venue.close()
        assert (await hanging)[0] == 200
    await venue.close()


async def test_stale_empty_skewed_and_noisy_states(client):
    before = await client.info(STATE)
    await client.control("fault", kind="stale", count=1)
    await client.control("close", coin="SOL")
    old = await client.info(STATE)
    assert old["assetPositions"] == before["assetPositions"]
    assert "SOL" not in await client.held()
    assert (await client.info(STATE))["time"] >= old["time"]
    await client.control("fault", kind="empty", count=1)
    assert await client.held() == {}
    await client.control("fault", kind="clock_skew", skew_ms=-3_600_000, count=1)
    skewed, true = await client.info(STATE), await client.info(STATE)
    assert 3_590_000 < true["time"] - skewed["time"] < 3_610_000
    await client.control("fault", kind="float_noise", count=1)
    assert all(len(one["szi"]) > 15 for one in (await client.held()).values())


async def test_lost_late_and_duplicate_fills(client, venue):
    known = len(await client.info(FILLS))
    lost = (await client.control("fault", kind="lost_fills"))["fault"]["id"]
    await client.control("trade", coin="BTC", side="buy", size="0.01")
    assert len(await client.info(FILLS)) == known
    assert (await client.held())["BTC"]["szi"] == "0.51"
    await client.control("faults/clear", id=lost)
    assert len(await client.info(FILLS)) == known + 1
    await client.control("fault", kind="late_fills", delay_s=3600)
    await client.control("trade", coin="BTC", side="sell", size="0.01")
    assert len(await client.info(FILLS)) == known + 1
    [late] = venue.faults.active
    late.delay_s = 0
    assert len(await client.info(FILLS)) == known + 2
    await client.control("fault", kind="duplicate_fills")
    rows = await client.info(FILLS)
    assert [row["tid"] for row in rows[::2]] == [row["tid"] for row in rows[1::2]]
    assert len(rows) == 2 * (known + 2)


async def test_control_moves_the_venue(client):
    [fill] = (await client.control("trade", coin="ARB", side="sell", size=10, price="0.9512", at=1_700_000_000_000))[
        "fills"
    ]
    assert (fill["side"], fill["px"], fill["time"]) == ("A", "0.9512", 1_700_000_000_000)
    await client.control("leverage", coin="HYPE", value=10, mode="cross", address=DESK)
    await client.control("mark", coin="ETH", price=2400.5)
    [closed] = (await client.control("liquidate", coin="ETH"))["fills"]
    assert closed["liquidation"] == {"liquidatedUser": DESK, "markPx": "2400.5", "method": "market"}
    await client.control("deposit", usdc="100.25", dex="xyz")
    await client.control("funding", coin="BTC", rate="0.0001")
    held = await client.held()
    assert (held["ARB"]["szi"], held["HYPE"]["leverage"]["value"], "ETH" in held) == ("-10.0", 10, False)
    [paid] = await client.info({"type": "userFunding", "user": DESK, "startTime": 0})
    assert paid["delta"]["usdc"] == "-2.125"
    kinds = [
        row["delta"]["type"]
        for row in await client.info({"type": "userNonFundingLedgerUpdates", "user": DESK, "startTime": 0})
    ]
    assert kinds == ["deposit", "send", "liquidation", "send"]
    await client.control("account", address="0x" + "a" * 40, role="agent", master=DESK)
    assert (await client.info({"type": "userRole", "user": "0x" + "A" * 40}))["role"] == "agent"
    state = await client.state()
    assert (state["source"], state["simulated"], state["marks"]["ETH"]) == ("SIMULATED", True, "2400.5")
    assert [one["address"] for one in state["accounts"]] == [DESK, "0x" + "a" * 40]


@pytest.mark.parametrize(
    ("what", "body", "status"),
    [
        ("trade", {"coin": "BTC", "side": "up", "size": "1"}, 400),
        ("trade", {"coin": "BTC", "side": "buy"}, 400),
        ("trade", {"coin": "BTC", "side": "buy", "size": "one"}, 400),
        ("trade", {"coin": "BTC", "side": "buy", "size": True}, 400),
        ("trade", {"coin": "BTC", "side": "buy", "size": "1", "sise": "1"}, 400),
        ("trade", {"coin": "BTC", "side": "buy", "size": "1", "parts": 0}, 409),
        ("trade", {"coin": "BTC", "side": "buy", "size": "0.000001"}, 409),
        ("trade", {"coin": "BTC", "side": "buy", "size": "NaN"}, 409),
        ("trade", {"coin": "BTC", "side": "buy", "size": "1000"}, 409),
        ("trade", {"coin": "NO", "side": "buy", "size": "1"}, 404),
        ("trade", {"coin": "BTC", "side": "buy", "size": "1", "address": "0x" + "1" * 40}, 404),
        ("close", {"coin": "ARB"}, 404),
        ("mark", {"coin": "BTC", "price": "-1"}, 409),
        ("mark", {"coin": "BTC", "price": "1e999999999"}, 409),
        ("leverage", {"coin": "BTC", "value": 41, "mode": "cross"}, 409),
        ("funding", {"coin": "BTC", "rate": "1e-999999"}, 409),
        ("fault", {"kind": "gremlins"}, 400),
        ("fault", {"kind": "partial_scope"}, 400),
        ("fault", {"kind": "slow", "delay_s": "NaN"}, 400),
        ("fault", {"kind": "slow", "types": [1]}, 400),
        ("account", {"address": "0x" + "1" * 40, "role": "agent"}, 409),
        ("account", {"address": "0x12"}, 409),
        ("nothing", {}, None),
    ],
)
async def test_control_refuses_and_changes_nothing(client, what, body, status):
    before = await client.state()
    if status is None:
        async with client.session.post(f"{client.url}/control/{what}", json=body) as response:
            assert response.status == 404
    else:
        assert (await client.control(what, status, **body))["error"]
    after = await client.state()
    assert (after["revision"], after["faults"]) == (before["revision"], before["faults"])


async def test_a_web_page_cannot_use_the_control_api(client):
    # A form or a no-cors fetch of a browser can only send these types without asking first.
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        async with client.session.post(
            f"{client.url}/control/close", data=b'{"coin":"BTC"}', headers={"Content-Type": kind}
        ) as response:
            assert response.status == 415
    assert "BTC" in await client.held()


async def test_spot_modes_and_sub_accounts_are_under_control(client):
    await client.control("transfer", token="USDC", amount="50000")
    [fill] = (await client.control("spot", token="UBTC", side="buy", size="0.5"))["fills"]
    assert (fill["coin"], fill["fee"], fill["feeToken"]) == ("@3", "0.00035", "UBTC")
    await client.control("class", usdc="10", to_perp=False)
    await client.control("mode", mode="unifiedAccount")
    sub = "0x" + "b" * 40
    await client.control("account", address=sub, role="subAccount", master=DESK, label="hedge")
    [told] = await client.info({"type": "subAccounts2", "user": DESK})
    assert (told["name"], told["subAccountUser"]) == ("hedge", sub)
    [desk, _] = (await client.state())["accounts"]
    assert desk["mode"] == "unifiedAccount"
    assert {row["coin"]: row["total"] for row in desk["spot"]["balances"]}["UBTC"] == "0.49965"
    for body, status in (
        ({"token": "DOGE", "side": "buy", "size": "1", "address": DESK}, 404),
        ({"token": "UBTC", "side": "buy", "size": "1000", "address": DESK}, 409),
        ({"token": "PURR", "side": "buy", "size": "1", "address": DESK}, 404),  # nobody quotes it
    ):
        assert (await client.control("spot", status, **body))["error"]
