"""The SIMULATED Hyperliquid over real sockets: weights, paging, where it listens, how it runs."""

import asyncio
import json
import signal
import sys
import time
from decimal import Decimal

import aiohttp
import pytest

from reconciler_service.simulator import scenario, server
from reconciler_service.simulator.budget import Budget
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.records import Market

D = Decimal
DESK = scenario.DESK
STATE = {"type": "clearinghouseState", "user": DESK}
FILLS = {"type": "userFillsByTime", "user": DESK, "startTime": 0}
PLENTY = 10**9


async def raw(session: aiohttp.ClientSession, url: str, body) -> tuple[int, str]:
    async with session.post(f"{url}/info", json=body) as response:
        return response.status, await response.text()


async def ask(session: aiohttp.ClientSession, url: str, body):
    status, text = await raw(session, url, body)
    assert status == 200, text
    return json.loads(text, parse_float=Decimal)


async def test_weight_is_counted_and_refused_when_spent():
    exchange = scenario.new_exchange(lambda: 1_800_000_000_000)
    scenario.seed(exchange)
    exchange.trade(DESK, "BTC", is_buy=True, size=D("0.01"), parts=395)
    now = [0.0]
    running = await server.serve(exchange, budget=Budget(lambda: now[0], limit=130))
    try:
        async with aiohttp.ClientSession() as session:
            await ask(session, running.url, {"type": "userRole", "user": DESK})  # 60
            await ask(session, running.url, FILLS)  # 20 + 400/20 rows
            assert (await raw(session, running.url, {"type": "meta"}))[0] == 200  # 20
            assert [(await raw(session, running.url, STATE))[0] for _ in range(6)] == [200] * 5 + [429]  # 2 each
            assert await raw(session, running.url, {"type": "perpDexs"}) == (429, "null")
            assert running.requests["clearinghouseState"] == 6
            now[0] = 60.0
            assert (await raw(session, running.url, STATE))[0] == 200
    finally:
        await running.close()


async def test_pages_with_equal_milliseconds_lose_nothing():
    exchange = Exchange(lambda: 5_000, [], [Market("kPEPE", 0, 10, D("0.01"))])
    exchange.open_account(DESK)
    exchange.deposit(DESK, D(1_000))
    for at, parts in ((1, 1_500), (2, 1_200), (3, 1_300), (4, 7)):
        exchange.trade(DESK, "kPEPE", is_buy=True, size=D(parts), at=at, parts=parts)
    running = await server.serve(exchange, budget=Budget(time.monotonic, limit=PLENTY))
    seen: dict[int, int] = {}
    try:
        async with aiohttp.ClientSession() as session:
            start, pages = 0, 0
            while True:
                page = await ask(session, running.url, FILLS | {"startTime": start})
                pages += 1
                assert len(page) <= 2_000
                fresh = [row for row in page if row["tid"] not in seen]
                seen |= {row["tid"]: row["time"] for row in page}
                if not fresh or len(page) < 2_000:
                    break
                start = page[-1]["time"]
    finally:
        await running.close()
    assert pages == 3
    assert seen == {fill.tid: fill.time for fill in exchange.account(DESK).history.fills}


async def test_only_loopback_unless_told_otherwise():
    exchange = scenario.new_exchange(lambda: 0)
    for host in ("0.0.0.0", "::", "example.com"):
        with pytest.raises(ValueError, match="loopback"):
            await server.serve(exchange, host)
    running = await server.serve(exchange, "0.0.0.0", allow_remote=True)
    await running.close()


async def test_a_taken_port_is_an_error_not_a_second_server():
    first = await server.serve(scenario.new_exchange(lambda: 0))
    port = int(first.url.rsplit(":", 1)[1])
    try:
        with pytest.raises(OSError, match="in use"):
            await server.serve(scenario.new_exchange(lambda: 0), port=port)
    finally:
        await first.close()


async def test_runs_as_a_program_and_says_simulated():
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", "-m", "reconciler_service.simulator", "--port", "0", "--walk", "0.01", "--story", "0.01"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert program.stderr is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(30):
            while sum("SIMULATED" in line for line in said) < 6:
                line = (await program.stderr.readline()).decode()
                assert line, said
                said.append(line)
            url = next(word.rstrip(":") for line in said for word in line.split() if word.startswith("http://"))
            async with aiohttp.ClientSession() as session:
                state = await ask(session, url, STATE)
                assert [one["position"]["coin"] for one in state["assetPositions"]] == ["BTC", "HYPE"]
            program.send_signal(signal.SIGTERM)
            assert await program.wait() == 0
            assert await program.stderr.read() == b""
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
