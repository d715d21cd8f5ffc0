"""Venues, and the portfolio's shares at them, as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from trueup_cli.output import Output
from trueup_cli.words import amount, name_of, state, time, word


def venues(out: Output, found: Iterable[Any]) -> None:
    """Venues and how they are doing; below, why an account's worth is not checked."""
    shown = list(found)
    columns = (
        "venue",
        "account",
        "state",
        "source",
        "last good check",
        "age s",
        "push",
        "positions",
        "budget left",
        "problem",
    )
    rows = (
        (
            venue.venue,
            venue.account,
            word(venue.state),
            state(venue, "source"),
            time(venue.last_ok_at),
            f"{venue.age_ms / 1000:.1f}" if venue.age_ms >= 0 else "",
            _push(venue),
            str(venue.positions),
            str(venue.budget_left),
            "; ".join(_problems(venue)),
        )
        for venue in shown
    )
    spare = ("last good check", "budget left", "positions")
    out.table(columns, rows, right=("age s", "positions", "budget left"), spare=spare, sentences=("problem",))
    for venue in shown:
        if venue.equity_unchecked and _is_read(venue):
            out.say(f"{venue.venue}/{venue.account}: equity not checked: {venue.equity_unchecked}")


def idle(status: Any) -> str:
    """Why the Reconciler that answers runs no cycles; empty when it does."""
    if status.active:
        return ""
    if not status.position_service_ok:
        return "no cycles are run: the Position service does not answer this Reconciler"
    return (
        "this Reconciler stands by, another one runs the cycles: shown is what it saw itself when it was asked to look"
    )


def _is_read(venue: Any) -> bool:
    return bool(venue.state != "UNCONFIGURED")


def _push(venue: Any) -> Text:
    """How a change is noticed: the venue says so, or is asked now and then."""
    return word("polled" if venue.push.state == "OFF" and _is_read(venue) else venue.push.state.replace("OFF", ""))


def _problems(venue: Any) -> Iterator[str]:
    if venue.last_error:
        yield venue.last_error
    if venue.push.state == "DOWN" and venue.push.last_error:  # it stays after recovery
        yield f"push: {venue.push.last_error}"


def allocation(out: Output, found: Any, now: datetime) -> None:
    """Shares of the portfolio, by whose word they are; what the book holds where that is another value."""
    columns = ("venue", "value USD", "by", "age s", "in the book", "share", "target", "off by", "")
    rows = (
        (
            name,
            amount(share.value, 2),
            name_of(share, "basis"),
            _age(share, now),
            _booked(share),
            amount(share.actual, 4),
            share.target,
            amount(share.drift, 4),
            word("OK" if share.within_tolerance else "WARNING"),
        )
        for name, share in sorted(found.allocations.items())
    )
    out.table(columns, rows, right=(columns[1], *columns[3:8]), spare=("age s", "in the book"))
    out.say(f"of {amount(found.portfolio_value, 2)} USD; tolerance {found.tolerance}")


def _age(share: Any, now: datetime) -> str:
    """Seconds since the venue was asked, by this machine's clock; never less than none."""
    if not share.HasField("observed_at"):
        return ""
    return f"{max(0.0, (now - share.observed_at.ToDatetime(UTC)).total_seconds()):.1f}"


def _booked(share: Any) -> str:
    booked = amount(share.booked_value, 2)
    return "" if booked == amount(share.value, 2) else booked
