"""What was committed, for watchers. Subscribers are cursors over the log, never queues.

A ring keeps the newest commits, so many that their events stay within a bound: a commit has one or ten thousand. Who is
further behind reads SQL. Publishing costs the same however many watch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from position_service.domain.events import Event


@dataclass(frozen=True, slots=True)
class Commit:
    """All events of one command. ``revision`` is that of the last.

    ``encoded`` is what watchers send of its events, by revision: whoever sends one first leaves it to all the others.
    """

    revision: int
    events: tuple[Event, ...]
    encoded: dict[int, bytes] = field(default_factory=dict, compare=False, repr=False)


def commits(events: list[Event]) -> list[Commit]:
    """Group events, in order, by the command they came from."""
    grouped: list[Commit] = []
    start = 0
    for index, event in enumerate(events):
        if event.revision == event.commit:
            grouped.append(Commit(event.revision, tuple(events[start : index + 1])))
            start = index + 1
    assert start == len(events), "a command's events were torn apart"
    return grouped


class Feed:
    """The ring and the bell."""

    def __init__(self, revision: int, size: int = 4096, most_events: int = 65_536) -> None:
        """``size`` is of commits. The newest is kept also when it alone has more than ``most_events``."""
        self.revision = revision  # all up to here is published
        self._size = size
        self._most_events = most_events
        self._ring: deque[Commit] = deque()
        self._events = 0  # in the ring
        self._before_ring = revision  # what is after this is in the ring
        self._bell = asyncio.Event()

    def publish(self, new: list[Commit]) -> None:
        """Append commits, oldest first, and wake everyone."""
        if new and new[0].events[0].revision > self.revision + 1:
            # What came before was never published, whatever broke there. The ring may have no gap: SQL has it all.
            self._ring.clear()
            self._events, self._before_ring = 0, new[0].events[0].revision - 1
        for commit in new:
            self._ring.append(commit)
            self._events += len(commit.events)
            self.revision = commit.revision
            while len(self._ring) > 1 and (len(self._ring) > self._size or self._events > self._most_events):
                oldest = self._ring.popleft()
                self._events -= len(oldest.events)
                self._before_ring = oldest.revision
        self._bell.set()
        self._bell = asyncio.Event()

    def after(self, revision: int) -> list[Commit] | None:
        """The commits after a revision, oldest first; None when the ring does not reach back that far.

        Of a commit that the revision lies within there is only the rest: nothing is delivered twice.
        """
        if revision < self._before_ring:
            return None
        # Watchers are nearly always near the end: walk back from there.
        found: list[Commit] = []
        for commit in reversed(self._ring):
            if commit.revision <= revision:
                break
            found.append(commit)
        found.reverse()
        if found and found[0].events[0].revision <= revision:
            rest = tuple(event for event in found[0].events if event.revision > revision)
            found[0] = Commit(found[0].revision, rest, found[0].encoded)
        return found

    async def wait(self, revision: int, timeout_s: float) -> bool:
        """Wait until something after ``revision`` is published. False when the time is over."""
        if self.revision > revision:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        except TimeoutError:
            return self.revision > revision
        return True
