"""The row about starting again with a large book."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.calls import fill
from tests.bench.machine import Machine, Unusable, run, seed, sql
from tests.bench.rows import Pair, Sample

_SELECT = """
import asyncio, sys
import asyncpg

async def main():
    connection = await asyncpg.connect(sys.argv[1])
    print(len(await connection.fetch("SELECT * FROM positions WHERE closed_at IS NULL")))

asyncio.run(main())
"""


@contextmanager
def restart(on: Machine) -> Iterator[Pair]:
    """Seconds from the start of the process until it serves; a process that only selects the rows is the yardstick."""
    positions = on.size.of(100_000, least=1_000)
    dsn = on.database()
    with on.position(dsn) as service:
        seed(service.address, (fill(f"R{number}") for number in range(positions)))
    on.settle(dsn)

    def ours() -> Sample:
        began = time.perf_counter()
        with on.position(dsn):
            return Sample(time.perf_counter() - began)

    def select() -> Sample:
        began = time.perf_counter()
        rows = int(run([sys.executable, "-c", _SELECT, dsn]))
        seconds = time.perf_counter() - began
        if rows != positions or rows != sql(dsn, "SELECT count(*) FROM positions"):
            raise Unusable(f"{rows} positions instead of {positions}")
        return Sample(seconds)

    select()
    yield Pair(ours, select)
