"""What can have happened, and the records that go with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

from position_service.domain.algebra import NO_FEE, Fee
from position_service.domain.drift import Drift
from position_service.domain.numbers import ZERO, share
from position_service.domain.position import Position
from position_service.domain.record import record, replace


class EventType(Enum):
    OPENING = "position.opening"
    OPENED = "position.opened"
    OPEN_CONFIRMED = "position.open_confirmed"
    OPEN_CANCELLED = "position.open_cancelled"
    INCREASED = "position.increased"
    REDUCED = "position.reduced"
    CLOSING = "position.closing"
    CLOSE_CANCELLED = "position.close_cancelled"
    CLOSED = "position.closed"
    LIQUIDATED = "position.liquidated"
    UPDATED = "position.updated"
    ADJUSTED = "position.adjusted"
    RISK_ENTERED = "position.risk_entered"
    RISK_LEFT = "position.risk_left"
    REVERSED = "position.reversed"
    RESTATED = "position.restated"
    FUNDING = "position.funding"
    DRIFT_CONFIRMED = "drift.confirmed"
    DRIFT_CHANGED = "drift.changed"
    DRIFT_ACKNOWLEDGED = "drift.acknowledged"
    DRIFT_SNOOZED = "drift.snoozed"
    DRIFT_REOPENED = "drift.reopened"
    DRIFT_RESOLVED = "drift.resolved"


@dataclass(frozen=True, slots=True)
class Funding:
    """A funding payment: positive when received. An empty currency is the quote currency."""

    payment_id: str
    amount: Decimal
    currency: str = ""
    rate: Decimal | None = None  # a fraction


@record
class Trade:
    """The amounts of an event: size in base units, price and realised PnL in quote currency."""

    size: Decimal = ZERO
    price: Decimal | None = None
    fee: Fee = NO_FEE
    realized: Decimal = ZERO
    fill_id: str = ""
    executed_at: datetime | None = None
    funding: Funding | None = None

    def split(self, size: Decimal) -> tuple[Trade, Trade]:
        """A trade of ``size``, and one of the rest. The second fee is the rest of the first, so rounding loses nothing."""
        first = Fee(share(self.fee.amount, size, self.size), self.fee.currency)
        second = Fee(self.fee.amount - first.amount, self.fee.currency)
        return replace(self, size=size, fee=first), replace(self, size=self.size - size, fee=second)


@record
class Event:
    """One step. Exactly one of ``after`` and ``drift`` is set: the state it leads to.

    ``commit`` is the revision of the last event of the same command: readers never see a command torn apart.
    """

    revision: int
    time: datetime
    type: EventType
    account: str
    subject: UUID  # position_id or drift_id
    actor: str
    request_id: str
    reason: str
    trade: Trade | None = None
    before: Position | None = None
    after: Position | None = None
    drift: Drift | None = None
    note: str = ""  # JSON text: what a correction corrects, and its evidence
    commit: int = 0
    hash: bytes = b""  # given by the ledger

    def seal(self, commit: int, hash_: bytes) -> None:
        """Say what only the ledger knows, before anybody else has seen the event: in place, as a copy costs as much as
        all of it."""
        object.__setattr__(self, "commit", commit)
        object.__setattr__(self, "hash", hash_)


@dataclass(frozen=True, slots=True)
class Check:
    """How one scope of one account was read last. Not an event: only the newest counts."""

    account: str
    venue: str
    scope: str
    product: str
    symbol_prefix: str
    ok: bool
    checked_at: datetime
    last_ok_at: datetime | None
    suspects: tuple[str, ...] = ()  # symbols with a finding that waits for a second look
