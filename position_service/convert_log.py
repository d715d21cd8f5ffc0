"""Between protobuf and the domain, for the reconciliation log: runs and drift cases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from google.protobuf import json_format
from trueup.position.v1 import reconciliation_log_service_pb2 as svc
from trueup.types.v1 import drift_pb2 as pb
from trueup.types.v1 import types_pb2

from position_service.convert import inside, stamp, time_of
from position_service.domain import commands as c
from position_service.domain.drift import Drift, DriftKey, DriftStatus, Finding
from position_service.domain.errors import InvalidValue
from position_service.domain.events import Check, Event
from position_service.domain.position import LiquidationPrice, Side
from position_service.ledger.codec import dumps

# The server's fields of a Drift: they are not part of what the Reconciler describes.
_OURS = (
    "drift_id",
    "status",
    "first_seen",
    "last_seen",
    "times_seen",
    "snoozed_until",
    "resolution",
    "actor",
    "reason",
    "revision",
    "run_id",
    "checked_revision",
)
# What must differ for the disagreement itself to have changed, by kind; sizes and side for every other kind.
_SUBSTANCE = {
    pb.DRIFT_KIND_ENTRY_PRICE: ("entry_price",),
    pb.DRIFT_KIND_LEVERAGE: ("leverage",),
    pb.DRIFT_KIND_MARGIN_MODE: ("margin_mode",),
    pb.DRIFT_KIND_LIQUIDATION_PRICE: (),  # it moves with every mark under cross margin: that is no news
    pb.DRIFT_KIND_ALLOCATION: (),  # the same; from too much to too little is news
    pb.DRIFT_KIND_EQUITY: (),  # here, when the gap turns, or has another digit
}
_SIDES = {types_pb2.SIDE_LONG: Side.LONG, types_pb2.SIDE_SHORT: Side.SHORT}
_SIZES = ("side", "size")
MOST_KEY_LENGTH = 128  # four times as many bytes, in up to four columns


def record_run(r: svc.RecordRunRequest) -> c.RecordRun:
    """Raises InvalidValue for what the rules of the contract cannot see."""
    if not r.run.HasField("started_at"):
        raise InvalidValue("run.started_at", "is required")
    with inside("run"):
        started_at = time_of(r.run, "started_at")
    assert started_at is not None
    return c.RecordRun(
        run_id=_uuid("run.run_id", r.run.run_id),
        started_at=started_at,
        run=_text("run", r.run),
        checks=tuple(_check(check, f"run.checks[{i}]") for i, check in enumerate(r.run.checks)),
        findings=tuple(_finding(finding, f"findings[{i}]") for i, finding in enumerate(r.findings)),
        resolved=tuple(UUID(drift_id) for drift_id in r.resolved_drift_ids),
    )


def liquidation_prices(r: svc.RecordLiquidationPricesRequest) -> c.RecordLiquidationPrices:
    at = time_of(r, "observed_at")
    assert at is not None  # required by the contract
    seen = ((h.symbol, _SIDES[h.side], Decimal(h.size), Decimal(h.price) if h.price else None) for h in r.holdings)
    holdings = tuple((symbol, LiquidationPrice(side, size, price, at)) for symbol, side, size, price in seen)
    return c.RecordLiquidationPrices(r.account, r.venue, holdings)


def _uuid(field: str, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidValue(field, "must be a UUID") from None


def _text(field: str, message: Any) -> str:
    """A message as JSON. Raises InvalidValue for a time, anywhere in it, that JSON cannot tell."""
    try:
        return dumps(json_format.MessageToDict(message, preserving_proto_field_name=True))
    except (ValueError, json_format.Error):
        raise InvalidValue(field, "holds a time that is not between the years 1 and 9999") from None


def _name(field: str, kinds: Any, value: int) -> str:
    """The name of an enum's value without its prefix. Raises InvalidValue for one that the contract has not."""
    if value not in kinds.values():
        raise InvalidValue(field, f"is {value}, which has no meaning")
    prefix = kinds.Name(0).removesuffix("UNSPECIFIED")
    return str(kinds.Name(value)).removeprefix(prefix)


def _require_plain(field: str, message: Any, names: Sequence[str]) -> None:
    """These become columns with an index: PostgreSQL has no text with a NUL, and no key longer than some 2 700 bytes."""
    for name in names:
        text = getattr(message, name)
        if "\0" in text:
            raise InvalidValue(f"{field}.{name}", "must not contain a NUL character")
        if len(text) > MOST_KEY_LENGTH:
            raise InvalidValue(f"{field}.{name}", f"must not be longer than {MOST_KEY_LENGTH} characters")


def _check(check: pb.ScopeCheck, field: str) -> Check:
    _require_plain(field, check, ("account", "venue", "scope", "symbol_prefix"))
    with inside(field):
        checked_at = time_of(check, "checked_at")
    if checked_at is None or not check.account or not check.venue:
        raise InvalidValue(field, "needs account, venue and checked_at")
    return Check(
        account=check.account,
        venue=check.venue,
        scope=check.scope,
        product=_name(f"{field}.product", types_pb2.Product, check.product),
        symbol_prefix=check.symbol_prefix,
        ok=check.outcome == pb.CHECK_OUTCOME_OK,
        checked_at=checked_at,
        last_ok_at=None,
        suspects=tuple(sorted(set(check.suspects))),
    )


def _finding(drift: pb.Drift, field: str) -> Finding:
    _require_plain(field, drift, ("account", "venue", "symbol"))
    with inside(field):
        first, last = time_of(drift, "first_seen"), time_of(drift, "last_seen")
    if first is None or last is None or not (drift.account and drift.venue):
        raise InvalidValue(field, "needs account, venue, first_seen and last_seen")
    kind = _name(f"{field}.kind", pb.DriftKind, drift.kind)
    names = _SUBSTANCE.get(drift.kind, _SIZES)
    substance = [[str(getattr(side, name)) for name in names] for side in (drift.local, drift.actual)]
    if drift.HasField("allocation"):
        substance.append(["under" if drift.allocation.drift.startswith("-") else "over"])
    if drift.HasField("equity"):
        whole = drift.equity.gap.partition(".")[0]
        substance.append(["under" if whole.startswith("-") else "over", str(len(whole.lstrip("-")))])
    content = pb.Drift()
    content.CopyFrom(drift)
    for name in _OURS:
        content.ClearField(name)
    return Finding(
        key=DriftKey(drift.account, drift.venue, drift.symbol, kind),
        content=_text(field, content),
        # That a policy leaves it open is news; its words, with amounts at the mark in them, are not.
        substance=dumps([substance, drift.explanation.cause] + (["noted"] if drift.note else [])),
        seen_at=last,
        first_seen=first,
        local_revision=_compared_at(drift),
    )


def _compared_at(drift: pb.Drift) -> int | None:
    if drift.HasField("checked_revision"):
        return drift.checked_revision
    return drift.local.revision if drift.HasField("local") else None


def transition(r: svc.TransitionDriftRequest) -> c.TransitionDrift:
    until = time_of(r, "snoozed_until")
    name = pb.DriftStatus.Name(r.status).removeprefix("DRIFT_STATUS_")
    if name == "SNOOZED" and until is None:
        raise InvalidValue("snoozed_until", "is required to snooze")
    return c.TransitionDrift(
        UUID(r.drift_id), DriftStatus[name], until, r.resolution or "DISMISSED", r.expected_revision
    )


def drift(d: Drift) -> pb.Drift:
    """A case: what the Reconciler described, and what the ledger keeps of it."""
    message = json_format.ParseDict(json.loads(d.content), pb.Drift(), ignore_unknown_fields=True)
    message.drift_id = str(d.drift_id)
    message.status = pb.DriftStatus.Value(f"DRIFT_STATUS_{d.status.value}")  # type: ignore[assignment]
    message.first_seen.FromDatetime(d.first_seen)
    message.last_seen.FromDatetime(d.last_seen)
    message.times_seen = d.times_seen
    if d.snoozed_until is not None:
        message.snoozed_until.FromDatetime(d.snoozed_until)
    message.resolution = d.resolution
    message.actor = d.actor
    message.reason = d.reason
    message.revision = d.revision
    message.run_id = d.run_id
    return message


def drift_event(event: Event) -> pb.DriftEvent:
    """A step of a case."""
    assert event.drift is not None
    name = event.type.value.removeprefix("drift.").upper()
    return pb.DriftEvent(
        revision=event.revision,
        time=stamp(event.time),
        type=f"DRIFT_EVENT_TYPE_{name}",
        drift=drift(event.drift),
    )


def as_event(d: Drift) -> pb.DriftEvent:
    """An open case as the last step it took, for snapshots. Which step it was no longer matters: it stands confirmed,
    acknowledged or snoozed, as its status says."""
    types = {
        DriftStatus.CONFIRMED: pb.DRIFT_EVENT_TYPE_CONFIRMED,
        DriftStatus.ACKNOWLEDGED: pb.DRIFT_EVENT_TYPE_ACKNOWLEDGED,
        DriftStatus.SNOOZED: pb.DRIFT_EVENT_TYPE_SNOOZED,
        DriftStatus.RESOLVED: pb.DRIFT_EVENT_TYPE_RESOLVED,
    }
    return pb.DriftEvent(revision=d.revision, time=stamp(d.last_seen), type=types[d.status], drift=drift(d))


def run(body: str) -> pb.Run:
    """A run from its stored JSON."""
    return json_format.ParseDict(json.loads(body), pb.Run(), ignore_unknown_fields=True)
