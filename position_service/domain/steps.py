"""What every rule needs: the context, finding the position, appending events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from datetime import datetime
from uuid import UUID

from position_service.domain import commands as c
from position_service.domain.book import Draft, View
from position_service.domain.errors import AmbiguousAsset, PositionNotFound, StaleRevision
from position_service.domain.estimating import outstanding
from position_service.domain.events import Event, EventType, Trade
from position_service.domain.position import Mark, Position
from position_service.domain.record import record, replace
from position_service.domain.risk import Rules, is_at_risk
from position_service.domain.transitions import Move, require


@record
class Context:
    """What a decision needs beside the state: the time, who asks, and a source of new ids."""

    now: datetime
    actor: str
    request_id: str
    reason: str
    new_id: Callable[[], UUID]
    rules: Rules = field(default_factory=Rules)


def resolve(view: View, ref: c.Ref) -> Position:
    """The one live position a reference names. Raises PositionNotFound or AmbiguousAsset."""
    if ref.position_id is not None:
        position = view.position(ref.position_id)
        if position is None:
            raise PositionNotFound(str(ref))
        return position
    matches = [
        position
        for position_id in view.named(ref.account, ref.symbol or ref.asset)
        if (position := view.position(position_id))
        and ref.venue in ("", position.venue)
        and ref.symbol in ("", position.symbol)
        and ref.asset in ("", position.asset)
    ]
    if not matches:
        raise PositionNotFound(str(ref))
    if len(matches) > 1:
        raise AmbiguousAsset(str(ref), sorted(f"{p.venue}/{p.symbol}" for p in matches))
    return matches[0]


def target(draft: Draft, command: c.OnPosition, move: Move) -> Position:
    """The position a command is about, once its revision and state allow the move."""
    position = resolve(draft, command.ref)
    if command.expected_revision and command.expected_revision != position.revision:
        raise StaleRevision(command.expected_revision, position.revision)
    require(position, move)
    return position


def emit(
    draft: Draft,
    context: Context,
    type_: EventType,
    before: Position | None,
    after: Position,
    trade: Trade | None = None,
    note: str = "",
) -> Position:
    """Append an event, and a second one when it carries the position across the risk threshold."""
    revision = draft.revision + 1
    estimates = outstanding(after.estimates, context.now) if after.estimates else ()
    after = replace(after, revision=revision, updated_at=context.now, estimates=estimates)
    draft.append(
        Event(
            revision=revision,
            time=context.now,
            type=type_,
            account=after.account,
            subject=after.position_id,
            actor=context.actor,
            request_id=context.request_id,
            reason=context.reason,
            trade=trade,
            before=before,
            after=after,
            note=note,
        )
    )
    return after if after.status.is_final else watch_risk(draft, context, after)


def watch_risk(draft: Draft, context: Context, position: Position) -> Position:
    """Append RISK_ENTERED or RISK_LEFT when the newest mark and liquidation price say something else than the position."""
    return judge_risk(draft, context, position, draft.mark(position.instrument))


def judge_risk(draft: Draft, context: Context, position: Position, mark: Mark | None) -> Position:
    """The same by a mark that is known to be the newest."""
    seen = draft.liquidation_price(position.position_id)
    at_risk = is_at_risk(position, mark.price if mark else None, context.rules, seen)
    if at_risk == position.at_risk:
        return position
    type_ = EventType.RISK_ENTERED if at_risk else EventType.RISK_LEFT
    return emit(draft, context, type_, position, replace(position, at_risk=at_risk))
