"""Reads a history page by page. Times are inclusive on both ends, so pages overlap; entries have keys, so none counts twice.

A full page is cut at its far end: the newest one if the list is oldest-first, else the oldest. Which it is, each page
tells itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from reconciler_service.venues import VenueUnreachable

MAX_PAGES = 25


class Entry(Protocol):
    """What a history holds."""

    @property
    def key(self) -> str:
        """What makes two entries the same."""

    @property
    def time_ms(self) -> int:
        """When it happened, milliseconds since 1970."""


E = TypeVar("E", bound=Entry)


class History(NamedTuple):
    """One of the venue's histories. ``full`` is the fewest entries that a page which was cut can have."""

    kind: str
    full: int


FILLS = History("userFillsByTime", 2000)
FUNDING = History("userFunding", 500)
LEDGER = History("userNonFundingLedgerUpdates", 500)


async def read(history: History, start: int, ask: Callable[[int, int | None], Awaitable[Sequence[E]]]) -> list[E]:
    """Every entry since ``start``, each once, in no order. ``ask`` reads one page between two times.

    Raises VenueUnreachable rather than leave any out, and what ``ask`` raises.
    """
    end: int | None = None
    found: dict[str, E] = {}
    for _ in range(MAX_PAGES):
        page = await ask(start, end)
        found.update((entry.key, entry) for entry in page)
        if len(page) < history.full:
            return list(found.values())
        first, last = page[0].time_ms, page[-1].time_ms
        beyond = (last, end) if first <= last else (start, last)
        if beyond == (start, end):
            raise VenueUnreachable(
                f"{history.kind}: {history.full} or more in the millisecond {start}, more than a page holds"
            )
        start, end = beyond
    raise VenueUnreachable(f"{history.kind}: more than {MAX_PAGES} pages")
