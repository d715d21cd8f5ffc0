"""Between protobuf and the domain. Nothing else in this service knows both."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from trueup.position.v1 import position_pb2 as pb
from trueup.position.v1 import position_service_pb2 as svc
from trueup.types.v1 import types_pb2

from position_service.domain import commands as c
from position_service.domain import naming, risk
from position_service.domain.algebra import Fee
from position_service.domain.book import View
from position_service.domain.errors import InvalidValue
from position_service.domain.numbers import ZERO, canonical, shown
from position_service.domain.portfolio import Summary
from position_service.domain.position import (
    Estimate,
    Guess,
    Instrument,
    LiquidationPrice,
    MarginMode,
    Mark,
    Position,
    Product,
    Side,
    Status,
)
from position_service.domain.verdict import Verdict, verdict

_SIDES = {types_pb2.SIDE_UNSPECIFIED: Side.LONG, types_pb2.SIDE_LONG: Side.LONG, types_pb2.SIDE_SHORT: Side.SHORT}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The type stubs know enum values by their own types, which are ints at run time.
_SIDE_PB: dict[Side, Any] = {Side.LONG: types_pb2.SIDE_LONG, Side.SHORT: types_pb2.SIDE_SHORT}
PRODUCTS = {types_pb2.Product.Value(f"PRODUCT_{p.name}"): p for p in Product}
_PRODUCT_PB: dict[Product, Any] = {p: value for value, p in PRODUCTS.items()}
_MODES = {types_pb2.MarginMode.Value(f"MARGIN_MODE_{m.name}"): m for m in MarginMode}
_MODE_PB: dict[MarginMode, Any] = {m: value for value, m in _MODES.items()}
_STATUS_PB: dict[Status, Any] = {s: pb.PositionStatus.Value(f"POSITION_STATUS_{s.name}") for s in Status}
_GUESS_PB: dict[Guess, Any] = {g: pb.EstimateKind.Value(f"ESTIMATE_KIND_{g.name}") for g in Guess}
_VERDICT_PB: dict[Verdict, Any] = {v: pb.ReconciliationStatus.Value(f"RECONCILIATION_STATUS_{v.name}") for v in Verdict}
_STATUSES = {value: s for s, value in _STATUS_PB.items()}


def statuses(request: Any) -> set[Status]:
    """The statuses a request names; none when it leaves that open."""
    return {_STATUSES[value] for value in request.statuses if value in _STATUSES}


class Refers(Protocol):
    """Every request that names a position."""

    position_id: str
    account: str
    venue: str
    symbol: str
    asset: str


class Charged(Protocol):
    fee: str
    fee_currency: str


def ref(request: Refers) -> c.Ref:
    """The position a request names. Raises InvalidValue when it names none."""
    if request.position_id:
        return c.Ref(position_id=UUID(request.position_id))
    if not (request.symbol or request.asset):
        raise InvalidValue("position_id", "name the position: position_id, or asset or symbol")
    return c.Ref(None, request.account or naming.ACCOUNT, request.venue, request.symbol, request.asset)


def fee(request: Charged) -> Fee:
    return Fee(Decimal(request.fee) if request.fee else ZERO, request.fee_currency)


def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def time_of(request: Any, name: str) -> datetime | None:
    if not request.HasField(name):
        return None
    timestamp: Timestamp = getattr(request, name)
    try:
        if 0 <= timestamp.nanos < 1_000_000_000:
            return _EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1_000)
    except OverflowError:
        pass
    raise InvalidValue(name, "is not a time between the years 1 and 9999")


def stamp(at: datetime | None) -> Timestamp | None:
    """None stays None."""
    if at is None:
        return None
    since = at - _EPOCH  # by hand: FromDatetime takes three times as long, and every answer has a few of these
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def open_(r: svc.OpenPositionRequest) -> c.Open:
    venue = r.venue or naming.VENUE
    symbol, asset = naming.complete(venue, r.symbol, r.asset)
    return c.Open(
        account=r.account or naming.ACCOUNT,
        venue=venue,
        symbol=symbol,
        asset=asset,
        product=PRODUCTS.get(r.product) or naming.product_at(venue),
        side=_SIDES[r.side],
        size=Decimal(r.size),
        price=Decimal(r.entry_price),
        leverage=_decimal(r.leverage) or Decimal(1),
        margin_mode=_MODES.get(r.margin_mode),
        liquidation_price=_decimal(r.liquidation_price),
        fee=fee(r),
        labels=tuple(sorted(r.labels.items())),
        pending=r.pending,
        deadline=time_of(r, "deadline"),
        estimated=r.estimated,
        as_of=time_of(r, "as_of"),
    )


def confirm_open(r: svc.ConfirmOpenRequest) -> c.ConfirmOpen:
    size, price, as_of = _decimal(r.size), _decimal(r.entry_price), time_of(r, "as_of")
    return c.ConfirmOpen(ref(r), r.expected_revision, size, price, fee(r), r.estimated, as_of)


def cancel_open(r: svc.CancelOpenRequest) -> c.CancelOpen:
    return c.CancelOpen(ref(r), r.expected_revision)


def increase(r: svc.IncreasePositionRequest) -> c.Increase:
    return c.Increase(ref(r), r.expected_revision, size=Decimal(r.size), price=Decimal(r.price), fee=fee(r))


def reduce_(r: svc.ReducePositionRequest) -> c.Reduce:
    return c.Reduce(ref(r), r.expected_revision, size=Decimal(r.size), price=Decimal(r.price), fee=fee(r))


def close(r: svc.ClosePositionRequest) -> c.Close:
    return c.Close(ref(r), r.expected_revision, _decimal(r.close_price), fee(r), time_of(r, "deadline"))


def confirm_close(r: svc.ConfirmCloseRequest) -> c.ConfirmClose:
    price = Decimal(r.close_price)
    return c.ConfirmClose(ref(r), r.expected_revision, price=price, size=_decimal(r.size), fee=fee(r))


def cancel_close(r: svc.CancelCloseRequest) -> c.CancelClose:
    return c.CancelClose(ref(r), r.expected_revision)


def liquidate(r: svc.LiquidatePositionRequest) -> c.Liquidate:
    price = Decimal(r.liquidation_price)
    return c.Liquidate(ref(r), r.expected_revision, price=price, size=_decimal(r.size), fee=fee(r))


def update(r: svc.UpdatePositionRequest) -> c.Update:
    return c.Update(
        ref(r),
        r.expected_revision,
        _decimal(r.leverage),
        _MODES.get(r.margin_mode),
        _decimal(r.liquidation_price),
        dict(r.labels),
        r.replace_labels,
    )


def adjust(r: svc.AdjustPositionRequest) -> c.Adjust:
    return c.Adjust(
        ref(r),
        r.expected_revision,
        reason_code=r.reason_code,
        side=_SIDES[r.side] if r.side else None,
        size=_decimal(r.size),
        entry_price=_decimal(r.entry_price),
        close_price=_decimal(r.close_price),
        evidence=r.evidence,
        corrects_revision=r.corrects_revision,
        estimated=r.estimated,
        as_of=time_of(r, "as_of"),
    )


class inside:  # noqa: N801 - reads as the statement it is: with inside("fills[3]"): ...
    """Name an invalid field with the item it is in."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InvalidValue):
            raise InvalidValue(f"{self._path}.{error.field}", error.problem) from None


def update_prices(r: svc.UpdatePricesRequest, now: datetime) -> c.UpdatePrices:
    return c.UpdatePrices(tuple(_mark(p, i, now) for i, p in enumerate(r.prices)))


def _mark(p: svc.PriceUpdate, index: int, now: datetime) -> tuple[Instrument, Mark]:
    observed_at = None
    if p.HasField("observed_at"):
        with inside(f"prices[{index}]"):
            observed_at = time_of(p, "observed_at")
    return Instrument(p.venue or naming.VENUE, p.symbol), Mark(Decimal(p.price), observed_at or now)


def position(p: Position) -> pb.Position:
    """A position as it stands in its events, without what follows from marks, settings and reconciliation: those of
    today say nothing about yesterday's position."""
    return pb.Position(
        position_id=str(p.position_id),
        account=p.account,
        venue=p.venue,
        symbol=p.symbol,
        asset=p.asset,
        product=_PRODUCT_PB[p.product],
        side=_SIDE_PB[p.side],
        size=canonical(p.size),
        entry_price=canonical(p.entry_price),
        status=_STATUS_PB[p.status],
        leverage=canonical(p.leverage),
        margin_mode=_MODE_PB.get(p.margin_mode) if p.margin_mode else None,
        liquidation_price=canonical(p.liquidation_price) if p.liquidation_price else "",
        realized_pnl=canonical(shown(p.realized)),
        estimated_pnl=canonical(shown(p.estimated)),
        other_fees=[types_pb2.Fee(currency=currency, amount=canonical(amount)) for currency, amount in p.other_fees],
        labels=dict(p.labels),
        opened_at=stamp(p.opened_at),
        updated_at=stamp(p.updated_at),
        closed_at=stamp(p.closed_at),
        deadline=stamp(p.deadline),
        revision=p.revision,
        cost_basis=canonical(shown(p.cost)),
        funding=canonical(shown(p.funding)),
        other_funding=[pb.FundingTotal(currency=c, amount=canonical(amount)) for c, amount in p.other_funding],
        estimates=[_estimate(e) for e in p.estimates],
        peak_size=canonical(p.peak),
        at_risk=p.at_risk,
    )


def _estimate(e: Estimate) -> pb.Estimate:
    return pb.Estimate(
        revision=e.revision,
        time=stamp(e.at),
        side=_SIDE_PB[e.side],
        size=canonical(e.size),
        price=canonical(shown(e.price)),
        kind=_GUESS_PB[e.kind],
    )


class Seen(NamedTuple):
    """All that an answer about a position as it is now follows from, the settings apart."""

    position: Position
    mark: Mark | None
    status: Verdict
    last_ok: datetime | None
    said: LiquidationPrice | None  # by the venue


def seen(p: Position, view: View) -> Seen:
    """A position with what a view adds to it: its mark, and what reconciliation found and heard. A final one needs none of it."""
    if p.status.is_final:
        return Seen(p, None, Verdict.PENDING, None, None)
    return Seen(p, view.mark(p.instrument), *verdict(view, p), view.liquidation_price(p.position_id))


def valued(now: Seen, rules: risk.Rules) -> pb.Position:
    """A position as it is now, with what follows from its mark and from reconciliation."""
    p = now.position
    message = position(p)
    if p.status.is_final:
        return message
    message.initial_margin = canonical(risk.initial_margin(p))
    if now.said and (observed := risk.observed_liquidation(p, now.said)):
        message.venue_liquidation_price = canonical(observed)
        message.venue_liquidation_observed_at.FromDatetime(now.said.observed_at)
    elif estimate := risk.estimated_liquidation(p, rules):
        message.estimated_liquidation_price = canonical(estimate)
    if now.mark:
        _add_valuation(message, p, now.mark, rules, now.said)
    message.reconciliation_status = _VERDICT_PB[now.status]
    if now.last_ok is not None:
        message.last_reconciled_at.FromDatetime(now.last_ok)
    return message


def _add_valuation(
    message: pb.Position, p: Position, mark: Mark, rules: risk.Rules, said: LiquidationPrice | None
) -> None:
    valuation = risk.value(p, mark.price, rules, said)
    message.mark_price = canonical(mark.price)
    message.mark_observed_at.FromDatetime(mark.observed_at)
    message.unrealized_pnl = canonical(valuation.unrealized_pnl)
    message.pnl_percent = canonical(valuation.pnl_percent)
    message.return_on_margin = canonical(valuation.return_on_margin)
    message.notional_value = canonical(valuation.notional)
    if valuation.distance_percent is not None and valuation.margin_ratio is not None:
        message.liquidation_distance_percent = canonical(valuation.distance_percent)
        message.margin_ratio = canonical(valuation.margin_ratio)
    message.at_risk = risk.is_at_risk(p, mark.price, rules, said)


def summary(s: Summary, revision: int) -> svc.GetPortfolioSummaryResponse:
    """The portfolio, rounded once, here."""
    return svc.GetPortfolioSummaryResponse(
        total_positions=s.positions,
        total_unrealized_pnl=canonical(shown(s.unrealized)),
        total_notional_value=canonical(shown(s.long_notional + s.short_notional)),
        positions_at_risk=s.at_risk,
        assets=sorted(s.assets),
        total_realized_pnl=canonical(shown(s.realized)),
        long_notional=canonical(shown(s.long_notional)),
        short_notional=canonical(shown(s.short_notional)),
        net_notional=canonical(shown(s.long_notional - s.short_notional)),
        missing_marks=_names(s.missing_marks),
        revision=revision,
        total_funding=canonical(shown(s.funding)),
        confirmed_pnl=canonical(shown(s.realized - s.estimated)),
        estimated_pnl=canonical(shown(s.estimated)),
        old_marks=_names(s.old_marks),
    )


def _names(instruments: Iterable[Instrument]) -> list[str]:
    return sorted(f"{instrument.venue}/{instrument.symbol}" for instrument in instruments)
