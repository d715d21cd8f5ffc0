"""Where `trueup up` serves its SIMULATED venues: where `trueup simulate` looks for them, or where it says."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import aiohttp
import pytest

from trueup_cli import simulated
from trueup_cli.simulated import Venues


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@pytest.mark.parametrize("usual", [True, False])
async def test_both_are_where_they_are_looked_for_or_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usual: bool
) -> None:
    exchange, portfolio = free_ports()
    monkeypatch.setenv("SIMULATOR_LISTEN", f"127.0.0.1:{exchange}")
    monkeypatch.setattr(simulated, "COINBASE_LISTEN", f"127.0.0.1:{portfolio}")
    if usual:
        monkeypatch.setattr(simulated, "SIMULATOR_URL", f"http://127.0.0.1:{exchange}")
    said: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        venues = Venues(stack, said.append)
        await venues.start(tmp_path)
        url = venues.settings["COINBASE_API_URL"]
        assert (url == f"http://127.0.0.1:{portfolio}") is usual
        assert (f" --url {url}" in said[1]) is not usual
        async with aiohttp.ClientSession() as http, http.get(f"{url}/control/state") as answer:
            assert (await answer.json())["source"] == "SIMULATED"
