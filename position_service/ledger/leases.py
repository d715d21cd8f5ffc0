"""Leases: of several processes that could do a job, one holds the lease and does it.

Time is the database's, so the clocks of the holders do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from position_service.ledger.store import Store

_ACQUIRE = """
INSERT INTO leases AS held (name, holder, expires_at, fence)
VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3), 1)
ON CONFLICT (name) DO UPDATE SET
  holder = excluded.holder,
  expires_at = excluded.expires_at,
  fence = held.fence + CASE WHEN held.holder = excluded.holder AND held.expires_at > clock_timestamp() THEN 0 ELSE 1 END
WHERE held.holder = excluded.holder OR held.expires_at <= clock_timestamp()"""
_GIVE_UP = "UPDATE leases SET expires_at = clock_timestamp() WHERE name = $1 AND holder = $2"
_READ = "SELECT holder, expires_at, fence, expires_at > clock_timestamp() AS is_held FROM leases WHERE name = $1"


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds it until when; nobody when ``holder`` is empty. ``fence`` grows with every change of hands."""

    holder: str
    expires_at: datetime | None
    fence: int
    mine: bool


class Leases:
    """Raises StoreUnavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def acquire(self, name: str, holder: str, ttl_s: float) -> Lease:
        """Take or renew a lease if it is free or already the holder's; give it up when ``ttl_s`` is 0."""
        async with self._store.reading() as connection, connection.transaction():
            if ttl_s > 0:
                await connection.execute(_ACQUIRE, name, holder, ttl_s)
            else:
                await connection.execute(_GIVE_UP, name, holder)
            row = await connection.fetchrow(_READ, name)
        if row is None or not row["is_held"]:
            return Lease("", None, row["fence"] if row else 0, mine=False)
        return Lease(row["holder"], row["expires_at"], row["fence"], mine=row["holder"] == holder)
