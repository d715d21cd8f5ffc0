"""Faults of processes, database and wire, under load: what was acknowledged is there, once, and in order."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import asyncpg

from tests.database_proxy import Proxy
from tests.torture.cell import Cell, Cluster, cluster
from tests.torture.failpoints import ACTIONS, POINTS
from tests.torture.load import Size
from tests.torture.run import Box, Run, side_by_side

COMMIT = b"position."  # the type of an event: only a commit has it among its arguments
REACHED_S = 8.0  # without a new failpoint, before the next process is tried
LANES = 2  # ledgers at once: while one restarts, the other works
SMALL = Size(writers=6, accounts=2, batch=30, readers=1, watchers=2)
HASTY = replace(SMALL, call_s=1.0)  # clients that ask another replica when one does not answer
PATIENT = replace(SMALL, call_s=30.0)  # clients that wait for what the service itself has to say
BULK = Size(writers=2, accounts=1, feeders=3, batch=1000, readers=1, watchers=1, call_s=20.0)
ROUNDS_SIZES = (SMALL, Size(), Size(writers=12, accounts=1, feeders=2, batch=10, readers=2, watchers=2))


@asynccontextmanager
async def judged(run: Run, part: str, cell: Cell) -> AsyncIterator[None]:
    """What a ledger goes through in the block, and then the verdict on it."""
    try:
        yield
    except TimeoutError as error:
        run.wrong(part, [f"alive: {error}"])
    run.took(part, await cell.finish())


async def kills(run: Run, seconds: float, share: float) -> None:
    """kill -9 at a random moment, start again, twenty times a ledger."""
    box = Box(run, "kills", seconds, kill_9=round(200 * share))
    async with cluster() as postgres:

        async def lane(number: int) -> None:
            chance = random.Random(f"{run.seed} kills {number}")
            round_ = 0
            while box.going():
                size = chance.choice(ROUNDS_SIZES)
                name, round_ = f"k{number}r{round_}", round_ + 1
                cell = Cell(postgres.folder, name, chance.randrange(1 << 30), size, await postgres.new_database())
                async with judged(run, "kills", cell):
                    await cell.start()
                    cell.load.start()
                    for _ in range(20):
                        if not box.going():
                            break
                        await cell.load.more(chance.randint(10, 120))
                        await asyncio.sleep(chance.uniform(0, 0.03))
                        await cell.kill(cell.processes[0])
                        run.count("kill 9")
                        await cell.start()
                    await cell.load.more(50)

        await side_by_side(LANES, lane)
    box.close()


async def volume(run: Run, seconds: float, share: float) -> None:
    """Fills by the hundred thousand, with a kill now and then: a long history is judged like a short one."""
    box = Box(run, "volume", seconds, fill_of_a_long_history=round(700_000 * share))
    chance = random.Random(f"{run.seed} volume")
    async with cluster() as postgres:
        while box.going():
            cell = Cell(postgres.folder, "v", chance.randrange(1 << 30), BULK, await postgres.new_database())
            async with judged(run, "volume", cell):
                await cell.start()
                cell.load.start()
                for _ in range(4):
                    if not box.going():
                        break
                    await cell.load.fills(max(500, round(25_000 * min(1.0, share))))
                    await cell.kill(cell.processes[0])
                    run.count("kill 9")
                    await cell.start()
                await cell.load.more(10)
            run.count("fill of a long history", cell.load.filled)
    box.close()


async def crashes(run: Run, seconds: float, share: float) -> None:
    """PostgreSQL ends at once and replays its log; now and then the service is killed with it."""
    box = Box(run, "crashes", seconds, postgresql_crash=round(40 * share))

    async def lane(number: int) -> None:
        chance = random.Random(f"{run.seed} crashes {number}")
        async with cluster() as postgres:
            while box.going():
                name = f"c{number}"
                cell = Cell(postgres.folder, name, chance.randrange(1 << 30), SMALL, await postgres.new_database())
                async with judged(run, "crashes", cell):
                    await cell.start()
                    cell.load.start()
                    for _ in range(10):
                        if not box.going():
                            break
                        await cell.load.more(chance.randint(30, 200))
                        await asyncio.sleep(chance.uniform(0, 0.05))
                        both = chance.random() < 0.2
                        if both:
                            await cell.kill(cell.processes[0])
                            run.count("kill 9")
                        await postgres.crash()
                        run.count("postgresql crash")
                        if both:
                            await cell.start()
                    await cell.load.more(50)

    await side_by_side(LANES, lane)
    box.close()


async def wire(run: Run, seconds: float, share: float) -> None:
    """Between service and database: answers to commits get lost, statements never arrive, the wire is cut or dead."""
    floors = {"lost_commit_answer": round(1000 * share), "network_cut": round(20 * share)}
    box = Box(run, "wire", seconds, **floors, half_open_peer=round(4 * share))
    async with cluster() as postgres:

        async def lane(number: int) -> None:
            chance = random.Random(f"{run.seed} wire {number}")
            while box.going():
                dsn = await postgres.new_database()
                proxy = Proxy(dsn)
                await proxy.start()
                cell = Cell(postgres.folder, f"w{number}", chance.randrange(1 << 30), SMALL, dsn, proxy.dsn)
                async with judged(run, "wire", cell):
                    await cell.start()
                    cell.load.start()
                    for _ in range(60):
                        if not box.going():
                            break
                        await _spoil(run, proxy, cell, chance)
                    await cell.load.more(50)
                await proxy.stop()

        await side_by_side(2 * LANES, lane)
    box.close()


async def _spoil(run: Run, proxy: Proxy, cell: Cell, chance: random.Random) -> None:
    """One fault of the wire."""
    kind = chance.random()
    before = proxy.faults
    if kind < 0.85:
        proxy.swallow_reply_to(COMMIT)
        await _until_fault(proxy, before)
        run.count("lost commit answer", proxy.faults - before)
    elif kind < 0.93:
        proxy.cut_before(COMMIT)
        await _until_fault(proxy, before)
        run.count("statement that never arrived", proxy.faults - before)
    elif kind < 0.985:
        proxy.is_open.clear()
        proxy.drop_all()
        await asyncio.sleep(chance.uniform(0, 0.4))
        proxy.is_open.set()
        run.count("network cut")
        await cell.load.more(5)
    else:
        proxy.is_flowing.clear()  # the peer is there, and nothing comes: only a time limit can tell
        await asyncio.sleep(chance.uniform(0.5, 3.0))
        if chance.random() < 0.5:
            proxy.drop_all()
        proxy.is_flowing.set()
        run.count("half open peer")
        await cell.load.more(5)


async def _until_fault(proxy: Proxy, before: int, deadline_s: float = 30.0) -> None:
    async with asyncio.timeout(deadline_s):
        while proxy.faults == before:
            await asyncio.sleep(0.002)


async def failpoints(run: Run, seconds: float, share: float) -> None:
    """Every internal step with exit, raise, sleep, cancel; another process writes meanwhile, and answers get lost."""
    wanted = [(point, action) for point in POINTS for action in ACTIONS]
    chance = random.Random(f"{run.seed} failpoints")
    chance.shuffle(wanted)
    wanted = wanted[: max(4, round(len(wanted) * min(1.0, share)))]
    box = Box(run, "failpoints", seconds, failpoint=len(wanted))
    exits = [step for step in wanted if step[1] == "exit"]
    others = [step for step in wanted if step[1] != "exit"]
    fired: set[tuple[str, str]] = set()
    async with cluster() as postgres:
        while box.going() and (left := [step for step in exits + others if step not in fired]):
            dsn = await postgres.new_database()
            proxy = Proxy(dsn)
            await proxy.start()
            cell = Cell(postgres.folder, "f", chance.randrange(1 << 30), SMALL, dsn, proxy.dsn)
            async with judged(run, "failpoints", cell):
                await _fail_everywhere(run, box, cell, proxy, left, fired)
            await proxy.stop()
    box.close()


async def _fail_everywhere(
    run: Run, box: Box, cell: Cell, proxy: Proxy, left: list[tuple[str, str]], fired: set[tuple[str, str]]
) -> None:
    """One armed process after the other, beside one that is not: all that only disturbs in one, each exit in its own."""
    await cell.start()
    cell.load.start()
    gentle = [step for step in left if step[1] != "exit"]
    plans = ([gentle] if gentle else []) + [[step] for step in left if step[1] == "exit"]
    for plan in plans:
        if not box.going():
            return
        armed = await cell.start(TORTURE_FAILPOINT=json.dumps(plan))
        pending, since = set(plan), time.monotonic()
        while time.monotonic() < since + REACHED_S:
            proxy.swallow_reply_to(COMMIT)
            with suppress(TimeoutError):
                await cell.load.more(10, 3.0)
            told = _fired(armed.log)
            for step in told & pending:
                run.count("failpoint")
                run.count(f"failpoint {step[1]}")
            since = time.monotonic() if told & pending else since
            pending -= told
            fired |= told
            if not pending or armed.process.poll() is not None:
                break
        if pending and len(plan) > 1:
            run.say(f"failpoints: not reached yet: {sorted(pending)}")
        if armed.process.poll() is None:
            await cell.kill(armed)
        else:
            cell.processes.remove(armed)
            cell.use()
        await cell.load.more(20)


def _fired(log: Path) -> set[tuple[str, str]]:
    """The failpoints that a process says it has been at."""
    lines = (line for line in log.read_text(errors="replace").splitlines() if line.startswith('{"failpoint"'))
    return {(told["failpoint"], told["action"]) for told in map(json.loads, lines)}


async def stalls(run: Run, seconds: float, share: float) -> None:
    """Three replicas on one database; one stands still while the others write, wakes up, and is not believed."""
    box = Box(run, "stalls", seconds, replica_stall=round(20 * share))
    chance = random.Random(f"{run.seed} stalls")
    async with cluster() as postgres:
        while box.going():
            cell = Cell(postgres.folder, "s", chance.randrange(1 << 30), HASTY, await postgres.new_database())
            async with judged(run, "stalls", cell):
                for _ in range(3):
                    await cell.start()
                cell.load.start()
                for number in range(10):
                    if not box.going():
                        break
                    await cell.load.more(40)
                    process = chance.choice(cell.processes)
                    process.process.send_signal(signal.SIGSTOP)
                    await cell.load.more(20)  # by the others
                    await asyncio.sleep(chance.uniform(0, 0.5))
                    process.process.send_signal(signal.SIGCONT)
                    run.count("replica stall")
                    if number % 5 == 4:
                        await cell.kill(process)
                        run.count("kill 9")
                        await cell.start()
                await cell.load.more(50)
    box.close()


async def clocks(run: Run, seconds: float, share: float) -> None:
    """Two processes whose clocks jump by up to an hour, forward and back."""
    box = Box(run, "clocks", seconds, clock_jump_ledger=max(1, round(3 * share)))
    chance = random.Random(f"{run.seed} clocks")
    async with cluster() as postgres:
        while box.going():
            cell = Cell(postgres.folder, "j", chance.randrange(1 << 30), SMALL, await postgres.new_database())
            async with judged(run, "clocks", cell):
                for _ in range(2):
                    await cell.start(TORTURE_CLOCK=str(chance.randrange(1 << 30)))
                cell.load.start()
                await cell.load.more(600)
                await cell.kill(cell.processes[0])
                await cell.start(TORTURE_CLOCK=str(chance.randrange(1 << 30)))
                await cell.load.more(200)
            run.count("clock jump ledger")
    box.close()


async def full_disk(run: Run, seconds: float, share: float) -> None:
    """The database's own file system is full: clear refusals, no acknowledgement, recovery by itself once there is room."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        run.skipped["full disk"] = "needs root, to mount a file system of 16 MB"
        return
    box = Box(run, "full disk", seconds, full_disk=max(1, round(3 * share)))
    chance = random.Random(f"{run.seed} disk")
    async with cluster() as postgres:
        while box.going():
            await _fill_up(run, postgres, chance)
    box.close()


async def _fill_up(run: Run, postgres: Cluster, chance: random.Random) -> None:
    disk = postgres.folder / f"disk{chance.randrange(1 << 30)}"
    disk.mkdir()
    await asyncio.to_thread(subprocess.run, ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=True)
    try:
        shutil.chown(disk, *_owner(postgres.folder / "data"))
        name = f"t{chance.randrange(1 << 40)}"
        admin = await asyncpg.connect(postgres.dsn)
        await admin.execute(f"CREATE TABLESPACE s{name} LOCATION '{disk}'")
        await admin.execute(f"CREATE DATABASE {name} TABLESPACE s{name}")
        dsn = postgres.dsn.replace("/postgres?", f"/{name}?")
        cell = Cell(postgres.folder, "d", chance.randrange(1 << 30), PATIENT, dsn)
        ballast = disk / "ballast"
        async with judged(run, "full disk", cell):
            try:
                await cell.start()
                cell.load.start()
                await cell.load.more(200)
                free = shutil.disk_usage(disk).free
                with suppress(OSError):  # the database was quicker: it is full as well
                    ballast.write_bytes(bytes(max(0, free - 64 * 1024)))
                async with asyncio.timeout(60):
                    while not any("STORE_UNAVAILABLE" in code for code in cell.load.history.codes):
                        await asyncio.sleep(0.05)
                run.count("full disk")
                await asyncio.sleep(0.5)
                ballast.unlink()
                await cell.load.more(100)
            finally:
                ballast.unlink(missing_ok=True)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.execute(f"DROP TABLESPACE s{name}")
        await admin.close()
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", "-l", disk], check=True)


def _owner(path: Path) -> tuple[int, int]:
    told = path.stat()
    return told.st_uid, told.st_gid
