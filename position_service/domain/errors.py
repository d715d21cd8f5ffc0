"""Why the domain says no. Each carries what the caller needs to go on.

DomainError
 +- PositionNotFound      no such position
 +- AmbiguousAsset        several positions match
 +- PositionAlreadyOpen   the key has a live position
 +- IllegalTransition     the state does not allow the move
 +- SizeExceedsPosition   more than it holds
 +- StaleRevision         somebody else was faster
 +- InvalidValue          a value that only the state can refuse
 +- DriftNotFound         no such case
 +- RequestIdReused       the id was used with another body
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from position_service.domain.numbers import canonical


class DomainError(Exception):
    """Base; the command changed nothing."""


class PositionNotFound(DomainError):
    """`ended_id` is the last one that was there, with how (`ending`) and when it ended."""

    def __init__(
        self, wanted: str, ended_id: UUID | None = None, ending: str = "", ended_at: datetime | None = None
    ) -> None:
        text = f"no live position matches {wanted}"
        if ended_id is not None and ended_at is not None:
            text += f": the last one, {ended_id}, was {ending} at {ended_at:%Y-%m-%d %H:%M:%S} UTC"
        super().__init__(text)
        self.wanted = wanted
        self.ended_id = ended_id


class AmbiguousAsset(DomainError):
    def __init__(self, wanted: str, candidates: Sequence[str]) -> None:
        super().__init__(f"{wanted} is held at several places: {', '.join(candidates)}; say which venue or symbol")
        self.candidates = tuple(candidates)


class PositionAlreadyOpen(DomainError):
    def __init__(self, position_id: UUID, wanted: str) -> None:
        super().__init__(f"{wanted} has a live position already: {position_id}")
        self.position_id = position_id


class IllegalTransition(DomainError):
    def __init__(self, move: str, state: str, allowed: Iterable[str]) -> None:
        self.state = state
        self.allowed = tuple(allowed)
        super().__init__(f"cannot {move}: it is {state}, and that takes {' or '.join(self.allowed) or 'nothing'}")


class SizeExceedsPosition(DomainError):
    def __init__(self, size: Decimal, requested: Decimal) -> None:
        super().__init__(f"{canonical(requested)} is more than the position's {canonical(size)}")
        self.size = size
        self.requested = requested


class StaleRevision(DomainError):
    """``field`` names the expectation where there are several; an actual revision of 0: no live position."""

    def __init__(self, expected: int, actual: int, field: str = "") -> None:
        where = f"{field}: " if field else ""
        super().__init__(f"{where}expected revision {expected}, but it is at {actual}: read it again")
        self.expected = expected
        self.actual = actual
        self.field = field


class InvalidValue(DomainError):
    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class DriftNotFound(DomainError):
    def __init__(self, drift_id: UUID) -> None:
        super().__init__(f"no drift {drift_id}")
        self.drift_id = drift_id


class RequestIdReused(DomainError):
    def __init__(self, request_id: str, field: str) -> None:
        super().__init__(f"request id {request_id} was used before with another {field}")
        self.request_id = request_id
        self.field = field
