"""What bot authors paste from their own scripts works as it stands: requests, aiohttp, fetch, axios, bare gRPC stubs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Running, StartPosition

ROOT = Path(__file__).parents[2]
# requests is nobody's dependency here; pip brings a copy of it, and so of what people paste.
REQUESTS = "import sys\nfrom pip._vendor import requests\nsys.modules[__name__] = requests\n"

BY_REQUESTS = """
import requests

API = "http://localhost:8000/api/positions"
HEADERS = {"X-API-Key": "secret"}
order = {"asset": "BTC/USD", "entry_price": 42000, "size": 0.5, "leverage": 5}
opened = requests.post(f"{API}/open", params=order, headers=HEADERS)
opened.raise_for_status()
assert requests.post(f"{API}/open", json=order, headers=HEADERS).status_code == 409
assert requests.post(f"{API}/open", data=order, headers=HEADERS).status_code == 409
print(opened.json()["position"]["size"])
requests.post(f"{API}/BTC/USD/reduce", params={"size": 0.1, "price": 42100}, headers=HEADERS).raise_for_status()
print(requests.get(f"{API}/BTC/USD", headers=HEADERS).json()["positions"][0]["size"])
print(requests.get(f"{API}/summary", headers=HEADERS).json()["total_positions"])
print(len(requests.get(f"{API}/at-risk", params={"threshold": 5}, headers=HEADERS).json()["positions"]))
closed = requests.post(f"{API}/BTC/USD/close", params={"close_price": 42500}, headers=HEADERS)
print(closed.json()["position"]["realized_pnl"])
pepe = {"asset": "PEPE/USD", "entry_price": 0.00001124, "size": 1000000, "side": "SHORT"}
print(requests.post(f"{API}/open", json=pepe, headers=HEADERS).json()["position"]["entry_price"])
"""
BY_AIOHTTP = """
import asyncio
import aiohttp


async def main():
    async with aiohttp.ClientSession("http://localhost:8000", headers={"X-API-Key": "secret"}) as session:
        order = {"asset": "BTC/USD", "entry_price": "42000", "size": "0.5", "leverage": 5}
        async with session.post("/api/positions/open", params=order) as response:
            print((await response.json())["position"]["size"])
        async with session.post("/api/positions/BTC/USD/reduce", json={"size": 0.1, "price": 42100}) as response:
            print((await response.json())["position"]["size"])
        async with session.get("/api/positions/summary") as response:
            print((await response.json())["total_positions"])
        async with session.get("/api/positions/at-risk?threshold=5") as response:
            print(len((await response.json())["positions"]))
        async with session.post("/api/positions/BTC/USD/close", params={"price": "42500"}) as response:
            print((await response.json())["position"]["realized_pnl"])
        pepe = {"asset": "PEPE/USD", "entry_price": 0.00001124, "size": 1_000_000, "side": "short"}
        async with session.post("/api/positions/open", params=pepe) as response:
            print((await response.json())["position"]["entry_price"])


asyncio.run(main())
"""
BY_FETCH = """
const api = 'http://localhost:8000/api/positions';
const headers = { 'X-API-Key': 'secret' };
const post = async (path, body) => (await fetch(api + path, { method: 'POST', headers, body })).json();
const get = async (path) => (await fetch(api + path, { headers })).json();
console.log((await post('/open?asset=BTC/USD&entry_price=42000&size=0.5&leverage=5')).position.size);
console.log((await post('/BTC/USD/reduce', JSON.stringify({ size: 0.1, price: 42100 }))).position.size);
console.log((await get('/summary')).total_positions);
console.log((await get('/at-risk?threshold=5')).positions.length);
console.log((await post('/BTC%2FUSD/close', new URLSearchParams({ close_price: '42500' }))).position.realized_pnl);
const pepe = { asset: 'PEPE/USD', entry_price: 0.00001124, size: 1e6, side: 'SIDE_SHORT' };
console.log((await post('/open', JSON.stringify(pepe))).position.entry_price);
"""
BY_AXIOS = """
import axios from 'axios';
const api = axios.create({ baseURL: 'http://localhost:8000/api/positions', headers: { 'X-API-Key': 'secret' } });
const params = { asset: 'BTC/USD', entry_price: 42000, size: 0.5, leverage: 5 };
console.log((await api.post('/open', null, { params })).data.position.size);
console.log((await api.post('/BTC/USD/reduce', { size: 0.1, price: 42100 })).data.position.size);
console.log((await api.get('/summary')).data.total_positions);
console.log((await api.get('/at-risk', { params: { threshold: 5 } })).data.positions.length);
console.log((await api.post('/BTC/USD/close', {}, { params: { close_price: 42500 } })).data.position.realized_pnl);
const pepe = { asset: 'PEPE/USD', entry_price: 0.00001124, size: 1000000, side: 'SHORT' };
console.log((await api.post('/open', pepe)).data.position.entry_price);
await api.post('/NOPE/USD/close', {}).catch((error) => {
  if (error.response.data.details[0].reason !== 'POSITION_NOT_FOUND') throw error;
});
"""
BY_STUBS = """
import asyncio
import grpc
from trueup.position.v1 import position_service_pb2, position_service_pb2_grpc


async def main():
    async with grpc.aio.insecure_channel("localhost:50051") as channel:
        stub = position_service_pb2_grpc.PositionServiceStub(channel)
        request = position_service_pb2.OpenPositionRequest(
            asset="BTC/USD", size="0.5", entry_price="42000", leverage="5"
        )
        metadata = (("x-api-key", "secret"),)
        print((await stub.OpenPosition(request, metadata=metadata)).position.size)
        reduce = position_service_pb2.ReducePositionRequest(asset="BTC/USD", size="0.1", price="42100")
        print((await stub.ReducePosition(reduce)).position.size)
        print((await stub.GetPortfolioSummary(position_service_pb2.GetPortfolioSummaryRequest())).total_positions)
        at_risk = position_service_pb2.ListPositionsAtRiskRequest(threshold="5")
        print(len((await stub.ListPositionsAtRisk(at_risk)).positions))
        close = position_service_pb2.ClosePositionRequest(asset="BTC/USD", close_price="42500")
        print((await stub.ClosePosition(close)).position.realized_pnl)
        try:
            await stub.ClosePosition(close)
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND
        pepe = position_service_pb2.OpenPositionRequest(
            asset="PEPE/USD", size="1000000", entry_price="0.00001124", side="SIDE_SHORT"
        )
        print((await stub.OpenPosition(pepe)).position.entry_price)


asyncio.run(main())
"""
# Opened, reduced by 0.1 at 42 100, one position, none at risk, closed at 42 500: 10 + 200.
SAYS = ["0.5", "0.4", "1", "0", "210", "0.00001124"]


@pytest.fixture
async def served(start_position: StartPosition) -> AsyncIterator[Running]:
    """An unsecured Position service on loopback, with its part of HTTP."""
    return await start_position(http_listen="127.0.0.1:0")


async def says(served: Running, code: str, *command: str | Path, folder: Path, name: str, **env: str) -> list[str]:
    """The lines that a pasted script prints; it must end well."""
    addresses = {"localhost:8000": f"localhost:{served.app.http_port}", "localhost:50051": f"localhost:{served.port}"}
    for usual, ours in addresses.items():
        code = code.replace(usual, ours)
    (folder / name).write_text(code)
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        name,
        cwd=folder,
        env=os.environ | env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        out, problems = await process.communicate()
    assert process.returncode == 0, problems.decode()
    return out.decode().split()


@pytest.mark.parametrize("code", [BY_REQUESTS, BY_AIOHTTP, BY_STUBS], ids=["requests", "aiohttp", "stubs"])
async def test_python(served: Running, tmp_path: Path, code: str):
    (tmp_path / "requests.py").write_text(REQUESTS)
    python = (sys.executable, "-W", "ignore")
    assert await says(served, code, *python, folder=tmp_path, name="bot.py") == SAYS


async def test_javascript_by_fetch(served: Running, tmp_path: Path):
    if not shutil.which("node"):
        pytest.skip("node not found: make tools installs it")
    assert await says(served, BY_FETCH, "node", folder=tmp_path, name="bot.mjs") == SAYS


async def test_javascript_by_axios(served: Running):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node, npm not found: make tools installs them")
    folder = ROOT / "build" / "axios"  # kept: the next run finds it
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": {"axios": "^1.7"}}))
    npm = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", "--prefer-offline")
    assert await (await asyncio.create_subprocess_exec(*npm, cwd=folder)).wait() == 0
    assert await says(served, BY_AXIOS, "node", folder=folder, name="bot.mjs") == SAYS
