"""What can be asked for. Values are checked for form at the edge; only the state decides here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from position_service.domain.algebra import NO_FEE, Fee
from position_service.domain.drift import DriftStatus, Finding
from position_service.domain.events import Check, Funding
from position_service.domain.position import Instrument, LiquidationPrice, MarginMode, Mark, Product, Side
from position_service.domain.record import record


@dataclass(frozen=True, slots=True)
class Ref:
    """Names one live position: by id, or by what is held where. Empty parts match anything."""

    position_id: UUID | None = None
    account: str = "main"
    venue: str = ""
    symbol: str = ""
    asset: str = ""

    def __str__(self) -> str:
        if self.position_id:
            return f"position {self.position_id}"
        return f"{self.asset or self.symbol} of account {self.account}" + (f" at {self.venue}" if self.venue else "")


@record
class Open:
    """``estimated``: the price is a guess, for the fills that really opened it to restate; ``as_of`` as of Adjust."""

    account: str
    venue: str
    symbol: str
    asset: str
    product: Product
    side: Side
    size: Decimal
    price: Decimal
    leverage: Decimal = Decimal(1)
    margin_mode: MarginMode | None = None
    liquidation_price: Decimal | None = None
    fee: Fee = NO_FEE
    labels: tuple[tuple[str, str], ...] = ()
    pending: bool = False
    deadline: datetime | None = None
    estimated: bool = False
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class OnPosition:
    """Base of all that changes one position. ``expected_revision`` 0 does not check."""

    ref: Ref
    expected_revision: int = 0


@dataclass(frozen=True, slots=True)
class ConfirmOpen(OnPosition):
    """``estimated`` and ``as_of`` as of Open."""

    size: Decimal | None = None
    price: Decimal | None = None
    fee: Fee = NO_FEE
    estimated: bool = False
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class CancelOpen(OnPosition): ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Increase(OnPosition):
    size: Decimal
    price: Decimal
    fee: Fee = NO_FEE


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduce(OnPosition):
    size: Decimal
    price: Decimal
    fee: Fee = NO_FEE


@dataclass(frozen=True, slots=True)
class Close(OnPosition):
    price: Decimal | None = None
    fee: Fee = NO_FEE
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmClose(OnPosition):
    price: Decimal
    size: Decimal | None = None
    fee: Fee = NO_FEE


@dataclass(frozen=True, slots=True)
class CancelClose(OnPosition): ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidate(OnPosition):
    price: Decimal
    size: Decimal | None = None
    fee: Fee = NO_FEE


@dataclass(frozen=True, slots=True)
class Update(OnPosition):
    """None leaves a setting as it is; a liquidation price of 0 removes it."""

    leverage: Decimal | None = None
    margin_mode: MarginMode | None = None
    liquidation_price: Decimal | None = None
    labels: Mapping[str, str] | None = None
    replace_labels: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjust(OnPosition):
    """None leaves a value as it is; a size of 0 closes. ``estimated``: the prices of what it closes or adds are guesses.

    ``as_of``: the time of the state it was decided on; None is now.
    """

    reason_code: str
    side: Side | None = None
    size: Decimal | None = None
    entry_price: Decimal | None = None
    close_price: Decimal | None = None
    evidence: str = ""
    corrects_revision: int = 0
    estimated: bool = False
    as_of: datetime | None = None


@record
class Fill:
    """One execution at a venue."""

    venue: str
    symbol: str
    asset: str
    product: Product
    fill_id: str
    is_buy: bool
    size: Decimal
    price: Decimal
    executed_at: datetime
    fee: Fee = NO_FEE
    leverage: Decimal = Decimal(1)
    liquidation: bool = False


@dataclass(frozen=True, slots=True)
class FundingPayment:
    """One funding payment at a venue."""

    venue: str
    symbol: str
    funding: Funding
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class RecordFills:
    """``expected``: the revisions of the live positions that the caller has seen; 0 where it saw none."""

    account: str
    fills: tuple[Fill, ...]
    funding: tuple[FundingPayment, ...] = ()
    expected: tuple[tuple[Instrument, int], ...] = ()


@dataclass(frozen=True, slots=True)
class UpdatePrices:
    marks: tuple[tuple[Instrument, Mark], ...]


@dataclass(frozen=True, slots=True)
class RecordLiquidationPrices:
    """What a venue says of an account's holdings, by symbol."""

    account: str
    venue: str
    holdings: tuple[tuple[str, LiquidationPrice], ...]


@dataclass(frozen=True, slots=True)
class RecordRun:
    """``run`` is its description as JSON text, opaque here."""

    run_id: UUID
    started_at: datetime
    run: str
    checks: tuple[Check, ...] = ()
    findings: tuple[Finding, ...] = ()
    resolved: tuple[UUID, ...] = ()

    @property
    def repeats_as(self) -> str:
        """The request id of a run is its own id."""
        return str(self.run_id)


@dataclass(frozen=True, slots=True)
class TransitionDrift:
    drift_id: UUID
    to: DriftStatus
    until: datetime | None = None
    resolution: str = ""
    expected_revision: int = 0


PositionCommand = (
    Open
    | ConfirmOpen
    | CancelOpen
    | Increase
    | Reduce
    | Close
    | ConfirmClose
    | CancelClose
    | Liquidate
    | Update
    | Adjust
    | RecordFills
)
Command = PositionCommand | UpdatePrices | RecordLiquidationPrices | RecordRun | TransitionDrift
