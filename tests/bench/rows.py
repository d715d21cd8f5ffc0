"""A row of the table: ours and its yardstick, measured in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

On = TypeVar("On")


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. ``cpu``: the share of a core that making the load took, None where there is no load.

    ``parts``: seconds of CPU by process, for each call, fill or price.
    """

    value: float
    cpu: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both sides, ready to be measured any number of times."""

    ours: Callable[[], Sample]
    yardstick: Callable[[], Sample]


@dataclass(frozen=True, slots=True)
class Row(Generic[On]):
    """What is measured, and how its ratio to the yardstick is judged."""

    name: str
    what: str
    against: str
    unit: str
    goal: float
    at_least: bool  # else the goal is the most the ratio may be
    measure: Callable[[On], AbstractContextManager[Pair]]


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians over the rounds. A ratio is of two measurements made one after the other."""

    ours: list[Sample]
    yardstick: list[Sample]

    @property
    def value(self) -> float:
        return statistics.median(sample.value for sample in self.ours)

    @property
    def pace(self) -> float:
        return statistics.median(sample.value for sample in self.yardstick)

    @property
    def ratios(self) -> list[float]:
        return [a.value / b.value for a, b in zip(self.ours, self.yardstick, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def cpu(self) -> tuple[float, float] | None:
        """The load's share of a core, ours and the yardstick's."""
        shares = [[s.cpu for s in side if s.cpu is not None] for side in (self.ours, self.yardstick)]
        return (statistics.median(shares[0]), statistics.median(shares[1])) if all(shares) else None

    @property
    def parts(self) -> dict[str, float]:
        """Where our time goes: seconds of CPU by process, for each call, fill or price."""
        names = self.ours[0].parts
        return {name: statistics.median(sample.parts[name] for sample in self.ours) for name in names}


def alternate(pair: Pair, rounds: int, say: Callable[[int], None]) -> Measured:
    """Measure both in turns, each round the other way round: what drifts meanwhile hits both."""
    measured = Measured([], [])
    for number in range(rounds):
        sides = [(measured.ours, pair.ours), (measured.yardstick, pair.yardstick)]
        for kept, measure in sides if number % 2 == 0 else reversed(sides):
            kept.append(measure())
        say(number + 1)
    return measured
