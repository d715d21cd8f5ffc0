"""Between protobuf and the Reconciler's own types. Only this and ``convert_*`` know both.

Amounts leave as plain decimals of at most 18 fraction digits, rounded half-even once, here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from trueup.position.v1 import position_pb2
from trueup.types.v1 import drift_pb2, types_pb2

from reconciler_service.confirm import Suspicion
from reconciler_service.describe import severity, summary
from reconciler_service.findings import ZERO, Change, Explanation, Finding, Key, Kind, OpenCase
from reconciler_service.model import (
    BookPosition,
    BookState,
    MarginMode,
    Outcome,
    Product,
    ScopeReading,
    Side,
    Snapshot,
    Source,
    VenuePosition,
)
from reconciler_service.since import Step
from reconciler_service.wording import plain

Sent = TypeVar("Sent", bound=Message)
_EDGE = Context(prec=160, rounding=ROUND_HALF_EVEN)
_STEP = Decimal(1).scaleb(-18)

_SIDES = {types_pb2.SIDE_LONG: Side.LONG, types_pb2.SIDE_SHORT: Side.SHORT}
_PRODUCTS = {
    types_pb2.PRODUCT_SPOT: Product.SPOT,
    types_pb2.PRODUCT_PERPETUAL: Product.PERPETUAL,
    types_pb2.PRODUCT_FUTURE: Product.FUTURE,
}
_MODES = {types_pb2.MARGIN_MODE_CROSS: MarginMode.CROSS, types_pb2.MARGIN_MODE_ISOLATED: MarginMode.ISOLATED}
_STATES = {
    position_pb2.POSITION_STATUS_OPENING: BookState.OPENING,
    position_pb2.POSITION_STATUS_OPEN: BookState.OPEN,
    position_pb2.POSITION_STATUS_REDUCED: BookState.REDUCED,
    position_pb2.POSITION_STATUS_CLOSING: BookState.CLOSING,
}
_FACTS: dict[Kind, tuple[str, ...]] = {
    Kind.ENTRY_PRICE: ("entry_price",),
    Kind.LEVERAGE: ("leverage",),
    Kind.MARGIN_MODE: ("margin_mode",),
    Kind.LIQUIDATION_PRICE: (),  # it follows the marks
}
_KINDS = {drift_pb2.DriftKind.Value(f"DRIFT_KIND_{kind.value}"): kind for kind in Kind}


def decimal_text(amount: Decimal | None) -> str:
    """The wire's form of an amount; "" for None."""
    return "" if amount is None else plain(_EDGE.quantize(amount, _STEP))


def stamp(at: datetime | None) -> Timestamp | None:
    """The wire's form of a time; None stays None, which leaves the field empty."""
    if at is None:
        return None
    made = Timestamp()
    made.FromDatetime(at)
    return made


def moment(at: Timestamp) -> datetime:
    """An aware UTC time."""
    return at.ToDatetime(tzinfo=UTC)


def copied(target: Sent, source: Message) -> Sent:
    """Fill every field of ``target`` that ``source`` has under the same name: the two contracts spell much alike."""
    for field, value in source.ListFields():
        if field.name not in target.DESCRIPTOR.fields_by_name:
            continue
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        elif field.message_type is not None:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)
    return target


def book_position(sent: position_pb2.Position) -> BookPosition | None:
    """A live position of the book; None for a final one or a state this version does not know."""
    state, side, product = _STATES.get(sent.status), _SIDES.get(sent.side), _PRODUCTS.get(sent.product)
    if state is None or side is None or product is None:
        return None
    synced = sent.reconciliation_status == position_pb2.RECONCILIATION_STATUS_SYNCED
    return BookPosition(
        position_id=sent.position_id,
        account=sent.account,
        venue=sent.venue,
        symbol=sent.symbol,
        asset=sent.asset,
        product=product,
        side=side,
        size=Decimal(sent.size),
        entry_price=Decimal(sent.entry_price),
        state=state,
        revision=sent.revision,
        updated_at=moment(sent.updated_at),
        leverage=_optional(sent.leverage),
        margin_mode=_MODES.get(sent.margin_mode),
        liquidation_price=_optional(sent.liquidation_price),
        cost_basis=_optional(sent.cost_basis),
        realized_pnl=Decimal(sent.realized_pnl or 0),
        mark_price=_optional(sent.mark_price),
        deadline=moment(sent.deadline) if sent.HasField("deadline") else None,
        agreed_at=moment(sent.last_reconciled_at) if synced and sent.HasField("last_reconciled_at") else None,
    )


def step(sent: position_pb2.PositionEvent) -> Step:
    """What an event of the book did to what is held."""
    before, after = book_position(sent.before), book_position(sent.after)
    held = after.signed_size if after else ZERO
    return Step(
        revision=sent.revision,
        symbol=sent.after.symbol,
        position_id=sent.position_id,
        is_live=after is not None,
        change=_EDGE.subtract(held, before.signed_size if before else ZERO),
        executed_at=moment(sent.trade.executed_at) if sent.trade.HasField("executed_at") else None,
        in_transit=any(held.in_transit for held in (before, after) if held is not None),
    )


def open_case(sent: drift_pb2.Drift) -> OpenCase | None:
    """An open drift case of a kind that snapshots can show; None for others."""
    kind = _KINDS.get(sent.kind)
    if kind is None:
        return None
    return OpenCase(sent.drift_id, sent.account, sent.venue, sent.symbol, _PRODUCTS.get(sent.product), kind)


def key(sent: drift_pb2.Drift) -> Key | None:
    """What makes two findings the same case; None for a kind that snapshots cannot show."""
    kind = _KINDS.get(sent.kind)
    return None if kind is None else (sent.account, sent.venue, sent.symbol, kind)


def drift(
    one: Suspicion,
    explanation: Explanation | None,
    read_at: datetime,
    run_id: str,
    note: str = "",
) -> drift_pb2.Drift:
    """A finding as RecordRun takes it: without id; status and counters are the ledger's. None: not confirmed yet.

    ``note`` is why a policy leaves it open.
    """
    finding = one.finding
    sent = drift_pb2.Drift(
        kind=getattr(drift_pb2, f"DRIFT_KIND_{finding.kind.value}"),
        status=drift_pb2.DRIFT_STATUS_CONFIRMED if explanation else drift_pb2.DRIFT_STATUS_SUSPECTED,
        account=finding.account,
        venue=finding.venue,
        symbol=finding.symbol,
        asset=finding.asset,
        product=getattr(types_pb2, f"PRODUCT_{finding.product.value}"),
        position_id=finding.local.position_id if finding.local else "",
        # An earlier look of the cycle may have shown it: then the book was read before that one.
        local=_observation(finding.local, min(read_at, finding.requested_at), finding.book_revision),
        actual=_observation(finding.actual, finding.observed_at or finding.requested_at, 0),
        size_delta=decimal_text(finding.size_delta),
        notional_delta=decimal_text(finding.notional_delta),
        rule=finding.rule,
        first_seen=stamp(one.since),
        last_seen=stamp(finding.requested_at),
        times_seen=1,
        source=source(finding.source),
        run_id=run_id,
        note=note,
    )
    if explanation is not None:
        sent.severity = getattr(drift_pb2, f"DRIFT_SEVERITY_{severity(finding, explanation).value}")
        sent.summary = summary(finding, explanation, note)
        sent.explanation.CopyFrom(_explanation(explanation))
    return sent


def check(snapshot: Snapshot, scope: ScopeReading, suspects: Iterable[str] = ()) -> drift_pb2.ScopeCheck:
    """What was read of one of its scopes; ``suspects`` are instruments that wait for a second look."""
    return drift_pb2.ScopeCheck(
        account=snapshot.account,
        venue=snapshot.venue,
        scope=scope.scope,
        product=getattr(types_pb2, f"PRODUCT_{scope.product.value}"),
        symbol_prefix=scope.symbol_prefix,
        outcome=getattr(drift_pb2, f"CHECK_OUTCOME_{scope.outcome.value}"),
        checked_at=stamp(snapshot.requested_at),
        error=scope.error,
        positions=len(scope.positions) if scope.outcome is Outcome.OK else 0,
        suspects=suspects,
    )


def source(kind: Source) -> types_pb2.Source:
    """Simulated or live."""
    return types_pb2.SOURCE_SIMULATED if kind is Source.SIMULATED else types_pb2.SOURCE_LIVE


def changes(made: Iterable[Change]) -> list[drift_pb2.Change]:
    """The fields of a correction."""
    return [drift_pb2.Change(field=change.field, before=change.before, after=change.after) for change in made]


def is_same(case: drift_pb2.Drift, finding: Finding) -> bool:
    """Whether the venue says what it said when the case was last seen, in the fact that the case is about."""
    now = _observation(finding.actual, finding.requested_at, 0)
    names = _FACTS.get(finding.kind, ("side", "size"))
    return all(getattr(case.actual, name) == getattr(now, name) for name in names)


def _observation(held: BookPosition | VenuePosition | None, at: datetime, revision: int) -> drift_pb2.Observation:
    if held is None:
        return drift_pb2.Observation(size="0", observed_at=stamp(at))
    mode: Any = getattr(types_pb2, f"MARGIN_MODE_{held.margin_mode.value}") if held.margin_mode else 0
    return drift_pb2.Observation(
        side=getattr(types_pb2, f"SIDE_{held.side.value}"),
        size=decimal_text(held.size),
        entry_price=decimal_text(held.entry_price),
        leverage=decimal_text(held.leverage),
        margin_mode=mode,
        liquidation_price=decimal_text(held.liquidation_price),
        mark_price=decimal_text(held.mark_price),
        observed_at=stamp(at),
        revision=revision,
    )


def _explanation(made: Explanation) -> drift_pb2.Explanation:
    return drift_pb2.Explanation(
        cause=getattr(drift_pb2, f"DRIFT_CAUSE_{made.cause.value}"),
        text=made.text,
        evidence=[
            drift_pb2.Evidence(kind=fact.kind, id=fact.id, time=stamp(fact.time), text=fact.text)
            for fact in made.evidence
        ],
        correction=changes(made.correction),
        estimated=made.estimated,
    )


def _optional(text: str) -> Decimal | None:
    return Decimal(text) if text else None
