"""How time and memory grow with the book: python -m tests.bench.growth --help

1 000, 10 000 and 100 000 live positions, in desks of 1 000 each that all hold the same instruments. The exponent of a
line is that of the power of the number of positions it grows with: 0 is flat, 1 linear.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from trueup.position.v1 import position_service_pb2 as pb

from tests.bench import plot
from tests.bench.calls import fill, openings
from tests.bench.http2 import message, replay
from tests.bench.machine import SERVICE, Machine, Size, machine, seed, sql
from tests.bench.reconciling import reconciled

SIZES = (1_000, 10_000, 100_000)
HELD = 1_000
FLAT, LINEAR = "flat", "linear"
# What is measured, its unit, and how it may grow.
MEASURES = {
    "OpenPosition": ("ms a call", FLAT),
    "GetPosition": ("ms a call", FLAT),
    "UpdatePrices": ("ms for 1 000", FLAT),
    "ListPositions": ("ms a page of 100", FLAT),
    "reconciliation": ("s a cycle", LINEAR),
    "restart": ("s until it serves", LINEAR),
    "memory": ("MB, resident", LINEAR),
}
# What flat still allows: timings are what they are, and caches are of one size.
MOST = {FLAT: 0.1, LINEAR: 1.05}


def main() -> None:
    """Measure, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0], prog="python -m tests.bench.growth")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="live positions (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/growth.json"), help="where the numbers go")
    parser.add_argument("--plot", type=Path, default=Path("docs/growth.svg"), help="where the picture goes")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    columns = TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as progress, machine(Size()) as on:
        task = progress.add_task("", total=len(asked.sizes) * len(MEASURES))
        for size in asked.sizes:
            progress.update(task, description=f"{size} positions")
            for name, value in measure(on, size):
                found[name].append(value)
                progress.advance(task)
    lines = [line(name, values, asked.sizes) for name, values in found.items()]
    for file, text in ((asked.out, json.dumps(lines, indent=2) + "\n"), (asked.plot, plot.draw(asked.sizes, found))):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    show(lines, asked.sizes)
    sys.exit(0 if all(line["met"] for line in lines) else 1)


def measure(on: Machine, size: int) -> Iterator[tuple[str, float]]:
    """Each measure of a book of that size, in their order."""
    with reconciled(on, max(1, size // HELD), min(size, HELD)) as desks:
        service, dsn = desks.position, desks.dsn
        # One more desk, alone with its instruments: what is asked of it is the same whatever else there is.
        symbols = [f"G{number}" for number in range(HELD)]
        seed(service.address, (fill(symbol) for symbol in symbols), "alone")
        known = sql(dsn, "SELECT array_agg(position_id::text) FROM positions WHERE account = 'alone'")
        asked = {
            "OpenPosition": openings(400),
            "GetPosition": [message(pb.GetPositionRequest(position_id=one).SerializeToString()) for one in known],
            "UpdatePrices": [_prices(symbols, price) for price in range(1, 11)],
            "ListPositions": [message(pb.ListPositionsRequest(page_size=100).SerializeToString()) for _ in range(20)],
        }
        for name, bodies in asked.items():
            yield name, 1_000 * _each_s(service.address, name, bodies)
        yield "reconciliation", statistics.median(desks.cycle_s() for _ in range(3))
        resident_kb = _resident_kb(service.process.pid)
        service.terminate()
        on.settle(dsn)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            with on.position(dsn):
                times.append(time.perf_counter() - began)
        yield "restart", statistics.median(times)
        yield "memory", resident_kb / 1_024


def _each_s(address: str, method: str, bodies: Sequence[bytes]) -> float:
    """Seconds a call, one at a time: the median of five parts, so that one bad moment does not count."""
    parts = [bodies[start::5] for start in range(5)]
    times = []
    for part in parts:
        began = time.perf_counter()
        replay(address, SERVICE + method, part, in_flight=1)
        times.append((time.perf_counter() - began) / len(part))
    return statistics.median(times)


def _prices(symbols: Sequence[str], price: int) -> bytes:
    prices = [pb.PriceUpdate(venue="hyperliquid", symbol=symbol, price=f"42000.{price}") for symbol in symbols]
    return message(pb.UpdatePricesRequest(prices=prices).SerializeToString())


def _resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def line(name: str, values: Sequence[float], sizes: Sequence[int]) -> dict[str, object]:
    """A measure as it is written."""
    unit, allowed = MEASURES[name]
    exponent = math.log(values[-1] / values[0]) / math.log(sizes[-1] / sizes[0])
    return {
        "name": name,
        "unit": unit,
        "values": {str(size): round(value, 3) for size, value in zip(sizes, values, strict=True)},
        "exponent": round(exponent, 3),
        "allowed": allowed,
        "met": exponent <= MOST[allowed],
    }


def show(lines: Sequence[dict[str, object]], sizes: Sequence[int]) -> None:
    table = Table(title="growth with the number of live positions")
    table.add_column("what")
    for name in (*(f"{size:,}" for size in sizes), "exponent", "may be", "met"):
        table.add_column(name, justify="right")
    for line in lines:
        values = line["values"]
        assert isinstance(values, dict)
        cells = [f"{value:,}" for value in values.values()]
        met = "yes" if line["met"] else "NO"
        table.add_row(f"{line['name']}, {line['unit']}", *cells, str(line["exponent"]), str(line["allowed"]), met)
    Console(width=max(Console().width, 120)).print(table)


if __name__ == "__main__":
    main()
