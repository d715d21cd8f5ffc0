"""New identifiers: UUIDv7 (RFC 9562), so that ids sort in the order they were made."""

from __future__ import annotations

import os
import time
from uuid import UUID

_COUNTER_BITS = 12
_last = 0


def uuid7() -> UUID:
    """A UUID of version 7: 48 bits of milliseconds, 12 bits of a counter, 62 random bits.

    Strictly increasing within a process, also within a millisecond and when the clock is set back.
    """
    global _last  # noqa: PLW0603 - the one thing that must be remembered
    stamp = time.time_ns() // 1_000_000 << _COUNTER_BITS
    _last = max(stamp, _last + 1)
    milliseconds, counter = _last >> _COUNTER_BITS, _last & ((1 << _COUNTER_BITS) - 1)
    random = int.from_bytes(os.urandom(8)) >> 2
    return UUID(int=milliseconds << 80 | 7 << 76 | counter << 64 | 2 << 62 | random)
