"""What is observed rather than done: marks, liquidation prices, reconciliation runs, the moves of drift cases."""

from __future__ import annotations

from datetime import timedelta

from position_service.domain import commands as c
from position_service.domain.book import Draft
from position_service.domain.drift import Drift, DriftStatus, Finding, case_id, move
from position_service.domain.errors import DriftNotFound, InvalidValue, StaleRevision
from position_service.domain.events import Event, EventType
from position_service.domain.position import Key
from position_service.domain.record import replace
from position_service.domain.steps import Context, judge_risk, watch_risk

MOST_AHEAD = timedelta(minutes=1)  # clocks differ a little; a mark dated later would block its instrument

_EXPOSURE = {"MISSING_LOCALLY", "MISSING_AT_VENUE", "SIZE", "SIDE"}
_MOVED = {
    DriftStatus.CONFIRMED: EventType.DRIFT_REOPENED,
    DriftStatus.ACKNOWLEDGED: EventType.DRIFT_ACKNOWLEDGED,
    DriftStatus.SNOOZED: EventType.DRIFT_SNOOZED,
    DriftStatus.RESOLVED: EventType.DRIFT_RESOLVED,
}


def update_prices(command: c.UpdatePrices, draft: Draft, context: Context) -> None:
    """The newest observation of an instrument wins; only crossing the risk threshold is an event."""
    latest = context.now + MOST_AHEAD
    for index, (instrument, mark) in enumerate(command.marks):
        if mark.observed_at > latest:
            raise InvalidValue(f"prices[{index}].observed_at", "lies in the future, and would outlive every true mark")
        known = draft.mark(instrument)
        if known is not None and known.observed_at >= mark.observed_at:
            continue
        draft.marks[instrument] = mark
        for position_id in draft.holders(instrument):
            if position := draft.position(position_id):
                judge_risk(draft, context, position, mark)


def record_liquidation_prices(command: c.RecordLiquidationPrices, draft: Draft, context: Context) -> None:
    """The newest observation of a live position wins; only crossing the risk threshold is an event."""
    for symbol, seen in command.holdings:
        if seen.observed_at > context.now + MOST_AHEAD:
            raise InvalidValue("observed_at", "lies in the future, and would outlive every true one")
        held = draft.held(Key(command.account, command.venue, symbol))
        known = draft.liquidation_price(held.position_id) if held else None
        if held is None or (known.observed_at >= seen.observed_at if known else seen.price is None):
            continue
        draft.liquidation_prices[held.position_id] = seen
        watch_risk(draft, context, held)


def record_run(command: c.RecordRun, draft: Draft, context: Context) -> None:
    for check in command.checks:
        key = (check.account, check.venue, check.scope)
        known = draft.check(key)
        if known is not None and check.checked_at < known.checked_at <= context.now + MOST_AHEAD:
            continue  # a slower run must not overwrite a newer check
        last_ok = check.checked_at if check.ok else known.last_ok_at if known else None
        draft.checks[key] = replace(check, last_ok_at=last_ok)
    taken = [finding for finding in command.findings if _still_true(finding, draft)]
    for finding in taken:
        _take(finding, str(command.run_id), draft, context)
    exposed = {finding.key[:3] for finding in taken if finding.key.kind in _EXPOSURE}
    for drift_id in command.resolved:
        drift = draft.drift(drift_id)
        if drift is None:
            continue  # it is over already, which is what was wanted
        if drift.key[:3] in exposed:
            why = replace(context, reason="another disagreement about the same instrument took its place")
            _move(drift, DriftStatus.RESOLVED, draft, why, resolution="SUPERSEDED")
        else:
            why = replace(context, reason=context.reason or "book and venue agree again")
            _move(drift, DriftStatus.RESOLVED, draft, why, resolution="AGREES_AGAIN")
    _wake(command, draft, context)


def _wake(command: c.RecordRun, draft: Draft, context: Context) -> None:
    """End the snoozes whose time has come at venues that were not read: no finding would, before they can be again."""
    unread = {(check.account, check.venue) for check in command.checks if not check.ok}
    if not unread:
        return
    told = {finding.key for finding in command.findings}
    why = replace(context, reason="the snooze is over, and its venue cannot be read")
    for drift in [drift for drift_id in sorted(draft.asleep()) if (drift := draft.drift(drift_id))]:
        # Shares of the portfolio are known only while every venue is read.
        is_unread = drift.key[:2] in unread or drift.key.kind == "ALLOCATION"
        if is_unread and drift.key not in told and drift.has_overslept(context.now):
            _move(drift, DriftStatus.CONFIRMED, draft, why)


def _still_true(finding: Finding, draft: Draft) -> bool:
    """Whether the book still stands where the finding was checked: what was booked since may have settled it."""
    if finding.local_revision is None:
        return True
    held = draft.held(Key(*finding.key[:3]))
    return (held.revision if held else 0) == finding.local_revision


def _take(finding: Finding, run_id: str, draft: Draft, context: Context) -> None:
    """Continue the open case of the finding, or open one."""
    known = draft.open_drift(finding.key)
    revision = draft.revision + 1
    if known is None:
        drift = Drift(
            drift_id=case_id(finding.key, revision),
            key=finding.key,
            status=DriftStatus.CONFIRMED,
            content=finding.content,
            substance=finding.substance,
            first_seen=finding.first_seen,
            last_seen=finding.seen_at,
            times_seen=1,
            actor=context.actor,
            run_id=run_id,
        )
        _emit(EventType.DRIFT_CONFIRMED, drift, draft, context)
        return
    # What the newest look saw is what a correction is decided on, though an equal disagreement is no event.
    seen = replace(
        known,
        content=finding.content if finding.seen_at >= known.last_seen else known.content,
        last_seen=max(known.last_seen, finding.seen_at),
        times_seen=known.times_seen + 1,
        run_id=run_id,
    )
    if known.has_overslept(context.now):
        content = replace(seen, content=finding.content, substance=finding.substance)
        _move(content, DriftStatus.CONFIRMED, draft, replace(context, reason="the snooze is over"))
    elif finding.substance != known.substance:
        changed = replace(seen, content=finding.content, substance=finding.substance)
        _emit(EventType.DRIFT_CHANGED, changed, draft, context)
    else:
        draft.put_drift(seen)  # seen again: a counter, not an event


def transition(command: c.TransitionDrift, draft: Draft, context: Context) -> None:
    drift = draft.drift(command.drift_id)
    if drift is None:
        raise DriftNotFound(command.drift_id)
    if command.expected_revision and command.expected_revision != drift.revision:
        raise StaleRevision(command.expected_revision, drift.revision)
    if command.to is DriftStatus.SNOOZED and command.until is not None and command.until <= context.now:
        raise InvalidValue("snoozed_until", "has passed: the case would wake with the next run")
    _move(drift, command.to, draft, context, resolution=command.resolution, command=command)


def _move(
    drift: Drift,
    to: DriftStatus,
    draft: Draft,
    context: Context,
    *,
    resolution: str = "",
    command: c.TransitionDrift | None = None,
) -> None:
    until = command.until if command else None
    moved = move(drift, to, until=until, resolution=resolution, actor=context.actor, reason=context.reason)
    _emit(_MOVED[to], moved, draft, context)


def _emit(type_: EventType, drift: Drift, draft: Draft, context: Context) -> None:
    revision = draft.revision + 1
    draft.append(
        Event(
            revision=revision,
            time=context.now,
            type=type_,
            account=drift.key.account,
            subject=drift.drift_id,
            actor=context.actor,
            request_id=context.request_id,
            reason=context.reason,
            drift=replace(drift, revision=revision),
        )
    )
