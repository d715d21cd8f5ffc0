"""What many accounts ask a venue for and seldom changes: read by one of them at a time, and kept for all.

Those who need it while it is being read wait, and share what comes of it, an error too, instead of asking one after the
other. A reader that is cancelled hands over to the next. Whether an old value will do where a new one cannot be had is
for the caller to say: it stays in ``value``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar
from zlib import crc32

from reconciler_service.venues import VenueError

T = TypeVar("T")


class Kept(Generic[T]):
    """One such thing. Safe to use from many tasks of one event loop."""

    def __init__(self, name: str, good_for: timedelta) -> None:
        """``name`` tells it from others; it is read again when it is ``good_for`` old or a little before."""
        self.value: T | None = None  # what was read last, however old
        self._good_for = spread(good_for, name)
        self._read_at: datetime | None = None
        self._lock = asyncio.Lock()  # held exactly while it is being read
        self._begun = 0  # reads, numbered as they begin
        self._value_of = 0  # the number of the read that brought the value
        self._failed: tuple[int, VenueError] | None = None  # the last read, if it failed

    async def get(self, now: datetime, read: Callable[[], Awaitable[T]], is_enough: Callable[[T], bool]) -> T:
        """The value, read again when it is old or not ``is_enough``. Raises the VenueError of the read."""
        if self._is_fresh(now) and self.value is not None and is_enough(self.value):
            return self.value
        last = self._begun
        ours = last if self._lock.locked() else last + 1  # the first read whose failure we share
        async with self._lock:
            # A read that began after we asked is the newest there can be, enough or not.
            is_new = self._value_of > last
            if self.value is not None and (is_new or (self._is_fresh(now) and is_enough(self.value))):
                return self.value
            if self._failed is not None and self._failed[0] >= ours:
                raise self._failed[1].with_traceback(None)
            return await self._read(now, read)

    async def _read(self, now: datetime, read: Callable[[], Awaitable[T]]) -> T:
        self._begun += 1
        number = self._begun
        try:
            value = await read()
        except VenueError as error:
            self._failed = number, error
            raise
        self.value, self._value_of, self._read_at, self._failed = value, number, now, None
        return value

    def _is_fresh(self, now: datetime) -> bool:
        # Accounts look at slightly different times, and a clock that is set back must not keep it for ever.
        return self._read_at is not None and abs(now - self._read_at) < self._good_for


def spread(good_for: timedelta, name: str) -> timedelta:
    """The time less up to a quarter, by the name: what was read together at the start is not read together again."""
    return good_for * (1 - crc32(name.encode()) / 2**34)
