"""The committed log as the tables have it, read without the service's own code, and what must hold of it by itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

COLUMNS = "revision, commit_revision, time, type, account, subject, actor, request_id, reason, body, hash"
STATUSES = {"OPENING": 1, "OPEN": 2, "REDUCED": 3, "CLOSING": 4, "CLOSED": 5, "LIQUIDATED": 6}


class Row(NamedTuple):
    """A row of ``events``."""

    revision: int
    commit: int
    time: datetime
    type: str
    account: str
    subject: UUID
    actor: str
    request_id: str
    reason: str
    body: str
    hash: bytes


class Commit(NamedTuple):
    """The events of one command, with their bodies decoded."""

    revision: int
    request_id: str
    rows: tuple[Row, ...]
    bodies: tuple[dict[str, Any], ...]


async def commits(connection: asyncpg.Connection) -> AsyncIterator[Commit]:
    """The whole log, a command at a time. What the log itself promises is the chain's to check."""
    rows: list[Row] = []
    async with connection.transaction(readonly=True):
        async for record in connection.cursor(f"SELECT {COLUMNS} FROM events ORDER BY revision", prefetch=2000):
            rows.append(Row(*record))
            if rows[-1].revision == rows[-1].commit:
                yield _commit(rows)
                rows = []
    if rows:
        yield _commit(rows)


def _commit(rows: list[Row]) -> Commit:
    return Commit(rows[-1].revision, rows[0].request_id, tuple(rows), tuple(json.loads(row.body) for row in rows))


class Chain:
    """Dense, hash-chained, in time, whole commands: told a command at a time."""

    def __init__(self) -> None:
        self.revision, self.hash = 0, bytes(32)
        self.time: datetime | None = None

    def problems(self, commit: Commit) -> Iterator[str]:
        for row in commit.rows:
            if row.revision != self.revision + 1:
                yield f"dense: revision {row.revision} comes after {self.revision}"
            if self.time is not None and row.time < self.time:
                yield f"time: that of revision {row.revision} runs backwards"
            if row.commit != commit.revision or row.request_id != commit.request_id:
                yield f"atomic: revision {row.revision} is torn out of its command"
            if row.hash != link(self.hash, row):
                yield f"chain: the hash of revision {row.revision} is not that of its content"
            self.revision, self.hash, self.time = row.revision, row.hash, row.time


def link(previous: bytes, row: Row) -> bytes:
    """SHA-256 of the hash before it and a JSON array of the columns, time in UTC with microseconds."""
    time = row.time.astimezone(UTC).isoformat(timespec="microseconds")
    columns = [row.revision, row.commit, time, row.type, row.account, str(row.subject), row.actor]
    columns += [row.request_id, row.reason, row.body]
    text = json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(previous + text.encode()).digest()


class Projection:
    """The positions as their events leave them, to be compared with the table."""

    def __init__(self) -> None:
        self.positions: dict[UUID, dict[str, Any]] = {}

    def take(self, commit: Commit) -> None:
        for row, body in zip(commit.rows, commit.bodies, strict=True):
            if "after" in body:
                self.positions[row.subject] = body["after"]

    def problems(self, table: list[Mapping[str, Any]]) -> Iterator[str]:
        rows = {row["position_id"]: row for row in table}
        for missing in self.positions.keys() ^ rows.keys():
            where = "events" if missing in self.positions else "table"
            yield f"projection: position {missing} is only in the {where}"
        for position_id in self.positions.keys() & rows.keys():
            after, row = self.positions[position_id], rows[position_id]
            for name in ("size", "cost", "realized", "peak", "leverage"):
                if row[name].is_nan() or _plain(f"{row[name]:f}") != _plain(after[name]):
                    yield f"projection: {name} of {position_id} is {row[name]}, its events say {after[name]}"
            for name in ("account", "symbol", "side", "status", "revision"):
                if row[name] != after[name]:
                    yield f"projection: {name} of {position_id} is {row[name]}, its events say {after[name]}"


def _plain(text: str) -> str:
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest.rstrip('0')}".rstrip(".") if rest else whole
