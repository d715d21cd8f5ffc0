"""Domain values to rows and JSON text, and back. Decimals travel as strings, so no digit is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from position_service.domain.algebra import Fee
from position_service.domain.drift import Drift, DriftKey, DriftStatus
from position_service.domain.events import Check, Event, EventType, Trade
from position_service.domain.numbers import canonical
from position_service.domain.position import MarginMode, Position, Product, Side, Status
from position_service.ledger import tables


def dumps(value: object) -> str:
    """Canonical JSON: the same value always gives the same text."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _optional(value: Any) -> Any:
    """An enum's name, a decimal's or a time's text; None stays None."""
    if isinstance(value, Decimal):
        return canonical(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return value.value if value is not None else None


def position_json(p: Position) -> dict[str, Any]:
    """All there is to a position, as JSON values."""
    return {
        "position_id": str(p.position_id),
        "account": p.account,
        "venue": p.venue,
        "symbol": p.symbol,
        "asset": p.asset,
        "product": p.product.value,
        "side": p.side.value,
        "size": canonical(p.size),
        "cost": canonical(p.cost),
        "status": p.status.value,
        "leverage": canonical(p.leverage),
        "margin_mode": _optional(p.margin_mode),
        "liquidation_price": _optional(p.liquidation_price),
        "realized": canonical(p.realized),
        "peak": canonical(p.peak),
        "opened_at": p.opened_at.isoformat(),
        "updated_at": p.updated_at.isoformat(),
        "revision": p.revision,
        "closed_at": _optional(p.closed_at),
        "deadline": _optional(p.deadline),
        "returns_to": _optional(p.returns_to),
        "at_risk": p.at_risk,
        "other_fees": [[currency, canonical(amount)] for currency, amount in p.other_fees],
        "labels": [list(label) for label in p.labels],
        "estimated": canonical(p.estimated),
        "final_entry": canonical(p.final_entry),
    }


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def position_from_json(o: Mapping[str, Any]) -> Position:
    """The inverse of position_json."""
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
        other_fees=tuple((currency, Decimal(amount)) for currency, amount in o["other_fees"]),
        labels=tuple((name, label) for name, label in o["labels"]),
        estimated=Decimal(o["estimated"]),
        final_entry=Decimal(o["final_entry"]),
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
        dumps([[currency, canonical(amount)] for currency, amount in p.other_fees]),
        dumps([list(label) for label in p.labels]),
        p.estimated,
        p.final_entry,
    )


def position_from_row(row: Mapping[str, Any]) -> Position:
    """The inverse of position_row; the row may be a mapping of any kind."""
    values = dict(row)
    values["product"] = Product(values["product"])
    values["side"] = Side(values["side"])
    values["status"] = Status(values["status"])
    values["margin_mode"] = MarginMode(values["margin_mode"]) if values["margin_mode"] else None
    values["returns_to"] = Status(values["returns_to"]) if values["returns_to"] else None
    values["other_fees"] = tuple((c, Decimal(a)) for c, a in json.loads(values["other_fees"]))
    values["labels"] = tuple((n, v) for n, v in json.loads(values["labels"]))
    return Position(**values)


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


def event_body(event: Event) -> str:
    """The part of an event that has no column of its own, as canonical JSON."""
    if event.drift is not None:
        return dumps({"drift": drift_json(event.drift)})
    assert event.after is not None
    body: dict[str, Any] = {"after": position_json(event.after)}
    if trade := event.trade:
        body["trade"] = {
            "size": canonical(trade.size),
            "price": _optional(trade.price),
            "fee": [canonical(trade.fee.amount), trade.fee.currency],
            "realized": canonical(trade.realized),
            "fill_id": trade.fill_id,
            "executed_at": _optional(trade.executed_at),
        }
    if event.note:
        body["note"] = event.note
    return dumps(body)


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


def check_from_row(row: Mapping[str, Any]) -> Check:
    """A check from its row of ``checks``."""
    values = dict(row)
    values.pop("tick")
    return Check(**{**values, "suspects": tuple(json.loads(values["suspects"]))})
