"""How soon a drift is seen, and whether any is false or missed: python -m tests.bench.detection --help

Runs the real stack (PostgreSQL, Position service, Reconciler, a simulated venue over HTTP) through a long random life
with fills in flight, planted drifts and a venue that misbehaves. Prints what was counted; exits with 1 when a drift was
false or missed, or when book and venue differ at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.bench.desks import stack
from tests.bench.latency import Latency, measured
from tests.bench.soak import Soak, Tally

DESKS = 32  # a cycle mostly waits (for a second look, for a venue that stumbles): many side by side fill the time
CONFIRM_AFTER_S = 0.25  # shorter than the default, so that as many cycles fit into the time
SAY_EVERY_S = 30.0
IN_FLIGHT_S = 0.08  # the longest way of a fill into the book; what takes longer than the confirmation is a drift


def main() -> None:
    """Parse, run, print, write, judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], prog="python -m tests.bench.detection")
    parser.add_argument("--cycles", type=int, default=20_000, help="desks read, compared and recorded (%(default)s)")
    parser.add_argument("--desks", type=int, default=DESKS, help="accounts, all of them in every round (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of what happens; printed, to repeat a run")
    parser.add_argument("--out", type=Path, default=Path("build/detection.json"), help="where the numbers go")
    parser.add_argument("--samples", type=int, default=100, help="drifts whose detection is timed (%(default)s)")
    asked = parser.parse_args()
    seed = random.randrange(1_000_000) if asked.seed is None else asked.seed
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    began = time.monotonic()
    tally = asyncio.run(run(asked.cycles, asked.desks, seed))
    found = result(tally, seed, time.monotonic() - began)
    latencies = [asyncio.run(measured(asked.samples, push=True)), asyncio.run(measured(asked.samples // 4, push=False))]
    found["time_to_detect"] = [latency.told for latency in latencies]
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=2) + "\n")
    show(found, tally, latencies)
    sys.exit(0 if not (tally.false or tally.missed or tally.differing) else 1)


async def run(cycles: int, desks: int, seed: int) -> Tally:
    """The soak, with a progress bar where a person looks and a line now and then elsewhere; Ctrl-C ends it in order."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console, spoke, told = Console(stderr=True), time.monotonic(), 0
    console.print(f"seed {seed}, {cycles} cycles; Ctrl-C ends it early, with the counts so far", highlight=False)

    def say(tally: Tally) -> None:
        nonlocal spoke, told
        progress.update(task, completed=tally.cycles)
        for line in (bad := [*tally.false, *tally.missed])[told:]:
            console.print(line, highlight=False, markup=False)
        told = len(bad)
        if not console.is_terminal and time.monotonic() - spoke > SAY_EVERY_S:
            spoke = time.monotonic()
            counts = f"{len(tally.false)} false, {len(tally.missed)} missed"
            console.print(f"{tally.cycles} cycles, {tally.planted.total()} planted, {counts}", highlight=False)

    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("cycles", total=cycles)
        async with stack(desks, confirm_after_s=CONFIRM_AFTER_S) as running:
            soak = Soak(running, seed=seed, in_flight_s=IN_FLIGHT_S, confirm_after_s=CONFIRM_AFTER_S, say=say)
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, soak.stop)
            return await soak.run(cycles)


def result(tally: Tally, seed: int, seconds: float) -> dict[str, object]:
    """The numbers as they are written."""
    rounds = sorted(tally.rounds_to_detect) or [0]
    return {
        "seed": seed,
        "seconds": round(seconds),
        "cycles": tally.cycles,
        "fills_in_flight": tally.in_flight,
        "faults": sum(tally.faults.values()),
        "fault_kinds_x_calls": len(tally.faults),
        "planted": tally.planted.total(),
        "detected": tally.detected.total(),
        "true_of_late_fills": tally.late,
        "false": len(tally.false),
        "missed": len(tally.missed),
        "differing_at_the_end": len(tally.differing),
        "cycles_to_detect_p50": statistics.median(rounds),
        "cycles_to_detect_p99": rounds[min(len(rounds) - 1, len(rounds) * 99 // 100)],
    }


def show(found: dict[str, object], tally: Tally, latencies: Sequence[Latency]) -> None:
    """Three tables, and every drift that should not have been."""
    console = Console()
    table = Table(title="false and missed drifts", show_header=False)
    for name, value in found.items():
        if name == "time_to_detect":
            continue
        table.add_row(name.replace("_", " "), str(value))
    console.print(table)
    kinds = Table("planted", "times", "seen", title="by kind")
    for kind, count in tally.planted.most_common():
        kinds.add_row(kind, str(count), str(tally.detected[kind]))
    console.print(kinds)
    times = Table(
        "how", "samples", "p50 s", "p99 s", "max s", title="from the change at the venue to the drift on the stream"
    )
    for latency in latencies:
        told = latency.told
        times.add_row(latency.how, *(str(told[name]) for name in ("samples", "p50_s", "p99_s", "max_s")))
    console.print(times)
    console.print(f"causes named: {dict(tally.causes.most_common())}; resolved: {dict(tally.resolved)}")
    for name, lines in (("FALSE", tally.false), ("MISSED", tally.missed), ("DIFFERS", tally.differing)):
        for line in lines[:20]:
            console.print(f"{name} {line}", style="red", markup=False)


if __name__ == "__main__":
    main()
