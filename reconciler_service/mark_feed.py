"""Brings the marks that venues push into the book between two looks, so that PnL and distances are of now.

A mark is market data: the newest one wins, and none of it is a position. One that fails is replaced by the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import grpc
import structlog

from reconciler_service import convert_marks
from reconciler_service.book import Book
from reconciler_service.desk import Desk
from reconciler_service.model import Mark

MOST = 10_000  # instruments whose last mark is remembered

_log = structlog.get_logger("reconciler")


class MarkFeed:
    """Owned by the one task that runs it."""

    def __init__(
        self,
        desks: Callable[[], Sequence[Desk]],
        book: Book,
        every_s: float,
        oldest: timedelta,
        is_active: Callable[[], bool] = lambda: True,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``oldest`` is how far the venue's time of a mark may be off ours: a clock that is wrong must not win for ever."""
        self._desks = desks
        self._book = book
        self._every_s = every_s
        self._oldest = oldest
        self._is_active = is_active
        self._clock = clock
        self._sent: dict[tuple[str, str], Decimal] = {}  # by venue and symbol
        self._fails = False

    async def run(self) -> None:
        """Send what is new, again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            await self.send()

    async def send(self) -> None:
        """Send what is new since the last time. Never raises for what the Position service answers."""
        news = self._news()
        if not news or not self._is_active():
            return
        try:
            await self._book.push_marks(
                [convert_marks.price(venue, symbol, mark.price, mark.at) for (venue, symbol), mark in news.items()]
            )
        except grpc.aio.AioRpcError as error:
            if not self._fails:
                _log.warning("pushed marks not stored", code=error.code().name, detail=error.details())
            self._fails = True
            return
        self._fails = False
        self._sent |= {key: mark.price for key, mark in news.items()}
        if len(self._sent) > MOST:
            self._sent.clear()

    def _news(self) -> dict[tuple[str, str], Mark]:
        """The newest mark of each instrument, of any desk, that is not what was sent last."""
        now, found = self._clock(), dict[tuple[str, str], Mark]()
        for desk in self._desks():
            for symbol, mark in desk.watch.marks().items() if desk.watch is not None else ():
                key, known = (desk.venue.name, symbol), found.get((desk.venue.name, symbol))
                if abs(now - mark.at) < self._oldest and (known is None or known.at < mark.at):
                    found[key] = mark
        return {key: mark for key, mark in found.items() if self._sent.get(key) != mark.price}
