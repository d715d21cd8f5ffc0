"""A few seconds of every part of the torture, so that none of them is broken when it is needed. ``make torture`` runs it all."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from tests.e2e.processes import wait_until
from tests.torture.__main__ import PARTS
from tests.torture.planted import BUGS
from tests.torture.run import Run

# What of the floors of a long run is asked for here; some parts have a least size of their own.
SHARES = {
    "kills": 0.015,
    "volume": 0.005,
    "wire": 0.02,
    "failpoints": 0.04,
    "venues": 0.02,
    "fuzz": 0.008,
    "planted": 0.1,
    "stalls": 0.05,
    "drifts": 0.07,
}


@pytest.mark.parametrize("name", PARTS)
async def test_a_few_seconds_of(name):
    run = Run(seed=1)
    await PARTS[name].slice(run, 1.0, SHARES.get(name, 0.02))
    assert run.violations == []
    assert sum(run.faults.values()) or run.planted or run.skipped


def test_there_are_a_dozen_planted_bugs():
    assert len(BUGS) >= 12
    assert {bug.where for bug in BUGS.values()} == {"ledger", "fuzz", "soak"}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_every_planted_bug_finds_what_it_spoils(bug):
    with bug.planted():
        pass


async def test_an_interrupt_ends_it_with_the_table_so_far(tmp_path):
    out, told = tmp_path / "torture.json", tmp_path / "told"
    command = [sys.executable, "-m", "tests.torture", "--minutes", "5", "--only", "venues,wire", "--out", out]
    with told.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=written, stderr=written, cwd=Path(__file__).parents[2]
        )
    await asyncio.to_thread(wait_until, lambda: b"venues:" in told.read_bytes(), "the first part to begin")
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 0, told.read_text()
    assert "bad venue sequence" in told.read_text()
    assert "violations: 0" in told.read_text()
    assert json.loads(out.read_text())["violations"] == 0
