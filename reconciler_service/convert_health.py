"""How the venues are doing and what they hold, as messages."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from trueup.reconciler.v1 import reconciler_service_pb2
from trueup.types.v1 import drift_pb2

from reconciler_service.convert import decimal_text, source, stamp
from reconciler_service.health import Health, Push
from reconciler_service.overview import Overview

Overviewed = TypeVar(
    "Overviewed",
    reconciler_service_pb2.ReconcileResponse,
    reconciler_service_pb2.GetStatusResponse,
    reconciler_service_pb2.GetLastRunResponse,
)


def health(seen: Health, now: datetime) -> drift_pb2.VenueHealth:
    """How a venue is doing."""
    return drift_pb2.VenueHealth(
        account=seen.account,
        venue=seen.venue,
        state=seen.state.value,
        source=source(seen.source),
        last_ok_at=stamp(seen.last_ok_at),
        age_ms=_age_ms(seen.last_ok_at, now),
        last_error=seen.last_error,
        budget_left=seen.budget_left,
        positions=seen.positions,
        account_mode=seen.mode,
        clock_skew_ms=None if seen.clock_skew is None else round(seen.clock_skew.total_seconds() * 1_000),
        push=push(seen.push, now),
        equity_unchecked=seen.equity_unchecked,
    )


def push(seen: Push, now: datetime) -> drift_pb2.PushHealth:
    """How a venue's WebSocket is doing."""
    return drift_pb2.PushHealth(
        state=seen.state.value,
        up_since=stamp(seen.up_since),
        last_message_at=stamp(seen.last_message_at),
        message_age_ms=_age_ms(seen.last_message_at, now),
        last_error=seen.last_error,
        changes=seen.changes,
    )


def _age_ms(moment: datetime | None, now: datetime) -> int:
    """Milliseconds since then, -1 when never."""
    return -1 if moment is None else max(0, round((now - moment).total_seconds() * 1_000))


def with_overview(answer: Overviewed, seen: Overview) -> Overviewed:
    """Add what the venues hold to an answer."""
    for venue, view in seen.venues.items():
        sent = reconciler_service_pb2.VenueView(
            positions=view.positions, allocation=decimal_text(view.share), timestamp=stamp(view.at)
        )
        answer.exchanges[venue].CopyFrom(sent)
    answer.total_positions = seen.positions
    answer.assets.extend(seen.assets)
    return answer
