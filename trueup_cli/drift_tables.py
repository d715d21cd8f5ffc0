"""Drift cases and runs as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.text import Text

from trueup_cli.output import Output
from trueup_cli.words import amount, counted, name_of, state, time

SHORT_ID = 8


def table(out: Output, drifts: Iterable[Any]) -> None:
    """Cases, a row each."""
    shown = list(drifts)
    columns = ("id", "rev", "severity", "status", "last seen", "times", "source", "what")
    rows = (
        (
            drift.drift_id[:SHORT_ID],
            str(drift.revision),
            state(drift, "severity"),
            state(drift, "status"),
            time(drift.last_seen),
            str(drift.times_seen),
            state(drift, "source"),
            drift.summary,
        )
        for drift in shown
    )
    spare = ("times", "rev", "last seen")
    out.table(columns, rows, right=("rev", "times"), spare=spare, sentences=("what",))
    out.say(counted(len(shown), "drift"))


def one(out: Output, drift: Any) -> None:
    """A case with its evidence and what would mend it."""
    out.say(Text.assemble(state(drift, "severity"), " ", drift.summary))
    out.fields(_fields(drift))
    if drift.explanation.correction and not drift.resolution:
        out.say("Would mend it:")
        changes(out, drift.explanation.correction, estimated=drift.explanation.estimated)


def _fields(drift: Any) -> Iterator[tuple[str, Text | str]]:
    yield "drift_id", drift.drift_id
    yield "kind", name_of(drift, "kind")
    yield "status", state(drift, "status")
    yield "source", state(drift, "source")
    yield "account", drift.account
    yield "position_id", drift.position_id
    yield "book", _observed(drift.local)
    yield "venue", _observed(drift.actual)
    yield "worth", f"{amount(drift.notional_delta, 2)} USD" if drift.notional_delta else ""
    yield "rule", drift.rule
    yield "first seen", time(drift.first_seen)
    yield "last seen", f"{time(drift.last_seen)} ({counted(drift.times_seen, 'time')})"
    yield "snoozed until", time(drift.snoozed_until)
    yield "cause", name_of(drift.explanation, "cause")
    yield "why", drift.explanation.text
    for evidence in drift.explanation.evidence:
        yield evidence.kind, f"{evidence.text} ({evidence.id})" if evidence.id else evidence.text
    yield "resolution", drift.resolution
    yield "by", drift.actor
    yield "reason", drift.reason
    yield "revision", str(drift.revision)


def _observed(side: Any) -> str:
    if side.size in ("", "0"):
        return "nothing"
    entry = f" at {amount(side.entry_price)}" if side.entry_price else ""
    leverage = f", leverage {amount(side.leverage)}" if side.leverage else ""
    return f"{name_of(side, 'side')} {side.size}{entry}{leverage}"


def changes(out: Output, correction: Iterable[Any], *, estimated: bool, assumed_price: str = "") -> None:
    """A correction, before and after."""
    rows = [(each.field, each.before or "-", Text(each.after or "-", style="bold")) for each in correction]
    out.table(("field", "before", "after"), rows, right=("before", "after"))
    if estimated:
        at = f" at an assumed price of {assumed_price}" if assumed_price else ""
        out.say(f"It is an estimate{at}: not by fills.")


def runs(out: Output, found: Iterable[Any]) -> None:
    """Runs, a row each."""
    columns = (
        "started",
        "trigger",
        "source",
        "compared",
        "confirmed",
        "suspected",
        "resolved",
        "scopes read",
        "problem",
    )
    rows = (
        (
            time(run.started_at),
            run.trigger,
            state(run, "source"),
            str(run.positions_compared),
            Text(str(run.confirmed), style="bold red" if run.confirmed else ""),
            str(run.suspected),
            str(run.resolved),
            f"{sum(name_of(check, 'outcome') == 'OK' for check in run.checks)} of {len(run.checks)}",
            "; ".join(dict.fromkeys(f"{check.venue}: {check.error}" for check in run.checks if check.error)),
        )
        for run in found
    )
    numbers, spare = ("compared", "confirmed", "suspected", "resolved"), ("trigger", "suspected", "compared")
    out.table(columns, rows, right=numbers, spare=spare, sentences=("problem",))
