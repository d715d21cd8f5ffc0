"""Makes the promises of docs/reliability.md and tries to break them: python -m tests.torture --help

Prints faults, counts and violations, writes build/torture.json, and exits with 1 when anything was violated, a floor was
not reached or a planted bug was not caught. Ctrl-C ends it soon, with the table so far.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from tests.torture import bugs, drifts, durable, fuzz, streams, venues
from tests.torture.decoders import decoders
from tests.torture.run import Run, Slice

DEFAULT_MINUTES = 15.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Part:
    """One slice: what it proves, and its share of the time."""

    promise: str
    slice: Slice
    weight: float


PARTS: dict[str, Part] = {
    "kills": Part("D1 C1 C2 C3", durable.kills, 4),
    "volume": Part("D1 C1 C2 C3", durable.volume, 3),
    "crashes": Part("D1 D4", durable.crashes, 1.5),
    "wire": Part("D2 D4", durable.wire, 2.5),
    "failpoints": Part("D3", durable.failpoints, 2.5),
    "stalls": Part("D5", durable.stalls, 1),
    "clocks": Part("C3", durable.clocks, 0.4),
    "disk": Part("D4", durable.full_disk, 0.6),
    "storms": Part("G2", streams.storms, 1),
    "stalled": Part("G1", streams.stalled, 0.8),
    "overload": Part("G4", streams.overload, 0.5),
    "venues": Part("R1 R2", venues.bad_venues, 2),
    "drifts": Part("R3 R4", drifts.drifts, 2),
    "soak": Part("R3", drifts.soak, 1),
    "fuzz": Part("G3", fuzz.rpcs, 3),
    "decoders": Part("R1", decoders, 0.5),
    "planted": Part("C4", bugs.planted, 2),
}


def main() -> None:
    """Parse, run, print, write, judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], prog="python -m tests.torture")
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES, help="about how long (%(default)g)")
    parser.add_argument("--seed", type=int, default=None, help="of everything that is drawn; printed, to repeat a run")
    parser.add_argument("--only", default="", help=f"comma separated: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("build/torture.json"), help="where the numbers go")
    asked = parser.parse_args()
    names = [name for name in asked.only.split(",") if name] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    seed = random.randrange(1_000_000) if asked.seed is None else asked.seed
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    console = Console(stderr=True, highlight=False)

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:6.0f} s  {text}", markup=False, soft_wrap=True)

    run = Run(seed, say)
    say(f"seed {seed}, about {asked.minutes:g} minutes: {', '.join(names)}")
    asyncio.run(torture(run, names, asked.minutes))
    minutes = (time.monotonic() - began) / 60
    run.write(asked.out, minutes)
    show(run, minutes)
    sys.exit(bool(run.violations))


async def torture(run: Run, names: list[str], minutes: float) -> None:
    """One part after the other, each with its share of the time; whatever ends a part ends only that."""

    def stop() -> None:
        run.say("ending, with what there is so far; once more to end at once")
        run.stopped = True
        for number in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop)
    progress = asyncio.create_task(_progress(run))
    # The floors are those of a run of the default length, whichever parts it has.
    total, share = sum(PARTS[name].weight for name in names), minutes / DEFAULT_MINUTES
    whole = sum(part.weight for part in PARTS.values())
    share *= whole / total if len(names) < len(PARTS) else 1
    for name in names:
        if run.stopped:
            break
        part = PARTS[name]
        run.say(f"{name}: {(part.slice.__doc__ or '').splitlines()[0]}")
        try:
            await part.slice(
                run, minutes * 60 * part.weight / total, min(share, 1.0) if len(names) < len(PARTS) else share
            )
        except Exception as error:  # noqa: BLE001 - told, and the next part is tried
            run.wrong(name, [f"broken: {type(error).__name__}: {error}"])
    progress.cancel()


async def _progress(run: Run) -> None:
    while True:
        await asyncio.sleep(10)
        counted = ", ".join(
            f"{kind} {times}" for kind, times in run.faults.most_common() if not kind.startswith("venue ")
        )
        run.say(f"{run.operations} operations, {len(run.violations)} violations; {counted}")


def show(run: Run, minutes: float) -> None:
    """The tables: faults, planted bugs, what was violated."""
    console = Console()
    table = Table("fault", "times", "at least", title=f"seed {run.seed}, {minutes:.1f} minutes")
    for kind, times in run.faults.items():
        if not kind.startswith("venue "):
            table.add_row(kind, str(times), str(run.floors.get(kind, "")))
    kinds = [kind for kind in run.faults if kind.startswith("venue ")]
    table.add_row("kinds of faults of venues", str(len(kinds)), "")
    console.print(table)
    told = Table("planted bug", "caught by", title="the checkers can fail")
    for bug, by in run.planted.items():
        told.add_row(bug, by[:100] or "NOTHING")
    console.print(told)
    for kind, why in run.skipped.items():
        console.print(f"skipped: {kind}: {why}", markup=False)
    console.print(
        f"{run.operations} operations (each fill of a batch is one), {run.delivered} events delivered to watchers"
    )
    console.print(f"violations: {len(run.violations)}", style="red" if run.violations else "green")
    for line in run.violations[:50]:
        console.print(f"VIOLATION {line}", style="red", markup=False, soft_wrap=True)
    if run.violations:
        console.print(f"again: make torture SEED={run.seed}", markup=False)


if __name__ == "__main__":
    main()
