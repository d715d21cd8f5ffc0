"""Reads: the book for what is live, the tables for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from heapq import nsmallest
from itertools import islice
from typing import Any
from uuid import UUID

from position_service import convert, page, reach
from position_service.domain import commands as c
from position_service.domain import portfolio
from position_service.domain.book import Book
from position_service.domain.errors import InvalidValue, PositionNotFound
from position_service.domain.events import Event
from position_service.domain.portfolio import Summary
from position_service.domain.position import Position, Status
from position_service.domain.risk import Rules
from position_service.domain.steps import resolve
from position_service.errors import revision_in_future
from position_service.ledger.history import History
from position_service.ledger.ledger import Ledger

LIVE = {status for status in Status if not status.is_final}
_FILTERS = ("account", "venue", "symbol", "asset")


class Reads:
    """Every method raises StoreUnavailable when the database does not answer."""

    def __init__(self, ledger: Ledger, history: History, mark_max_age: timedelta) -> None:
        self._ledger = ledger
        self._history = history
        self._mark_max_age = mark_max_age

    async def book(self, request: Any) -> Book:
        """The book, never stale, and not before ``min_revision`` either: waits for that as long as the call lives."""
        book = await self._ledger.book()
        while book.revision < request.min_revision:
            await self._ledger.feed.wait(book.revision, timeout_s=1.0)
            await asyncio.sleep(0)  # the call's deadline may end it here
        return book

    async def as_of(self, book: Book, request: Any) -> int | None:
        """The revision a request asks about; None for now, 0 for before the first. Raises InvalidValue and
        REVISION_IN_FUTURE.
        """
        time = convert.time_of(request, "as_of_time")
        if time is not None and request.as_of_revision:
            raise InvalidValue("as_of_time", "does not go together with as_of_revision")
        if request.as_of_revision > book.revision:
            raise revision_in_future(request.as_of_revision, book.revision)
        if time is None:
            return int(request.as_of_revision) or None
        return await self._history.revision_at(time)

    async def one(self, book: Book, ref: c.Ref, as_of: int | None) -> Position:
        """The position a reference names; final ones by id. Raises PositionNotFound, AmbiguousAsset."""
        await reach.require_position(ref, book, self._history)
        if as_of is not None:
            book = await self._book_at(as_of, ref)
        if ref.position_id is None or book.position(ref.position_id):
            try:
                return resolve(book, ref)
            except PositionNotFound:
                if as_of is None:
                    await self.refuse_ended(ref)
                raise
        position = await self._history.position(ref.position_id, as_of)
        if position is None:
            raise PositionNotFound(str(ref))
        return position

    async def refuse_ended(self, ref: c.Ref) -> None:
        """Raises PositionNotFound that tells of the position a reference named until lately; nothing if none did."""
        ended = await self._history.lately_ended(ref.account, {name: getattr(ref, name) for name in _FILTERS[1:]})
        if ended is not None:
            raise PositionNotFound(str(ref), *ended)

    async def _book_at(self, revision: int, ref: c.Ref) -> Book:
        """What was live at a revision; nothing for a reference by id, which needs no book."""
        past = Book(revision=revision)
        for position in await self._history.positions_as_of(revision) if ref.position_id is None else ():
            past.put(position)
        return past

    async def many(self, book: Book, request: Any, as_of: int | None) -> tuple[list[Position], str]:
        """A page of positions in the order they were opened, and the token of the next."""
        size, start = page.size(request), page.start(request)
        after = page.uuid(start) if start else None
        wanted, matches = convert.statuses(request) or LIVE, reach.matching(request)
        if as_of is None and any(status.is_final for status in wanted):
            filters = {name: getattr(request, name) for name in _FILTERS}
            found = await self._history.positions(filters, [s.value for s in wanted], after, size + 1, reach.accounts())
        elif as_of is None:
            fits = (p for p in _candidates(book, request, after) if p.status in wanted and matches(p))
            found = list(islice(fits, size + 1))
        else:
            everything = await self._history.positions_as_of(as_of)
            fits = (p for p in everything if p.status in wanted and matches(p))
            later = (p for p in fits if after is None or p.position_id > after)
            found = nsmallest(size + 1, later, key=lambda p: p.position_id)
        more = len(found) > size
        return found[:size], page.token(str(found[size - 1].position_id)) if more else ""

    def at_risk(self, book: Book, request: Any, rules: Rules) -> tuple[list[Position], str]:
        """A page of the positions at risk, nearest to liquidation first, and the token of the next.

        The list is made anew for every page, as marks move: a token is a place in it.
        """
        size, start = page.size(request), page.start(request)
        skip = page.revision(start) if start else 0
        wanted = replace(rules, threshold=Decimal(request.threshold)) if request.threshold else rules
        found = portfolio.at_risk(book, filter(reach.matching(request), book.positions.values()), wanted)
        more = len(found) > skip + size
        return found[skip : skip + size], page.token(str(skip + size)) if more else ""

    def summary(self, book: Book, request: Any, rules: Rules) -> Summary:
        """The live positions of an account and venue, or of all, added up."""
        total, seen = Summary(oldest=datetime.now(UTC) - self._mark_max_age), reach.accounts()
        for position in book.positions.values():
            if (
                request.account in ("", position.account)
                and request.venue in ("", position.venue)
                and (seen is None or position.account in seen)
            ):
                total.add(book, position, rules)
        return total

    async def history(self, request: Any) -> tuple[list[Event], str]:
        """A page of events, oldest first, and the token of the next. Raises PositionNotFound."""
        size, start = page.size(request), page.start(request)
        after = page.revision(start) if start else request.after_revision
        subject = UUID(request.position_id) if request.position_id else None
        filters = {} if subject else {name: getattr(request, name) for name in _FILTERS}
        events = await self._history.events(subject, filters, after, size + 1, reach.accounts())
        if subject and not events and not start and not after:
            raise PositionNotFound(f"position {subject}")
        more = len(events) > size
        return events[:size], page.token(str(events[size - 1].revision)) if more else ""


def _candidates(book: Book, request: Any, after: UUID | None) -> Iterator[Position]:
    """The live positions that may match, in the order they were opened; only the few of a name where one is given."""
    name = request.symbol or request.asset
    if not (request.account and name):
        return book.opened_after(after)
    named = sorted(one for one in book.named(request.account, name) if after is None or one > after)
    return (book.positions[one] for one in named)
