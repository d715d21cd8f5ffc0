"""The one SQL statement a batch is committed with.

The compare-and-swap on the head row decides everything: when the head is not where this process left it, no other part
of the statement inserts a row, the statement returns 0, and the batch is decided again on the newer state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from position_service.ledger import tables

HEAD_ARGUMENTS = 6
_HEAD = """WITH head AS (
  UPDATE ledger_head SET revision = $1, hash = $2, time = $3, tick = $4
  WHERE revision = $5 AND tick = $6 RETURNING 1)"""
_AS_TEXT = (sa.Numeric, sa.BigInteger, sa.Integer, sa.Boolean)
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Part:
    """The rows of one table in the statement; ``conflict`` says what an existing row means."""

    table: sa.Table
    conflict: str = ""

    @cached_property
    def as_text(self) -> tuple[bool, ...]:
        """For each column whether its array is sent as text."""
        return tuple(isinstance(column.type, _AS_TEXT) for column in self.table.columns)

    def sql(self, first: int) -> str:
        """Its CTE, with its arguments numbered from ``first``: one array a column."""
        columns = [column.name for column in self.table.columns]
        types = [column.type.compile(_DIALECT) for column in self.table.columns]
        # NUMERIC(38,18)[] would round silently; plain NUMERIC lets the column's own check refuse.
        plain = ["NUMERIC" if t.startswith("NUMERIC") else t for t in types]
        casts = [f"text::{t}" if as_text else t for t, as_text in zip(plain, self.as_text, strict=True)]
        arrays = ", ".join(f"${first + i}::{cast}[]" for i, cast in enumerate(casts))
        return (
            f"{self.table.name}_rows AS (INSERT INTO {self.table.name} ({', '.join(columns)}) "
            f"SELECT * FROM unnest({arrays}) WHERE EXISTS (SELECT FROM head) {self.conflict})"
        )


def _upsert(table: sa.Table, where: str = "") -> Part:
    keys = [column.name for column in table.primary_key]
    changes = ", ".join(f"{c.name} = excluded.{c.name}" for c in table.columns if c.name not in keys)
    return Part(table, f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes} {where}".rstrip())


EVENTS = Part(tables.events)
POSITIONS = _upsert(tables.positions)
REQUESTS = Part(tables.requests)
FILLS = Part(tables.fills)
PAYMENTS = Part(tables.payments)
MARKS = _upsert(tables.marks, "WHERE excluded.observed_at > marks.observed_at")
LIQUIDATION_PRICES = _upsert(tables.liquidation_prices)
CHECKS = _upsert(tables.checks)
DRIFTS = _upsert(tables.drifts)
RUNS = Part(tables.runs, "ON CONFLICT (run_id) DO NOTHING")

Rows = Sequence[Sequence[Any]]


@cache
def statement(parts: tuple[Part, ...]) -> str:
    """The statement for these parts. Few combinations occur, so each is prepared once a connection."""
    pieces, first = [_HEAD], HEAD_ARGUMENTS + 1
    for part in parts:
        pieces.append(part.sql(first))
        first += len(part.table.columns)
    return ",\n".join(pieces) + "\nSELECT count(*) FROM head"


def arguments(rows: Mapping[Part, Rows]) -> tuple[tuple[Part, ...], list[Any]]:
    """The parts that have rows, and their columns as arrays."""
    parts = tuple(part for part, values in rows.items() if values)
    arrays = [
        _text(column) if as_text else list(column)
        for part in parts
        for as_text, column in zip(part.as_text, zip(*rows[part], strict=True), strict=True)
    ]
    return parts, arrays


def _text(column: Sequence[Any]) -> str:
    """Amounts and numbers as the text of an array, which PostgreSQL reads in a fraction of the time that asyncpg
    takes to make its binary form of them.
    """
    return "{" + ",".join(["NULL" if value is None else str(value) for value in column]) + "}"
