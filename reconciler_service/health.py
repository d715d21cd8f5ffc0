"""How a venue is doing, from what its reads brought. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from reconciler_service.model import Outcome, Snapshot, Source


class State(Enum):
    """UNCONFIGURED: no credentials. DEGRADED: some scope cannot be concluded from. FAILED: none can."""

    OK = "OK"
    DEGRADED = "DEGRADED"
    FAILED = "FAILED"
    UNCONFIGURED = "UNCONFIGURED"
    STARTING = "STARTING"


class PushState(Enum):
    """OFF: the venue does not push, or is told not to. DOWN: no connection, or not all of it is subscribed yet."""

    OFF = "OFF"
    DOWN = "DOWN"
    UP = "UP"


@dataclass(frozen=True, slots=True)
class Push:
    """How a venue's WebSocket is doing. Polling goes on whatever it does, so it is no part of ``Health.state``."""

    state: PushState = PushState.OFF
    up_since: datetime | None = None  # all subscriptions of this connection were there
    last_message_at: datetime | None = None  # of any kind, heartbeats too
    last_error: str = ""  # kept after recovery, without secrets
    changes: int = 0  # reasons to look since the process began, one a connection included


@dataclass(frozen=True, slots=True)
class Health:
    """One account at one venue. ``last_ok_at`` is when a read of every scope was last requested."""

    account: str
    venue: str
    source: Source
    state: State = State.STARTING
    last_ok_at: datetime | None = None
    last_error: str = ""  # kept after recovery, without secrets
    budget_left: int = 0  # request weight, of the current minute
    positions: int = 0  # in the last good check
    mode: str = ""  # how the venue keeps the account, in its own word; "" where it has none
    clock_skew: timedelta | None = None  # the venue's clock minus ours; None: not measured
    push: Push = Push()
    equity_unchecked: str = ""  # why nobody checks what the account is worth


def unanswered(health: Health, waited_s: float | None) -> Health:
    """The health while a look takes longer than others wait for: its own end, good or bad, is told after it."""
    state = health.state if health.state is State.FAILED else State.DEGRADED
    return replace(health, state=state, last_error=f"no answer for {waited_s or 0:.0f} s, still waiting")


def after(health: Health, snapshot: Snapshot, budget_left: int) -> Health:
    """The health after one more read."""
    health = replace(health, mode=snapshot.mode or health.mode)
    if snapshot.clock_skew is not None:
        health = replace(health, clock_skew=snapshot.clock_skew)
    good = [scope for scope in snapshot.scopes if scope.outcome is Outcome.OK]
    bad = [scope for scope in snapshot.scopes if scope.outcome is not Outcome.OK]
    if not bad and good:
        return replace(
            health,
            state=State.OK,
            last_ok_at=snapshot.requested_at,
            budget_left=budget_left,
            positions=sum(len(scope.positions) for scope in good),
        )
    errors = dict.fromkeys(f"{scope.scope or snapshot.venue}: {scope.error}" for scope in bad)
    return replace(
        health,
        state=State.DEGRADED if good or any(scope.outcome is Outcome.SUSPECT for scope in bad) else State.FAILED,
        last_error="; ".join(errors),
        budget_left=budget_left,
    )
