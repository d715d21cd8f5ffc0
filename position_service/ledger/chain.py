"""The hash chain: each event's hash covers the hash before it and every column of its row."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

GENESIS = bytes(32)
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@lru_cache(maxsize=64)  # the events of a batch have one time
def _time_text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def link(
    previous: bytes,
    revision: int,
    commit: int,
    time: datetime,
    type_: str,
    account: str,
    subject: UUID,
    actor: str,
    request_id: str,
    reason: str,
    body: str,
) -> bytes:
    """SHA-256(previous hash + canonical bytes): a JSON array of the columns in the order of the table.

    The time is written in UTC with microseconds, whatever zone the reader's connection has.
    """
    columns: list[Any] = [
        revision,
        commit,
        _time_text(time),
        type_,
        account,
        str(subject),
        actor,
        request_id,
        reason,
        body,
    ]
    return hashlib.sha256(previous + _encode(columns).encode()).digest()
