"""Whose turn it is: which desks are looked at in one cycle, and which by themselves.

A desk is looked at, or corrected, by one at a time. Those that answer in time are looked at together; one that does
not is left behind, and each venue's are looked at by themselves, with all the time they may take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from reconciler_service.cycle import Cycle, Result
from reconciler_service.desk import Desk, prompt_s

Then = Callable[[Result], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Turn:
    """Why desks are looked at.

    ``on_begin`` is called when some of them begin to be, ``on_end`` with those that were, and whether it failed.
    """

    trigger: str
    dry_run: bool = False
    on_begin: Callable[[], None] = lambda: None
    on_end: Callable[[Sequence[Desk], bool], None] = lambda _, __: None


async def look(cycle: Cycle, desks: Sequence[Desk], turn: Turn, then: Then) -> list[Result]:
    """Look at desks, and do ``then`` with each run that was recorded. One run where all answer in time.

    Raises the first error of what went wrong, once everything has ended.
    """
    prompt = [desk for desk in desks if not desk.is_slow]
    patience_s = prompt_s(len(prompt)) if len(prompt) > 1 else None
    looks = [_together(cycle, prompt, turn, then, patience_s)] if prompt else []
    looks += _apart(cycle, [desk for desk in desks if desk.is_slow], turn, then)
    return await _all(looks)


def _apart(cycle: Cycle, desks: Sequence[Desk], turn: Turn, then: Then) -> list[Coroutine[Any, Any, list[Result]]]:
    venues: dict[str, list[Desk]] = {}
    for desk in desks:
        venues.setdefault(desk.health.venue, []).append(desk)
    return [_together(cycle, group, turn, then, None) for group in venues.values()]


async def _together(
    cycle: Cycle, desks: Sequence[Desk], turn: Turn, then: Then, patience_s: float | None
) -> list[Result]:
    """One cycle. Desks that are not free, or do not answer, so soon are looked at apart."""
    taken = await _take(desks, patience_s)
    result, left = None, set(desks) - set(taken)
    try:
        if taken:
            turn.on_begin()
            for desk in taken if not turn.dry_run else ():
                desk.pace.answer(asyncio.get_running_loop().time(), to_push=turn.trigger == "push")
            before = {desk: desk.venue.budget_left for desk in taken}
            result = await cycle.run(taken, turn.trigger, dry_run=turn.dry_run, patience_s=patience_s)
            left.update(result.left)
            for desk in taken if turn.trigger == "push" else ():
                # Accounts of one venue share its budget.
                sharing = sum(other.health.venue == desk.health.venue for other in taken)
                desk.pace.measure((before[desk] - desk.venue.budget_left) / sharing)
    except Exception:
        turn.on_end(desks, True)
        raise
    finally:
        for desk in taken:
            desk.turn.release()

    async def ended() -> list[Result]:
        try:
            if result is None or not result.run.checks:
                return []  # nobody answered in time: there was no run
            return [result if turn.dry_run else await then(result)]
        finally:
            turn.on_end([desk for desk in desks if desk not in left], False)

    return await _all([ended(), *_apart(cycle, [desk for desk in desks if desk in left], turn, then)])


async def _all(looks: Iterable[Coroutine[Any, Any, list[Result]]]) -> list[Result]:
    results = await asyncio.gather(*looks, return_exceptions=True)
    for one in results:
        if isinstance(one, BaseException):
            raise one
    return list(chain.from_iterable(one for one in results if not isinstance(one, BaseException)))


async def _take(desks: Iterable[Desk], patience_s: float | None) -> list[Desk]:
    """The desks that are free so soon, taken. Always in one order, so that no two wait for each other."""
    until = None if patience_s is None else asyncio.get_running_loop().time() + patience_s
    taken: list[Desk] = []
    try:
        for desk in desks:
            try:
                async with asyncio.timeout_at(until):
                    await desk.turn.acquire()
            except TimeoutError:
                continue
            taken.append(desk)
    except BaseException:
        for desk in taken:
            desk.turn.release()
        raise
    return taken
