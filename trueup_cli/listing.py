"""Listings: JSON as the rows come, a table once they are all there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from trueup_cli.output import Output


async def show(out: Output, rows: Any, table: Callable[[Output, list[Any]], None], limit: int = 0) -> int:
    """Shows the first rows, 0: all of them; returns how many that were."""
    found, count = [], 0
    async with aclosing(_first(rows, limit)) as wanted:
        async for row in wanted:
            count += 1
            out.json(row) if out.is_json else found.append(row)
    if not out.is_json:
        table(out, found)
    return count


async def _first(rows: Any, limit: int) -> AsyncGenerator[Any, None]:
    left = limit
    async with aclosing(rows):
        async for row in rows:
            yield row
            left -= 1
            if not left:
                return
