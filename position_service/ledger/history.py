"""Reads of what is not in memory: events, final positions, states at an earlier time, runs, closed cases."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from position_service.domain.drift import Drift
from position_service.domain.events import Event
from position_service.domain.position import Position
from position_service.ledger import chain, codec
from position_service.ledger.feed import Commit, commits
from position_service.ledger.store import Store

PAGE = 1000
# The state before an event is the state after the event before it.
_WITH_BEFORE = """
SELECT e.*, (SELECT p.body FROM events p WHERE p.subject = e.subject AND p.revision < e.revision
             ORDER BY p.revision DESC LIMIT 1) AS before_body
FROM events e WHERE {condition} ORDER BY e.revision LIMIT {limit}"""
# PostgreSQL knows years that Python does not; a time of one of those was not written here.
_LINKS = """
SELECT revision, commit_revision, type, account, subject, actor, request_id, reason, body, hash,
       CASE WHEN time >= '0001-01-02' AND time < '9999-12-31' THEN time END AS time
FROM events WHERE revision BETWEEN $1 AND $2 ORDER BY revision"""

_PURGE = """
WITH gone AS (DELETE FROM positions WHERE {condition} RETURNING position_id),
     theirs AS (DELETE FROM liquidation_prices WHERE position_id IN (SELECT position_id FROM gone))
SELECT count(*) FROM gone"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What walking the hash chain found; ``broken`` is 0 when it is intact."""

    checked: int
    broken: int = 0
    problem: str = ""


class StoredRun(NamedTuple):
    run_id: UUID
    body: str  # JSON


class History:
    """Read-only; every method raises StoreUnavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def commits_after(self, revision: int) -> list[Commit]:
        """The next commits after a revision, whole ones, about a thousand events."""
        async with self._store.reading() as connection:
            # Revisions are dense, so the page's end is known without counting.
            last = await connection.fetchval(
                "SELECT commit_revision FROM events"
                " WHERE revision = (SELECT least($1::bigint + $2::bigint, max(revision)) FROM events)",
                revision,
                PAGE,
            )
            rows = await connection.fetch(
                _WITH_BEFORE.format(condition="e.revision > $1 AND e.revision <= $2", limit="ALL"), revision, last or 0
            )
        return commits([_event(row) for row in rows])

    async def oldest_revision(self) -> int:
        """The first revision that is kept; 0 when there is none."""
        async with self._store.reading() as connection:
            return await connection.fetchval("SELECT coalesce(min(revision), 0) FROM events") or 0

    async def events(
        self,
        subject: UUID | None,
        filters: Mapping[str, str],
        after: int,
        limit: int,
        accounts: Collection[str] | None = None,
    ) -> list[Event]:
        """Position events after a revision, oldest first; ``filters`` are on the position's key and asset. Only of
        some ``accounts``, or of all.
        """
        conditions = ["e.revision > $1", "e.type LIKE 'position.%'"]
        arguments: list[Any] = [after]
        if subject is not None:
            arguments.append(subject)
            conditions.append(f"e.subject = ${len(arguments)}")
        if account := filters.get("account"):
            arguments.append(account)
            conditions.append(f"e.account = ${len(arguments)}")
        for name in ("venue", "symbol", "asset"):
            if value := filters.get(name):
                arguments.append(value)
                conditions.append(
                    "e.subject IN (SELECT subject FROM events WHERE type IN ('position.opened', 'position.opening')"
                    f" AND body::json #>> '{{after,{name}}}' = ${len(arguments)})"
                )
        _only(accounts, conditions, arguments, "e.account")
        query = _WITH_BEFORE.format(condition=" AND ".join(conditions), limit=limit)
        async with self._store.reading() as connection:
            return [_event(row) for row in await connection.fetch(query, *arguments)]

    async def position(self, position_id: UUID, as_of: int | None = None) -> Position | None:
        """A position as it is, or as it was at a revision; final ones too, even when purged from the tables."""
        at = "" if as_of is None else "AND revision <= $2"
        query = f"SELECT body FROM events WHERE subject = $1 {at} ORDER BY revision DESC LIMIT 1"
        async with self._store.reading() as connection:
            body = await connection.fetchval(query, position_id, *([] if as_of is None else [as_of]))
        after = json.loads(body).get("after") if body else None
        return codec.position_from_json(after) if after else None

    async def revision_at(self, time: datetime) -> int:
        """The last revision that was committed at or before a time; 0 when there was none."""
        async with self._store.reading() as connection:
            found = await connection.fetchval("SELECT max(revision) FROM events WHERE time <= $1", time)
        return found or 0

    async def positions_as_of(self, revision: int) -> list[Position]:
        """Every position there was at a revision, final or not, in the order they were opened."""
        query = (
            "SELECT DISTINCT ON (subject) body FROM events WHERE revision <= $1 AND type LIKE 'position.%'"
            " ORDER BY subject, revision DESC"
        )
        async with self._store.reading() as connection, connection.transaction(readonly=True):
            cursor = connection.cursor(query, revision, prefetch=PAGE)
            return [codec.position_from_json(json.loads(row["body"])["after"]) async for row in cursor]

    async def positions(
        self,
        filters: Mapping[str, str],
        statuses: Sequence[str],
        after: UUID | None,
        limit: int,
        accounts: Collection[str] | None = None,
    ) -> list[Position]:
        """Positions of the tables in the order of their ids, which is the order they were opened in."""
        conditions: list[str] = ["status = ANY($1)"]
        arguments: list[Any] = [list(statuses)]
        _only(accounts, conditions, arguments)
        for name, value in filters.items():
            if value:
                arguments.append(value)
                conditions.append(f"{name} = ${len(arguments)}")
        if after is not None:
            arguments.append(after)
            conditions.append(f"position_id > ${len(arguments)}")
        query = f"SELECT * FROM positions WHERE {' AND '.join(conditions)} ORDER BY position_id LIMIT {limit}"
        async with self._store.reading() as connection:
            return [codec.position_from_row(row) for row in await connection.fetch(query, *arguments)]

    async def lately_ended(self, account: str, names: Mapping[str, str]) -> tuple[UUID, str, datetime] | None:
        """The last position of an account that ended and has these names; its id, how and when. None when there is none
        among the last thousand of all: it is for an error, which must not cost more than that.
        """
        query = (
            "SELECT position_id, lower(status) AS ending, closed_at FROM (SELECT * FROM positions"
            f" WHERE closed_at IS NOT NULL ORDER BY closed_at DESC LIMIT {PAGE}) AS lately WHERE account = $1"
        )
        values = [value for value in names.values() if value]
        for at, name in enumerate((name for name, value in names.items() if value), 2):
            query += f" AND {name} = ${at}"
        async with self._store.reading() as connection:
            row = await connection.fetchrow(f"{query} ORDER BY closed_at DESC LIMIT 1", account, *values)
        return None if row is None else (row["position_id"], row["ending"], row["closed_at"])

    async def purge(self, closed_before: datetime, settled_before: datetime, *, dry_run: bool) -> int:
        """Remove positions that ended before a time from the tables, and tell how many; their events stay.

        Those with outstanding estimates stay too, for the fills that may still come: until all were made before
        ``settled_before``.
        """
        condition = "closed_at < $1 AND (estimates = '[]' OR closed_at < $2)"  # none was made after the end
        query = f"SELECT count(*) FROM positions WHERE {condition}"
        if not dry_run:
            query = _PURGE.format(condition=condition)
        async with self._store.reading() as connection:
            return int(await connection.fetchval(query, closed_before, settled_before))

    async def drift(self, drift_id: UUID) -> Drift | None:
        """A case of the tables, open or not."""
        async with self._store.reading() as connection:
            row = await connection.fetchrow("SELECT * FROM drifts WHERE drift_id = $1", drift_id)
        return codec.drift_from_row(row) if row else None

    async def drifts(
        self,
        filters: Mapping[str, str],
        kinds: Sequence[str],
        statuses: Sequence[str],
        before: int,
        limit: int,
        accounts: Collection[str] | None = None,
    ) -> list[Drift]:
        """Cases, newest first, whose last event came before a revision (0: any)."""
        conditions = ["status = ANY($1)", "(cardinality($2::text[]) = 0 OR kind = ANY($2))"]
        conditions.append("($3::bigint = 0 OR revision < $3)")
        arguments: list[Any] = [list(statuses), list(kinds), before]
        _only(accounts, conditions, arguments)
        for name, value in filters.items():
            if value:
                arguments.append(value)
                conditions.append(f"{name} = ${len(arguments)}")
        query = f"SELECT * FROM drifts WHERE {' AND '.join(conditions)} ORDER BY revision DESC LIMIT {limit}"
        async with self._store.reading() as connection:
            return [codec.drift_from_row(row) for row in await connection.fetch(query, *arguments)]

    async def run(self, run_id: UUID) -> str | None:
        """A run's JSON."""
        async with self._store.reading() as connection:
            body: str | None = await connection.fetchval("SELECT body FROM runs WHERE run_id = $1", run_id)
        return body

    async def runs(self, after: UUID | None, limit: int) -> list[StoredRun]:
        """Runs, newest first; ``after`` is the id of the run the page comes after, None for the first page."""
        condition = "WHERE (started_at, run_id) < (SELECT started_at, run_id FROM runs WHERE run_id = $1)"
        query = f"SELECT run_id, body FROM runs {condition if after else ''} ORDER BY started_at DESC, run_id DESC"
        async with self._store.reading() as connection:
            rows = await connection.fetch(f"{query} LIMIT {limit}", *([after] if after else []))
        return [StoredRun(row["run_id"], row["body"]) for row in rows]

    async def verify(self, first: int = 1, last: int = 0) -> Verdict:
        """Walk the hash chain from ``first`` to ``last`` (0: the head) and name the first broken link."""
        first = max(first, 1)
        checked, expected = 0, first
        async with self._store.reading() as connection, connection.transaction(isolation="repeatable_read"):
            head = await connection.fetchrow("SELECT revision, hash FROM ledger_head")
            last = min(last or head["revision"], head["revision"])
            previous = await _hash_before(connection, first)
            cursor = connection.cursor(_LINKS, first, last, prefetch=PAGE)
            async for row in cursor:
                if problem := _problem(row, expected, previous):
                    return Verdict(checked, expected, problem)
                previous, expected, checked = row["hash"], expected + 1, checked + 1
            if expected <= last:
                return Verdict(checked, expected, "the event is missing")
            if last == head["revision"] and last >= first and previous != head["hash"]:
                return Verdict(checked, last, "the head does not carry the last event's hash")
            strays = "SELECT min(revision) FROM events WHERE revision < 1 OR revision > $1"
            if (stray := await connection.fetchval(strays, head["revision"])) is not None:
                return Verdict(checked, stray, "the event was never committed: it stands outside of the history")
        return Verdict(checked)


def _only(
    accounts: Collection[str] | None, conditions: list[str], arguments: list[Any], column: str = "account"
) -> None:
    """Adds the condition that a row is of one of the accounts."""
    if accounts is not None:
        arguments.append(list(accounts))
        conditions.append(f"{column} = ANY(${len(arguments)})")


async def _hash_before(connection: asyncpg.Connection, first: int) -> bytes:
    if first == 1:
        return chain.GENESIS
    stored: bytes | None = await connection.fetchval("SELECT hash FROM events WHERE revision = $1", first - 1)
    return stored if stored is not None else chain.GENESIS


def _problem(row: asyncpg.Record, expected: int, previous: bytes) -> str:
    """What is wrong with an event that should be the ``expected`` one; "" when nothing is."""
    if row["revision"] != expected:
        return "the event is missing"
    if row["time"] is None:
        return "its time is none that was ever written"
    names = (
        "revision",
        "commit_revision",
        "time",
        "type",
        "account",
        "subject",
        "actor",
        "request_id",
        "reason",
        "body",
    )
    right = chain.link(previous, *(row[name] for name in names))
    return "" if row["hash"] == right else "its hash does not match its content and the hash before it"


def _event(row: asyncpg.Record) -> Event:
    body = row["before_body"]
    before = json.loads(body).get("after") if body else None
    return codec.event_from_row(row, codec.position_from_json(before) if before else None)
