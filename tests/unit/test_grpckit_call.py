"""The default deadlines of calls."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from grpckit import call


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(s=1_000.0)
    monkeypatch.setattr(call, "perf_counter", lambda: now.s)
    return now


def a_call() -> Any:
    return call.Call(SimpleNamespace(path="x"), SimpleNamespace(peer=lambda: ""))


async def test_only_calls_whose_time_has_passed_are_ended(clock):
    deadlines = call.Deadlines(10)
    early, ended, late = a_call(), a_call(), a_call()

    async def waits(this) -> None:
        deadlines.begin(this)
        await asyncio.Event().wait()

    tasks = []
    for this in (early, ended, late):
        tasks.append(asyncio.ensure_future(waits(this)))
        await asyncio.sleep(0)
        clock.s += 4
    deadlines.end(ended)
    deadlines._run_out()
    assert (early.late, ended.late, late.late) == (True, False, False)
    clock.s += 6
    deadlines._run_out()
    assert (ended.late, late.late) == (False, True)
    assert not deadlines._due
    assert deadlines._timer is None
    tasks[1].cancel()
    assert all(
        isinstance(result, asyncio.CancelledError) for result in await asyncio.gather(*tasks, return_exceptions=True)
    )
