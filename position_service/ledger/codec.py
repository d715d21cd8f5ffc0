"""Domain values to rows and JSON text, and back. Decimals travel as strings, so no digit is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from position_service.domain.algebra import Fee
from position_service.domain.drift import Drift, DriftKey, DriftStatus
from position_service.domain.events import Check, Event, EventType, Funding, Trade
from position_service.domain.numbers import canonical
from position_service.domain.position import (
    Estimate,
    Guess,
    LiquidationPrice,
    MarginMode,
    Position,
    Product,
    Side,
    Status,
)
from position_service.ledger import tables

NOTHING = "[]"
# Made once: json.dumps makes an encoder a call.
_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode


def dumps(value: object) -> str:
    """Canonical JSON: the same value always gives the same text."""
    return _encode(value)


def estimates_json(p: Position) -> list[list[Any]]:
    """Of a close without its kind, so that it is written in the same bytes as ever."""
    return [
        [e.revision, e.at.isoformat(), e.side.value, canonical(e.size), canonical(e.price), canonical(e.cost)]
        + ([] if e.kind is Guess.CLOSED else [e.kind.value])
        for e in p.estimates
    ]


def _estimates(values: Sequence[Sequence[Any]]) -> tuple[Estimate, ...]:
    """The inverse of estimates_json."""
    return tuple(_estimate(*each) for each in values)


def _estimate(revision: int, at: str, side: str, size: str, price: str, cost: str, kind: str = "CLOSED") -> Estimate:
    time, amounts = datetime.fromisoformat(at), (Decimal(size), Decimal(price), Decimal(cost))
    return Estimate(revision, time, Side(side), *amounts, Guess(kind))


def totals_json(totals: Iterable[tuple[str, Decimal]]) -> list[list[str]]:
    return [[currency, canonical(amount)] for currency, amount in totals]


def _totals(values: Iterable[Sequence[str]]) -> tuple[tuple[str, Decimal], ...]:
    """The inverse of totals_json."""
    return tuple((currency, Decimal(amount)) for currency, amount in values)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def position_from_json(o: Mapping[str, Any]) -> Position:
    """The inverse of bodies.position_json."""
    return Position(
        position_id=UUID(o["position_id"]),
        account=o["account"],
        venue=o["venue"],
        symbol=o["symbol"],
        asset=o["asset"],
        product=Product(o["product"]),
        side=Side(o["side"]),
        size=Decimal(o["size"]),
        cost=Decimal(o["cost"]),
        status=Status(o["status"]),
        leverage=Decimal(o["leverage"]),
        margin_mode=MarginMode(o["margin_mode"]) if o["margin_mode"] else None,
        liquidation_price=Decimal(o["liquidation_price"]) if o["liquidation_price"] else None,
        realized=Decimal(o["realized"]),
        peak=Decimal(o["peak"]),
        opened_at=datetime.fromisoformat(o["opened_at"]),
        updated_at=datetime.fromisoformat(o["updated_at"]),
        revision=o["revision"],
        closed_at=_time(o["closed_at"]),
        deadline=_time(o["deadline"]),
        returns_to=Status(o["returns_to"]) if o["returns_to"] else None,
        at_risk=o["at_risk"],
        other_fees=_totals(o["other_fees"]),
        labels=tuple((name, label) for name, label in o["labels"]),
        estimated=Decimal(o["estimated"]),
        final_entry=Decimal(o["final_entry"]),
        funding=Decimal(o.get("funding", 0)),
        other_funding=_totals(o.get("other_funding", ())),
        estimates=_estimates(o.get("estimates", ())),
    )


def position_row(p: Position) -> tuple[Any, ...]:
    """The row of ``positions``, in the order of its columns."""
    return (
        p.position_id,
        p.account,
        p.venue,
        p.symbol,
        p.asset,
        p.product.value,
        p.side.value,
        p.size,
        p.cost,
        p.status.value,
        p.leverage,
        p.margin_mode.value if p.margin_mode else None,
        p.liquidation_price,
        p.realized,
        p.peak,
        p.opened_at,
        p.updated_at,
        p.revision,
        p.closed_at,
        p.deadline,
        p.returns_to.value if p.returns_to else None,
        p.at_risk,
        dumps(totals_json(p.other_fees)) if p.other_fees else NOTHING,
        dumps([list(label) for label in p.labels]) if p.labels else NOTHING,
        p.estimated,
        p.final_entry,
        p.funding,
        dumps(totals_json(p.other_funding)) if p.other_funding else NOTHING,
        dumps(estimates_json(p)) if p.estimates else NOTHING,
    )


def _amount(value: Any) -> Any:
    return None if value is None else Decimal(value)


def _conversion(column: sa.Column[Any]) -> Callable[[Any], Any] | None:
    """What makes of a column's value the position's own; None where they are the same."""
    special: dict[str, Callable[[Any], Any]] = {
        "product": {one.value: one for one in Product}.__getitem__,
        "side": {one.value: one for one in Side}.__getitem__,
        "status": {one.value: one for one in Status}.__getitem__,
        "margin_mode": {one.value: one for one in MarginMode}.get,  # None for none
        "returns_to": {one.value: one for one in Status}.get,
        "other_fees": lambda text: _totals(json.loads(text)),
        "labels": lambda text: tuple((name, label) for name, label in json.loads(text)),
        "other_funding": lambda text: _totals(json.loads(text)),
        "estimates": lambda text: _estimates(json.loads(text)),
    }
    numeric = isinstance(column.type, sa.Numeric)
    return special.get(column.name) or ((_amount if column.nullable else Decimal) if numeric else None)


_FIELDS = [one.name for one in fields(Position)]
_CONVERSIONS = [
    (place, conversion)
    for place, name in enumerate(_FIELDS)
    if (conversion := _conversion(tables.positions.columns[name])) is not None
]

# What positions are loaded by: amounts as text, which Python reads several times as fast as PostgreSQL's own form.
POSITION_COLUMNS = ", ".join(
    f"{name}::text" if isinstance(tables.positions.columns[name].type, sa.Numeric) else name for name in _FIELDS
)


def position_from_columns(columns: Iterable[Any]) -> Position:
    """A position from a row of POSITION_COLUMNS."""
    values = list(columns)
    for place, conversion in _CONVERSIONS:
        value = values[place]
        values[place] = () if value == NOTHING else conversion(value)  # nearly always nothing, and a load reads many
    return Position(*values)


def position_from_row(row: Mapping[str, Any]) -> Position:
    """The inverse of position_row; the row may be a mapping of any kind, with columns of a later schema too."""
    return position_from_columns(row[name] for name in _FIELDS)


def drift_row(d: Drift) -> tuple[Any, ...]:
    """The row of ``drifts`` without its tick, in the order of its columns."""
    return (
        d.drift_id,
        *d.key,
        d.status.value,
        d.content,
        d.substance,
        d.first_seen,
        d.last_seen,
        d.times_seen,
        d.revision,
        d.snoozed_until,
        d.resolution,
        d.actor,
        d.reason,
        d.run_id,
    )


def drift_from_row(row: Mapping[str, Any]) -> Drift:
    """The inverse of drift_row."""
    values = dict(row)
    values.pop("tick", None)
    key = DriftKey(*(values.pop(name) for name in DriftKey._fields))
    return Drift(key=key, **{**values, "status": DriftStatus(values["status"])})


def drift_json(d: Drift) -> dict[str, Any]:
    """All there is to a case, as JSON values."""
    names = [column.name for column in tables.drifts.columns if column.name != "tick"]
    plain = (v if isinstance(v, str | int) or v is None else str(v) for v in drift_row(d))
    return dict(zip(names, plain, strict=True))


def drift_from_json(o: Mapping[str, Any]) -> Drift:
    """The inverse of drift_json."""
    times = {name: _time(o[name]) for name in ("first_seen", "last_seen", "snoozed_until")}
    return drift_from_row({**o, **times, "drift_id": UUID(o["drift_id"])})


def _funding(payment_id: str, amount: str, currency: str, rate: str | None) -> Funding:
    return Funding(payment_id, Decimal(amount), currency, Decimal(rate) if rate is not None else None)


def event_from_row(row: Mapping[str, Any], before: Position | None = None) -> Event:
    """An event from its row of ``events``."""
    body = json.loads(row["body"])
    trade = None
    if t := body.get("trade"):
        trade = Trade(
            size=Decimal(t["size"]),
            price=Decimal(t["price"]) if t["price"] is not None else None,
            fee=Fee(Decimal(t["fee"][0]), t["fee"][1]),
            realized=Decimal(t["realized"]),
            fill_id=t["fill_id"],
            executed_at=_time(t["executed_at"]),
            funding=_funding(*t["funding"]) if "funding" in t else None,
        )
    return Event(
        revision=row["revision"],
        time=row["time"],
        type=EventType(row["type"]),
        account=row["account"],
        subject=row["subject"],
        actor=row["actor"],
        request_id=row["request_id"],
        reason=row["reason"],
        trade=trade,
        before=before,
        after=position_from_json(body["after"]) if "after" in body else None,
        drift=drift_from_json(body["drift"]) if "drift" in body else None,
        note=body.get("note", ""),
        commit=row["commit_revision"],
        hash=row["hash"],
    )


def liquidation_price_from_row(row: Mapping[str, Any]) -> LiquidationPrice:
    """What a venue says of a position, from its row of ``liquidation_prices``."""
    return LiquidationPrice(Side(row["side"]), row["size"], row["price"], row["observed_at"])


def check_from_row(row: Mapping[str, Any]) -> Check:
    """A check from its row of ``checks``."""
    values = dict(row)
    values.pop("tick")
    return Check(**{**values, "suspects": tuple(json.loads(values["suspects"]))})
