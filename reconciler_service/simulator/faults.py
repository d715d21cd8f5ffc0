"""What the SIMULATED venue can be told to do wrong, one plan a server.

A fault names a kind, the request types it hits (all when empty), optionally one dex, how many answers it spoils
(until cleared when None) and the share of matching requests it takes, drawn from the plan's seed.

The WebSocket goes wrong only where it is named among the types: ``ws/connect`` is the handshake, ``ws/<channel>`` the
frames of one channel, ``ws`` all of these. A frame can be TRUNCATED, come late (SLOW), twice (DUPLICATE) or not at all
(LOST), or there is silence (HANG) or the end of the connection (RESET) in its place.

Where several faults match one request, those that only bend an answer add up; of those that replace the answer the
oldest wins. Addresses that were never heard of need no fault: they answer zeros, as at the venue.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Protocol

LONGEST_DELAY_S = 3_600.0
LARGEST_BODY = 256 * 1024 * 1024
SOCKET = "ws"


class Kind(StrEnum):
    """What goes wrong."""

    HTTP_429 = "http_429"  # JSON null, as when the weight is spent
    HTTP_401 = "http_401"  # a good token refused, as Coinbase does now and then
    HTTP_403 = "http_403"  # Coinbase: the key may not see this
    HTTP_404 = "http_404"  # Coinbase: not found, in the venue's own words
    HTTP_500 = "http_500"  # JSON null
    HTTP_502 = "http_502"  # an HTML page of the CDN
    TRUNCATED = "truncated"  # the first half of the JSON, with a matching Content-Length
    RESET = "reset"  # the connection dies instead of an answer
    REDIRECT = "redirect"  # 307 to ``location``
    OVERSIZED = "oversized"  # the answer behind ``size`` bytes of white space
    PARTIAL_SCOPE = "partial_scope"  # 500 for one ``dex`` while the others answer
    HANG = "hang"  # no answer until the client gives up or the server closes
    SLOW = "slow"  # the answer after ``delay_s``
    EMPTY = "empty"  # assetPositions [] with zero totals; other lists []
    NAN = "nan"  # "NaN" in place of a number, the token NaN when ``bare``
    STALE = "stale"  # the state, time included, of when the fault was made
    CLOCK_SKEW = "clock_skew"  # ``time`` is off by ``skew_ms``
    FLOAT_NOISE = "float_noise"  # noise in every szi, not only in a share of them
    LATE_FILLS = "late_fills"  # fills made from now on stay invisible for ``delay_s``
    LOST_FILLS = "lost_fills"  # fills made from now on are invisible while the fault lasts
    DUPLICATE_FILLS = "duplicate_fills"  # every fill twice
    DUPLICATE = "duplicate"  # a frame of the WebSocket twice
    LOST = "lost"  # a frame of the WebSocket that never comes


REPLACING = frozenset(
    {
        Kind.HTTP_401,
        Kind.HTTP_403,
        Kind.HTTP_404,
        Kind.HTTP_429,
        Kind.HTTP_500,
        Kind.HTTP_502,
        Kind.TRUNCATED,
        Kind.RESET,
        Kind.REDIRECT,
        Kind.OVERSIZED,
        Kind.PARTIAL_SCOPE,
    }
)


class Freezable(Protocol):
    """A venue, as far as faults need to know it."""

    @property
    def last_tid(self) -> int:
        """The number of the newest fill, 0 before the first."""

    def freeze(self) -> Any:
        """A copy that nothing changes any more, its clock included."""


class FaultError(ValueError):
    """A fault that says nothing sensible."""


@dataclass(slots=True)
class Fault:
    """One thing gone wrong; see ``Kind`` for which parameters count."""

    kind: Kind
    types: frozenset[str] = frozenset()
    dex: str | None = None
    coin: str | None = None  # of late, lost and duplicate fills
    count: int | None = None
    percent: int = 100
    delay_s: float = 1.0  # a latency, not money
    skew_ms: int = 60_000
    size: int = 16 * 1024 * 1024
    bare: bool = False
    location: str = "http://redirect.invalid/info"
    id: int = 0
    since_tid: int = 0  # fills with a later tid were made under this fault
    frozen: Any = None  # what STALE answers from: the venue as it was

    def __post_init__(self) -> None:
        if self.kind is Kind.PARTIAL_SCOPE and self.dex is None:
            raise FaultError("partial_scope needs a dex")
        if self.count is not None and self.count < 1:
            raise FaultError(f"count is at least 1, got {self.count}")
        if not 0 < self.percent <= 100:
            raise FaultError(f"percent is 1 to 100, got {self.percent}")
        if not 0 <= self.delay_s <= LONGEST_DELAY_S:
            raise FaultError(f"delay_s is 0 to {LONGEST_DELAY_S}, got {self.delay_s}")
        if not 0 < self.size <= LARGEST_BODY:
            raise FaultError(f"size is 1 to {LARGEST_BODY} bytes, got {self.size}")

    def hits(self, kind: str, dex: str | None) -> bool:
        """Whether a request of this type and dex (None: the type has none) is meant."""
        if kind.startswith(f"{SOCKET}/"):
            return SOCKET in self.types or kind in self.types
        return (not self.types or kind in self.types) and (self.dex is None or self.dex == dex)

    def describe(self) -> dict[str, Any]:
        """As JSON, for whoever asks what is wrong at the moment."""
        told = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "frozen"}
        return told | {"kind": self.kind.value, "types": sorted(self.types)}


@dataclass(slots=True)
class Faults:
    """The faults of one request, by kind, plus the one that replaces the answer."""

    by_kind: Mapping[Kind, Fault]

    @property
    def replacing(self) -> Fault | None:
        return next((fault for kind, fault in self.by_kind.items() if kind in REPLACING), None)

    def get(self, kind: Kind) -> Fault | None:
        return self.by_kind.get(kind)


@dataclass(slots=True)
class FaultPlan:
    """The faults in force, oldest first."""

    seed: int = 0
    active: list[Fault] = field(default_factory=list)
    _next_id: int = 1
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        # Not for secrets: the same seed has to give the same faults.
        self._random = random.Random(self.seed)  # noqa: S311

    def add(self, fault: Fault, exchange: Freezable) -> Fault:
        """Put a fault in force, remembering what the venue looks like now where the kind needs it."""
        fault.id, self._next_id = self._next_id, self._next_id + 1
        fault.since_tid = exchange.last_tid
        if fault.kind is Kind.STALE:
            fault.frozen = exchange.freeze()
        self.active.append(fault)
        return fault

    def clear(self, ident: int | None = None) -> int:
        """End one fault, or all of them; returns how many. Lost fills show up again."""
        before = len(self.active)
        self.active = [fault for fault in self.active if ident is not None and fault.id != ident]
        return before - len(self.active)

    def take(self, kind: str, dex: str | None) -> Faults:
        """The faults of a request, each counted as used; one replaced answer uses up nothing else that replaces."""
        taken: dict[Kind, Fault] = {}
        replaced = False
        for fault in list(self.active):
            replaces = fault.kind in REPLACING
            if fault.kind in taken or (replaces and replaced) or not fault.hits(kind, dex):
                continue
            if fault.percent < 100 and self._random.randrange(100) >= fault.percent:
                continue
            replaced = replaced or replaces
            taken[fault.kind] = fault
            if fault.count is not None:
                fault.count -= 1
                if not fault.count:
                    self.active.remove(fault)
        return Faults(taken)
