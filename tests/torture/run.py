"""One run of the torture: the seed, the time, what was counted, what was wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.torture.cell import Verdict

Say = Callable[[str], None]
PATIENCE = 3.0  # times its share a slice may take to reach its floors


@dataclass
class Run:
    """Told by every slice; ``stopped`` ends them all at their next step, with what there is so far."""

    seed: int
    say: Say = lambda _: None
    faults: Counter[str] = field(default_factory=Counter)
    floors: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    violated: Counter[str] = field(default_factory=Counter)  # by slice
    planted: dict[str, str] = field(default_factory=dict)  # bug: what caught it; "" for missed
    skipped: dict[str, str] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    operations: int = 0
    delivered: int = 0
    stopped: bool = False

    def count(self, kind: str, times: int = 1) -> None:
        self.faults[kind] += times

    def wrong(self, slice_: str, lines: list[str]) -> None:
        self.violated[slice_] += len(lines)
        self.violations += [f"{slice_}: {line}" for line in lines]
        for line in lines[:5]:
            self.say(f"VIOLATION {slice_}: {line}")

    def took(self, slice_: str, verdict: Verdict) -> None:
        """What a ledger went through."""
        self.operations += verdict.operations
        self.delivered += verdict.delivered
        self.codes.update(verdict.codes)
        self.wrong(slice_, verdict.violations)

    def as_json(self, minutes: float) -> dict[str, Any]:
        caught = sum(1 for by in self.planted.values() if by)
        return {
            "seed": self.seed,
            "minutes": round(minutes, 2),
            "faults": dict(self.faults),
            "floors": dict(self.floors),
            "operations": self.operations,
            "delivered_events": self.delivered,
            "violations": len(self.violations),
            "planted": {"caught": caught, "total": len(self.planted)},
            "planted_bugs": self.planted,
            "skipped": self.skipped,
            "statuses": dict(self.codes),
            "what_was_violated": self.violations[:100],
        }

    def write(self, path: Path, minutes: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_json(minutes), indent=2) + "\n")


class Box:
    """The time of one slice and what it has to reach: over when both the time and the floors are."""

    def __init__(self, run: Run, name: str, seconds: float, **floors: int) -> None:
        self.run, self.name = run, name
        self._began, self._seconds = time.monotonic(), seconds
        self._floors = {kind.replace("_", " "): least for kind, least in floors.items()}
        for kind, least in self._floors.items():
            run.floors[kind] += least
            run.faults[kind] += 0

    def going(self) -> bool:
        """Whether to go on."""
        passed = time.monotonic() - self._began
        if self.run.stopped or passed > PATIENCE * self._seconds + 180:
            return False
        return passed < self._seconds or not self.reached

    @property
    def reached(self) -> bool:
        return all(self.run.faults[kind] >= least for kind, least in self._floors.items())

    def close(self) -> None:
        """A floor that was not reached in all that time is a failure: less was proved than is said."""
        if not self.reached and not self.run.stopped:
            short = {
                kind: self.run.faults[kind] for kind, least in self._floors.items() if self.run.faults[kind] < least
            }
            self.run.wrong(self.name, [f"floor: only {short} of {self._floors}"])


async def side_by_side(count: int, make: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """As many of the same at once; the first error ends them all."""
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(make(number))


Slice = Callable[[Run, float, float], Awaitable[None]]  # the run, seconds, share of the default floors
