"""The table of keys."""

from __future__ import annotations

from typing import Any

import asyncpg

from position_service.keys.key import Key, Terms
from position_service.ledger.store import Store

_COLUMNS = (
    "key_id, name, scopes, accounts, digest, created_at, created_by, expires_at, generation, previous_digest,"
    " previous_until, rotated_at, revoked_at, revoked_by"
)
_INSERT = f"INSERT INTO api_keys ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
# Only what was read may be replaced: of two who rotate at once, both would hand out a secret, and one would be dead.
_UPDATE = """
UPDATE api_keys SET digest = $2, generation = $3, previous_digest = $4, previous_until = $5, rotated_at = $6,
  revoked_at = $7, revoked_by = $8
WHERE key_id = $1 AND generation = $9 AND revoked_at IS NOT DISTINCT FROM $10"""


class NameTaken(Exception):
    """Another key that is not revoked has the name."""


class KeyStore:
    """Reads and writes keys. Everything raises StoreUnavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def all(self) -> list[Key]:
        """Every key there is or was, oldest first."""
        async with self._store.reading() as connection:
            rows = await connection.fetch(f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at, key_id")
        return [_key(row) for row in rows]

    async def add(self, key: Key) -> None:
        """Stores a new key. Raises NameTaken."""
        terms = key.terms
        scopes, accounts = sorted(terms.scopes), None if terms.accounts is None else sorted(terms.accounts)
        values = (key.key_id, terms.name, scopes, accounts, key.digest, key.created_at, key.created_by)
        changed = (key.previous_digest, key.previous_until, key.rotated_at, key.revoked_at, key.revoked_by)
        try:
            async with self._store.reading() as connection:
                await connection.execute(_INSERT, *values, terms.expires_at, key.generation, *changed)
        except asyncpg.UniqueViolationError:
            raise NameTaken from None

    async def change(self, old: Key, new: Key) -> bool:
        """Stores what became of a key. False: it is not ``old`` any more, and nothing was written."""
        async with self._store.reading() as connection:
            done: str = await connection.execute(
                _UPDATE,
                old.key_id,
                new.digest,
                new.generation,
                new.previous_digest,
                new.previous_until,
                new.rotated_at,
                new.revoked_at,
                new.revoked_by,
                old.generation,
                old.revoked_at,
            )
        return done == "UPDATE 1"


def _key(row: Any) -> Key:
    values = dict(row)
    accounts = values.pop("accounts")
    terms = Terms(
        values.pop("name"),
        frozenset(values.pop("scopes")),
        None if accounts is None else frozenset(accounts),
        values.pop("expires_at"),
    )
    return Key(terms=terms, **values)
