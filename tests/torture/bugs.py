"""Runs every planted bug and tells which checker caught it."""

from __future__ import annotations

import asyncio
import random

from tests.torture.cell import Cell, Cluster, cluster
from tests.torture.drifts import caught_by_soak
from tests.torture.fuzz import caught_by_fuzz
from tests.torture.load import Size
from tests.torture.planted import BUGS, Bug
from tests.torture.run import Run

SIZE = Size()
TRIES = 3  # with another seed each; what a bug does to a short run is partly chance


async def planted(run: Run, seconds: float, share: float) -> None:
    """Each bug until something tells of it; a bug that nothing tells of is a violation."""
    names = list(BUGS)
    if share < 0.3:  # a short run takes some of them, others with each seed
        names = random.Random(run.seed).sample(names, max(2, round(len(names) * share)))
    async with cluster() as postgres:
        for name in names:
            if run.stopped:
                return
            run.planted[name] = ""
            try:
                for attempt in range(TRIES):
                    if found := await caught(BUGS[name], postgres, run.seed + attempt):
                        run.planted[name] = found[0].partition(": ")[2] if BUGS[name].where == "ledger" else found[0]
                        break
                else:
                    run.wrong("planted bugs", [f"missed: {name} was caught by nothing"])
            except Exception as error:  # noqa: BLE001 - told, and the next bug is tried
                run.wrong("planted bugs", [f"broken: {name}: {type(error).__name__}: {error}"])
            run.say(f"planted: {name}: {run.planted[name][:120] or 'MISSED'}")


async def caught(bug: Bug, postgres: Cluster, seed: int) -> list[str]:
    """The violations that tell of a bug."""
    if bug.where == "soak":
        return await caught_by_soak(bug, seed)
    settings = {"TORTURE_BUG": bug.name} | ({"TORTURE_CLOCK": str(seed)} if bug.clock else {})
    cell = Cell(postgres.folder, "b", seed, SIZE, await postgres.new_database(), **settings)
    try:
        for _ in range(bug.replicas):
            await cell.start()
        if bug.where == "fuzz":
            return await caught_by_fuzz(cell.processes[0].address, seed)
        return await _under_load(bug, cell)
    finally:
        await cell.give_up()


async def _under_load(bug: Bug, cell: Cell) -> list[str]:
    cell.load.start()
    try:
        for _ in range(3 if bug.kills else 0):
            await cell.load.more(200, 20)
            await cell.kill(cell.processes[0])
            await cell.start()
        await cell.load.more(800, 10)
    except (TimeoutError, AssertionError, asyncio.CancelledError):
        pass  # a bug may stop everything, which is judged below
    verdict = await cell.finish(4)
    words = tuple(f"{cell.name}: {word}: " for word in bug.caught_by)
    return [line for line in verdict.violations if line.startswith(words)]
