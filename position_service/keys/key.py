"""What a key is: `trueup_<key id>_<secret>`. Pure: no clock, no database.

Stored is HMAC-SHA256(pepper, the key and what it may do). The secret has 256 random bits, so nothing slower is needed;
the pepper, which is not in the database, makes its contents worthless to who can read them, and a key that somebody
gave more rights there is no key any more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from grpckit.access import PREFIX

ROOT = "root"  # the id and the name of the key that is a setting
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)  # when that one was made
PEPPER_BYTES = 32

_ID_BYTES = 7  # 12 letters and digits: enough to tell keys apart, not to guess anything from
_SECRET_BYTES = 32


class Secret(NamedTuple):
    """A key as its owner has it."""

    key_id: str
    text: str

    def __repr__(self) -> str:
        return f"Secret({self.key_id})"  # never in a log


@dataclass(frozen=True, slots=True)
class Terms:
    """Who a key is for, and what it may do until when. They never change. `accounts` is None for every account."""

    name: str
    scopes: frozenset[int]
    accounts: frozenset[str] | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Key:
    """What is stored of a key."""

    key_id: str
    terms: Terms
    digest: bytes = field(repr=False)
    created_at: datetime
    created_by: str
    generation: int = 0
    previous_digest: bytes | None = field(default=None, repr=False)
    previous_until: datetime | None = None
    rotated_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str = ""

    def is_live(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.terms.expires_at is None or now < self.terms.expires_at)

    def generation_of(self, digest: bytes, now: datetime) -> int | None:
        """Which of its secrets has the digest; None when no valid one has."""
        if not self.is_live(now):
            return None
        if hmac.compare_digest(digest, self.digest):
            return self.generation
        previous_valid = self.previous_until is not None and now < self.previous_until
        if hmac.compare_digest(digest, self.previous_digest or b"") and previous_valid:
            return self.generation - 1
        return None

    def rotated(self, digest: bytes, now: datetime, overlap: timedelta) -> Key:
        """The key with a new secret; the one it had stays valid for the overlap, the one before that ends."""
        return replace(
            self,
            digest=digest,
            generation=self.generation + 1,
            previous_digest=self.digest if overlap else None,
            previous_until=now + overlap if overlap else None,
            rotated_at=now,
        )

    def revoked(self, now: datetime, by: str) -> Key:
        """The key as one that nobody can call with."""
        return self if self.revoked_at is not None else replace(self, revoked_at=now, revoked_by=by)


def new_id() -> str:
    """An identifier of letters and digits."""
    return base64.b32encode(secrets.token_bytes(_ID_BYTES)).decode().rstrip("=").lower()


def new_secret(key_id: str) -> Secret:
    """A secret for a key."""
    return Secret(key_id, f"{PREFIX}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}")


def digest_of(pepper: bytes, secret: str, terms: Terms) -> bytes:
    """What is stored of a secret: 32 bytes."""
    expires = terms.expires_at.isoformat() if terms.expires_at else ""
    accounts = "*" if terms.accounts is None else ",".join(sorted(terms.accounts))  # no account is called "*"
    scopes = ",".join(map(str, sorted(terms.scopes)))
    parts = (secret, terms.name, scopes, accounts, expires)
    return hmac.digest(pepper, "\n".join(parts).encode(), hashlib.sha256)
