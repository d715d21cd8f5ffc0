"""The connections to PostgreSQL: load, append, catch up, and find out what became of a lost answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

import asyncpg

from position_service.domain.book import Book, FillKey, PaymentKey
from position_service.domain.estimating import KEPT_FOR
from position_service.domain.events import Event, EventType
from position_service.domain.position import Instrument, Key, Mark, Position
from position_service.ledger import codec
from position_service.ledger.line import LOST, Line, StoreUnavailable
from position_service.ledger.statement import Part, Rows, arguments, statement

LOAD_S = 600.0  # for all that is live


class WentBack(StoreUnavailable):
    """The database is behind what this process has seen committed: a replica or a backup took over.

    Going on would fork the history, so nothing is answered until somebody has decided which of the two is right.
    """

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the database is at revision {found}, but {known} was committed: it lost acknowledged changes"
        )


class AlreadyKnown(Exception):
    """A request id or fill id of the batch is in the tables already."""


class Head(NamedTuple):
    revision: int
    tick: int
    hash: bytes
    time: datetime | None


class KnownRequest(NamedTuple):
    method: str
    body: bytes
    response: bytes


@dataclass(slots=True)
class News:
    """What other writers committed since some head."""

    head: Head
    events: list[Event] = field(default_factory=list)


# Ended, with estimates that fills may still restate: none was made after the end. A day more than that: clocks differ.
_OWING = f"estimates <> '[]' AND closed_at > now() - interval '{KEPT_FOR.days + 1} days'"


class Store:
    """A line for the committer, one for looks at the head, a pool for everyone else."""

    def __init__(self, dsn: str, *, statement_timeout_s: float = 10.0, readers: int = 8) -> None:
        self._dsn = dsn
        self._timeout_s = statement_timeout_s
        self._readers = readers
        self._writer, self._looker = Line(dsn, statement_timeout_s), Line(dsn, statement_timeout_s)
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Connect. Raises StoreUnavailable."""
        with unavailable():
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self._readers,
                command_timeout=self._timeout_s,
                reset=_as_it_is,
            )
            await self._writer.open()

    async def close(self) -> None:
        await self._writer.close()
        await self._looker.close()
        if self._pool is not None:
            await self._pool.close()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for reads. Raises StoreUnavailable when it breaks."""
        assert self._pool is not None
        with unavailable():
            async with self._pool.acquire(timeout=self._timeout_s) as connection:
                yield connection

    async def head(self) -> Head:
        """Where the ledger is now."""
        return _found(await self._looker.row(_HEAD))

    def look_elsewhere(self) -> None:
        """Ask whoever is the database now where the ledger is: a connection may be held by one that was."""
        self._looker.drop()

    async def append(self, old: Head, new: Head, rows: Mapping[Part, Rows]) -> bool:
        """Commit a batch if the head is still ``old``. False: it is not, and nothing was written.

        Raises AlreadyKnown, and StoreUnavailable when the outcome is not known: ask ``became``.
        """
        parts, arrays = arguments(rows)
        try:
            row = await self._writer.row(
                statement(parts), new.revision, new.hash, new.time, new.tick, old.revision, old.tick, *arrays
            )
        except asyncpg.UniqueViolationError as error:
            raise AlreadyKnown(str(error)) from error
        return bool(cast("asyncpg.Record", row)[0])

    async def became(self, new: Head) -> bool:
        """Whether the batch that led to ``new`` is committed: its last event stands there, with our hash."""
        row = await self._writer.row("SELECT hash FROM events WHERE revision = $1", new.revision)
        return row is not None and row["hash"] == new.hash

    async def known_requests(self, request_ids: Iterable[str]) -> dict[str, KnownRequest]:
        """The stored answers to those requests that are known."""
        async with self.reading() as connection:
            rows = await connection.fetch(
                "SELECT request_id, method, body, response FROM requests WHERE request_id = ANY($1)", list(request_ids)
            )
        return {row["request_id"]: KnownRequest(row["method"], row["body"], row["response"]) for row in rows}

    async def known_fills(self, keys: Sequence[FillKey]) -> set[FillKey]:
        """Those fills that are booked already."""
        return await self._known("fills", "fill_id", keys)

    async def known_payments(self, keys: Sequence[PaymentKey]) -> set[PaymentKey]:
        """Those funding payments that are booked already."""
        return await self._known("payments", "payment_id", keys)

    async def _known(self, table: str, id_: str, keys: Sequence[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
        if not keys:
            return set()
        async with self.reading() as connection:
            rows = await connection.fetch(
                f"SELECT account, venue, {id_} FROM {table} JOIN unnest($1::text[], $2::text[], $3::text[])"
                f" AS wanted (account, venue, {id_}) USING (account, venue, {id_})",
                *(list(column) for column in zip(*keys, strict=True)),
            )
        return {(row["account"], row["venue"], row[id_]) for row in rows}

    async def ended(self, asked: Iterable[tuple[Key, datetime]]) -> list[Position]:
        """Of each key the first position that was held and ended at or after a time, if the tables have one."""
        columns = [list(column) for column in zip(*((*key, at) for key, at in set(asked)), strict=True)]
        async with self.reading() as connection:
            rows = await connection.fetch(
                "SELECT ended.* FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])"
                " AS wanted (account, venue, symbol, at) CROSS JOIN LATERAL ("
                "  SELECT * FROM positions WHERE (account, venue, symbol) = (wanted.account, wanted.venue, wanted.symbol)"
                "  AND closed_at >= wanted.at AND peak > 0 ORDER BY closed_at, position_id LIMIT 1) AS ended",
                *columns,
            )
        return [codec.position_from_row(row) for row in rows]

    async def load(self, book: Book) -> Head:
        """Fill an empty book with what is live, and what has outstanding estimates, as of one head."""
        async with self.reading() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            head = _found(await connection.fetchrow(_HEAD))
            for condition in ("closed_at IS NULL", _OWING):
                # All at once: the server goes on sending while what has come is read.
                wanted = f"SELECT {codec.POSITION_COLUMNS} FROM positions WHERE {condition}"
                for row in await connection.fetch(wanted, timeout=LOAD_S):
                    book.put(codec.position_from_columns(row))
            side = await _side(connection, after_tick=-1)
        side.put(book)
        book.revision, book.time = head.revision, head.time
        return head

    async def catch_up(self, book: Book, old: Head) -> News:
        """Bring the book to the head; tell what was committed in between."""
        async with self.reading() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            news = News(_found(await connection.fetchrow(_HEAD)))
            if news.head.revision < old.revision:
                raise WentBack(news.head.revision, old.revision)
            rows = await connection.fetch("SELECT * FROM events WHERE revision > $1 ORDER BY revision", old.revision)
            side = await _side(connection, after_tick=old.tick)
            final = await _final(connection, rows, old.revision)
        # Only now, and without a pause: a connection that breaks half-way, and whoever reads meanwhile, must find the
        # book as it was or as it will be.
        for event in [codec.event_from_row(row) for row in rows]:  # all of them first: one may be unreadable
            news.events.append(replace(event, before=book.position(event.subject) or final.get(event.subject)))
            book.apply(event)
            if event.after is not None and event.after.status.is_final:
                final[event.subject] = event.after
        side.put(book)
        return news


async def _as_it_is(connection: asyncpg.Connection) -> None:
    """Readers leave nothing behind in their session, so giving a connection back need not cost a round trip."""


_HEAD = "SELECT revision, tick, hash, time FROM ledger_head"


def _found(row: asyncpg.Record | None) -> Head:
    return Head(*cast("tuple[Any, ...]", row))


# What may happen to a position that has ended. The book does not hold it: its state before stands in the events.
_AFTER_THE_END = {EventType.REVERSED.value, EventType.RESTATED.value, EventType.FUNDING.value}


async def _final(connection: asyncpg.Connection, rows: Sequence[asyncpg.Record], revision: int) -> dict[UUID, Position]:
    """As they were at a revision: the final positions among those that something happened to since."""
    subjects = {row["subject"] for row in rows if row["type"] in _AFTER_THE_END}
    if not subjects:
        return {}
    found = await connection.fetch(
        "SELECT DISTINCT ON (subject) * FROM events WHERE subject = ANY($1) AND revision <= $2"
        " ORDER BY subject, revision DESC",
        list(subjects),
        revision,
    )
    before = {row["subject"]: codec.event_from_row(row).after for row in found}
    return {subject: after for subject, after in before.items() if after is not None and after.status.is_final}


class _Side(NamedTuple):
    """Marks, liquidation prices, checks and open drifts with their counters: what changes without an event."""

    marks: list[asyncpg.Record]
    liquidation_prices: list[asyncpg.Record]
    checks: list[asyncpg.Record]
    drifts: list[asyncpg.Record]

    def put(self, book: Book) -> None:
        for row in self.marks:
            book.marks[Instrument(row["venue"], row["symbol"])] = Mark(row["price"], row["observed_at"])
        for row in self.liquidation_prices:
            if row["position_id"] in book.positions:  # not of what has ended: its rows stay until they are purged
                book.liquidation_prices[row["position_id"]] = codec.liquidation_price_from_row(row)
        for row in self.checks:
            book.put_check(codec.check_from_row(row))
        for row in self.drifts:
            book.put_drift(codec.drift_from_row(row))


async def _side(connection: asyncpg.Connection, after_tick: int) -> _Side:
    return _Side(
        await connection.fetch("SELECT * FROM marks WHERE tick > $1", after_tick),
        await connection.fetch("SELECT * FROM liquidation_prices WHERE tick > $1", after_tick),
        await connection.fetch("SELECT * FROM checks WHERE tick > $1", after_tick),
        await connection.fetch("SELECT * FROM drifts WHERE tick > $1 AND status <> 'RESOLVED'", after_tick),
    )


class unavailable:  # noqa: N801 - reads as the statement it is: with unavailable(): ...
    """Turn what a lost connection raises into StoreUnavailable."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LOST):
            raise StoreUnavailable(str(error)) from error


async def patiently(seconds: float) -> AsyncIterator[None]:
    """Yield again and again, ever more slowly, for about so long."""
    delay, waited = 0.05, 0.0
    while waited < seconds:
        yield
        await asyncio.sleep(delay)
        waited += delay
        delay = min(delay * 2, 1.0)
