"""The speed goals, each measured against its yardstick in the same run: python -m tests.bench.speed --help

Every server is a process of its own, as in production, with validation, the check of the caller, metrics, the hash
chain and idempotency on; PostgreSQL with fsync and synchronous_commit, which is asserted. Ratios are of measurements
made one after the other, in turns. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.bench import calls, reconciling, restarting, watching
from tests.bench.machine import Machine, Size, Unusable, machine
from tests.bench.rows import Measured, Row, alternate

ECHO = "bare grpc.aio echo"
ROWS: tuple[Row[Machine], ...] = (
    Row("get_position", "GetPosition, strong, 64 in flight", ECHO, "calls/s", 0.80, True, calls.get_position),
    Row("open_position", "OpenPosition, durable, 256 in flight", ECHO, "calls/s", 0.70, True, calls.open_position),
    Row("open_latency", "OpenPosition, one client", "pgbench + echo", "s", 1.5, False, calls.open_latency),
    Row("record_fills", "RecordFills, 1 000 a batch", "pgbench, 16 clients", "fills/s", 8, True, calls.record_fills),
    Row("update_prices", "UpdatePrices, 1 000 a batch", "bare decode", "prices/s", 0.35, True, calls.update_prices),
    Row("compare", "compare 100 000 positions", "a dict of the rows", "s", 8, False, reconciling.compare_positions),
    Row("cycle", "full cycle, 100 000 positions", "1 000 positions", "s/position", 1.2, False, reconciling.cycle),
    Row("subscribers", "1 000 subscribers, 20 % stalled", "none stalled", "s, p99", 1.5, False, watching.subscribers),
    Row("restart", "restart with 100 000 positions", "asyncpg SELECT", "s", 2, False, restarting.restart),
)
LEGEND = """\
GetPosition is called by h2load on both sides. The other calls need another body each time, which h2load cannot send:
there a client of 200 lines replays prepared bytes over a plain socket (tests/bench/http2.py), the same for both sides.
"load" is the share of a core that making the load took, ours / yardstick: far below 1, or the client was measured.
pgbench writes an event and a position (a fill) in one transaction into the same tables of the same server. The bare
decode parses the bytes and makes of each price the plainest values it means. The restart is a whole process until it
serves; its yardstick, a whole process that selects the same rows. Spread: the smallest and largest ratio."""


def main() -> None:
    """Parse, measure, print, write, judge."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0], prog="python -m tests.bench.speed")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help=f"of {[r.name for r in ROWS]}")
    parser.add_argument("--rounds", type=int, default=3, help="measurements a side (%(default)s)")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual amounts; small ones only prove it works")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="where the numbers go")
    asked = parser.parse_args()
    if unknown := set(asked.only) - {row.name for row in ROWS}:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in ROWS)}")
    if shutil.which("h2load") is None:
        parser.error("h2load is missing: apt-get install nghttp2-client")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    rows = [row for row in ROWS if not asked.only or row.name in asked.only]
    try:
        found = measure(rows, Size(asked.rounds, asked.share))
    except Unusable as error:
        sys.exit(f"error: {error}")
    lines = [line(row, measured) for row, measured in found]
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(lines, indent=2) + "\n")
    show(found)
    sys.exit(0 if all(line["met"] for line in lines) else 1)


def measure(rows: Sequence[Row[Machine]], size: Size) -> list[tuple[Row[Machine], Measured]]:
    """Measure one row after the other, with a bar where a person looks."""
    found = []
    columns = TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress, machine(size) as on:
        for row in rows:
            task = progress.add_task(row.name, total=size.rounds)
            with row.measure(on) as pair:
                measured = alternate(pair, size.rounds, lambda done, task=task: progress.update(task, completed=done))
            met = "met" if is_met(row, measured) else "missed"
            progress.update(task, description=f"{row.name}: {measured.ratio:.3g} {met}")
            found.append((row, measured))
    return found


def is_met(row: Row[Machine], measured: Measured) -> bool:
    return measured.ratio >= row.goal if row.at_least else measured.ratio <= row.goal


def line(row: Row[Machine], measured: Measured) -> dict[str, object]:
    """A row as it is written."""
    return {
        "name": row.name,
        "value": _short(measured.value),
        "unit": row.unit,
        "yardstick": _short(measured.pace),
        "ratio": _short(measured.ratio),
        "goal": row.goal,
        "met": is_met(row, measured),
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def show(found: Sequence[tuple[Row[Machine], Measured]]) -> None:
    """The table, and what its columns mean."""
    table = Table(title="speed, as ratios to yardsticks in the same run")
    table.add_column("what")
    table.add_column("yardstick")
    for name in ("ours", "yardstick", "ratio", "spread", "goal", "load", "met"):
        table.add_column(name, justify="right", no_wrap=True)
    for row, measured in found:
        ratios, cpu = measured.ratios, measured.cpu
        table.add_row(
            row.what,
            row.against,
            f"{_short(measured.value):,} {row.unit}",
            f"{_short(measured.pace):,}",
            f"{measured.ratio:.3g}",
            f"{min(ratios):.3g} - {max(ratios):.3g}",
            f"{'>=' if row.at_least else '<='} {row.goal:g}",
            f"{cpu[0]:.2f} / {cpu[1]:.2f}" if cpu else "",
            "yes" if is_met(row, measured) else "NO",
        )
    console = Console(width=max(Console().width, 160))
    console.print(table)
    console.print(LEGEND, highlight=False)
    for row, measured in found:
        if measured.parts:
            console.print(profile(row, measured), highlight=False)


def profile(row: Row[Machine], measured: Measured) -> str:
    """Where the time goes, in microseconds of CPU, and what there is of it."""
    parts = ", ".join(f"{name} {seconds * 1e6:.1f}" for name, seconds in measured.parts.items())
    allowed = 1e6 / (measured.pace * row.goal)
    one = row.unit.removesuffix("s/s")
    return f"{row.name}: us of CPU for each {one}: {parts}; taken {1e6 / measured.value:.1f}, the goal is {allowed:.1f}"


if __name__ == "__main__":
    main()
