"""Drift cases: durable disagreements between book and venue, one a fact and instrument."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import NamedTuple
from uuid import UUID, uuid5

from position_service.domain.errors import IllegalTransition


class DriftStatus(Enum):
    CONFIRMED = "CONFIRMED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    SNOOZED = "SNOOZED"
    RESOLVED = "RESOLVED"


class DriftKey(NamedTuple):
    account: str
    venue: str
    symbol: str
    kind: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A confirmed disagreement as the Reconciler describes it.

    ``content`` is its description as JSON text, opaque here; ``substance`` is what must differ for the disagreement
    itself to have changed (sizes and prices, not times).
    """

    key: DriftKey
    content: str
    substance: str
    seen_at: datetime
    first_seen: datetime
    local_revision: int | None = None  # of the position at which it stands, 0 for none; None: not about a position


@dataclass(frozen=True, slots=True)
class Drift:
    """A case. ``revision`` is that of its last event; counters move without one."""

    drift_id: UUID
    key: DriftKey
    status: DriftStatus
    content: str
    substance: str
    first_seen: datetime
    last_seen: datetime
    times_seen: int
    revision: int = 0
    snoozed_until: datetime | None = None
    resolution: str = ""
    actor: str = ""
    reason: str = ""
    run_id: str = ""

    @property
    def is_open(self) -> bool:
        return self.status is not DriftStatus.RESOLVED

    def has_overslept(self, now: datetime) -> bool:
        """Whether it is snoozed until a time that has come."""
        return self.status is DriftStatus.SNOOZED and self.snoozed_until is not None and now >= self.snoozed_until


# Any fixed namespace will do; this one is this project's alone.
_NAMESPACE = UUID("6f0d5b1e-3c55-4ef0-9d6b-7a6f7d9f4a10")


def case_id(key: DriftKey, opened_at_revision: int) -> UUID:
    """The same for whoever computes it: the key and the revision at which the case was opened."""
    return uuid5(_NAMESPACE, "\n".join((*key, str(opened_at_revision))))


_ALLOWED: dict[DriftStatus, frozenset[DriftStatus]] = {
    DriftStatus.CONFIRMED: frozenset({DriftStatus.ACKNOWLEDGED, DriftStatus.SNOOZED}),
    DriftStatus.ACKNOWLEDGED: frozenset({DriftStatus.CONFIRMED, DriftStatus.SNOOZED}),
    DriftStatus.SNOOZED: frozenset({DriftStatus.CONFIRMED, DriftStatus.ACKNOWLEDGED, DriftStatus.SNOOZED}),
    DriftStatus.RESOLVED: frozenset({DriftStatus.CONFIRMED, DriftStatus.ACKNOWLEDGED, DriftStatus.SNOOZED}),
}


def require(drift: Drift, to: DriftStatus) -> None:
    """Raise IllegalTransition unless the case's status leads there."""
    allowed_from = _ALLOWED[to]
    if drift.status not in allowed_from:
        states = [s.value for s in DriftStatus if s in allowed_from]
        raise IllegalTransition(f"make the drift {to.value}", drift.status.value, states)


def move(drift: Drift, to: DriftStatus, *, until: datetime | None, resolution: str, actor: str, reason: str) -> Drift:
    """Move a case. Raises IllegalTransition when its status does not lead there."""
    require(drift, to)
    return replace(
        drift,
        status=to,
        snoozed_until=until if to is DriftStatus.SNOOZED else None,
        resolution=resolution if to is DriftStatus.RESOLVED else "",
        actor=actor,
        reason=reason,
    )
