"""One connection to PostgreSQL that is kept: made when it is needed, given up when its state is not known."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg


class StoreUnavailable(Exception):
    """The database does not answer. A write that was on its way may or may not have been committed."""


# What a broken connection, a restarting server or a full disk raise. Everything else is a defect.
LOST: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,
)
# After these nobody knows what the connection is at.
_UNSURE: tuple[type[BaseException], ...] = (*LOST, asyncio.CancelledError)


class Line:
    """For one statement after the other, at less than half of what taking a connection from a pool costs."""

    def __init__(self, dsn: str, timeout_s: float) -> None:
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()

    async def open(self) -> asyncpg.Connection:
        """The connection; another one when it is gone."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._dsn, timeout=self._timeout_s)
        return self._connection

    async def row(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        """The first row of a statement's answer. Raises StoreUnavailable when it broke: its outcome is not known.

        That takes no longer than the time limit, whoever is waiting for a turn before.
        """
        try:
            async with asyncio.timeout(self._timeout_s), self._turn:
                try:
                    connection = await self.open()
                    return await connection.fetchrow(query, *arguments)
                except _UNSURE:
                    self.drop()
                    raise
        except LOST as error:
            raise StoreUnavailable(str(error) or f"no answer within {self._timeout_s:g} s") from error

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close(timeout=2)

    def drop(self) -> None:
        """Give the connection up; the next statement makes another one."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
