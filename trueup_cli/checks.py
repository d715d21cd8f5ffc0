"""What `trueup doctor` looks at: each check says how it is, and what to do about it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from trueup.reconciler.v1 import reconciler_service_pb2 as pb

from grpckit.errors import RpcError, StartupError
from reconciler_service.opening import open_venues
from reconciler_service.settings import ReconcilerSettings
from reconciler_service.venues import Venue, VenueError, VenueRefused
from trueup_cli.client import Client
from trueup_cli.failures import HINTS
from trueup_cli.words import counted

_SKEW = timedelta(seconds=1)
_LARGE_SKEW = timedelta(seconds=10)  # a venue's state that is older is not believed
_LATE_CYCLES = 5


class Level(StrEnum):
    """How it is. Only a PROBLEM makes the exit code 1."""

    OK = "OK"
    WARNING = "WARNING"
    PROBLEM = "PROBLEM"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check; ``todo`` is empty when there is nothing to do. ``answers``: it can be asked for more."""

    level: Level
    what: str
    says: str
    todo: str = ""
    answers: bool = False


async def reconciler(client: Client) -> AsyncIterator[Finding]:
    """What the Reconciler says of itself, of the Position service, of the clock, and of every venue."""
    began = datetime.now(UTC)
    try:
        status = await client.reconciler.GetStatus(pb.GetStatusRequest())
    except RpcError as error:
        todo = HINTS.get(error.reason, "look into the Reconciler's log")
        yield Finding(Level.PROBLEM, "reconciliation", error.message or error.code.name, todo)
        return
    yield clock("clock of the Reconciler", status.timestamp.ToDatetime(UTC), began, datetime.now(UTC))
    if status.position_service_ok:
        yield Finding(Level.OK, "reconciler -> book", "the Reconciler reaches the Position service")
    else:
        todo = "set its POSITION_ADDRESS"
        yield Finding(Level.PROBLEM, "reconciler -> book", "the Reconciler does not reach the Position service", todo)
    for finding in seen_by(status):
        yield finding


def seen_by(status: pb.GetStatusResponse) -> Iterator[Finding]:
    """What a Reconciler says of runs and venues. One that stands by looks at none, and says that instead."""
    if status.position_service_ok and not status.active:
        says = "the Reconciler that answers stands by, another one runs the cycles"
        yield Finding(Level.OK, "reconciliation", says, "for its venues ask that one, or again")
        return
    yield _cycles(status)
    for venue in status.venues:
        yield _venue(venue)


def _cycles(status: pb.GetStatusResponse) -> Finding:
    what = "reconciliation"
    if not status.HasField("last_run"):
        return Finding(Level.WARNING, what, "no run has finished yet", "trueup reconcile runs one now")
    age = status.timestamp.ToDatetime(UTC) - status.last_run.finished_at.ToDatetime(UTC)
    says = f"last run {age.total_seconds():.0f} s ago, every {status.interval_ms / 1000:g} s; {counted(status.open_drifts, 'open drift')}"
    if age > timedelta(milliseconds=status.interval_ms) * _LATE_CYCLES + timedelta(seconds=60):
        return Finding(Level.WARNING, what, says, "look into the Reconciler's log: its cycles are late")
    return Finding(Level.OK, what, says)


_TODO = {
    "DEGRADED": "some scope is not believed; trueup runs shows since when",
    "FAILED": "it is not read: nothing is concluded of it until it answers",
    "UNCONFIGURED": "fine if you do not trade there",
    "STARTING": "it has not been read yet: look again",
}


def _venue(venue: Any) -> Finding:
    what = f"venue {venue.venue} ({venue.account})"
    if venue.state == "OK":
        held = counted(venue.positions, "position")
        return Finding(Level.OK, what, f"read {max(venue.age_ms, 0) / 1000:.0f} s ago, {held}")
    level = Level.PROBLEM if venue.state == "FAILED" else Level.WARNING
    says = f"{venue.state}: {venue.last_error}" if venue.last_error else venue.state
    return Finding(level, what, says, _TODO.get(venue.state, ""))


async def venues(settings: ReconcilerSettings) -> AsyncIterator[Finding]:
    """Without a Reconciler to ask: whether each venue takes the address or key, read-only."""
    try:
        opened, missing = open_venues(settings)
    except StartupError as error:
        yield Finding(Level.PROBLEM, "venues", str(error))
        return
    for health in missing:
        what = f"venue {health.venue} ({health.account})"
        yield Finding(Level.WARNING, what, f"UNCONFIGURED: {health.last_error}", _TODO["UNCONFIGURED"])
    for venue in opened:
        yield await _checked(venue)


async def _checked(venue: Venue) -> Finding:
    what = f"venue {venue.name} ({venue.account})"
    try:
        await venue.check()
    except VenueRefused as error:
        return Finding(Level.PROBLEM, what, str(error))
    except VenueError as error:
        return Finding(Level.PROBLEM, what, str(error), "check the network, the URL, and the venue's status page")
    finally:
        await venue.close()
    return Finding(Level.OK, what, f"{venue.source.value}: it takes the address or key, which can only read")


def clock(what: str, theirs: datetime, began: datetime, ended: datetime) -> Finding:
    """Their clock against ours; what the way there and back took cannot be told from a difference."""
    doubt = (ended - began) / 2
    off = theirs - (began + doubt)
    size = abs(off) - doubt
    says = f"{off.total_seconds():+.3f} s against this machine's"
    if size <= _SKEW:
        return Finding(Level.OK, what, says)
    level = Level.PROBLEM if size > _LARGE_SKEW else Level.WARNING
    return Finding(level, what, says, "set the clocks right (NTP)")


def folder(path: Path) -> Path:
    """The first folder on the way to a path that exists."""
    return next(parent for parent in (path, *path.parents) if parent.exists())
