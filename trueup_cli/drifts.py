"""`trueup drifts`: where book and venues disagree, and what is done about it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from trueup.reconciler.v1 import reconciler_service_pb2 as pb
from trueup.types.v1 import drift_pb2

from trueup_cli import drift_tables, options, watching
from trueup_cli.asking import ask
from trueup_cli.client import pages
from trueup_cli.failures import FOUND, Failure
from trueup_cli.listing import show
from trueup_cli.options import Account, ExpectedRevision, FindingIsExit4, Limit, Reason, RequestId, Symbol, Venue
from trueup_cli.output import Output
from trueup_cli.session import Session, talks
from trueup_cli.words import near

app = typer.Typer(
    name="drifts",
    help="List, watch and resolve where book and venues disagree.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.command("watch")(watching.drifts)

_ALL: list[Any] = drift_pb2.DriftStatus.values()[2:]  # whatever is kept
_PERIOD = re.compile(r"(\d{1,6})([mhd])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

DriftId = Annotated[
    str,
    typer.Argument(
        metavar="DRIFT", help="Its id; of an open case, the id's beginning or the only one's symbol will do."
    ),
]


class Action(StrEnum):
    """How a drift is resolved."""

    APPLY_FILLS = "apply-fills"
    ADOPT_VENUE = "adopt-venue"
    KEEP_LOCAL = "keep-local"
    DISMISS = "dismiss"


@app.command("list")
@talks
async def list_(
    session: Session,
    account: Account = "",
    venue: Venue = "",
    symbol: Symbol = "",
    every: Annotated[bool, typer.Option("--all", help="Resolved ones, too.")] = False,
    limit: Limit = 0,
    exit_code: FindingIsExit4 = False,
) -> int | None:
    """List drift cases, newest first; open ones unless told otherwise.

    Example: trueup drifts list --venue hyperliquid
    """
    request = pb.ListDriftsRequest(account=account, venue=venue, symbol=symbol, statuses=_ALL if every else [])
    found = await show(session.out, pages(session.client.reconciler.ListDrifts, request), drift_tables.table, limit)
    return FOUND if found and exit_code else None


@app.command()
@talks
async def get(session: Session, drift: DriftId) -> None:
    """Show one case: what each side says, why, the evidence, and what would mend it.

    Example: trueup drifts get 5d1c0f3e
    """
    request = pb.GetDriftRequest(drift_id=await _full_id(session, drift))
    _show(session, (await session.client.reconciler.GetDrift(request)).drift)


@app.command()
@talks
async def ack(
    session: Session,
    drift: DriftId,
    reason: Reason = "",
    expected_revision: ExpectedRevision = 0,
    request_id: RequestId = "",
) -> None:
    """Take a case on: it stays open, and others see that somebody is at it.

    Example: trueup drifts ack 5d1c0f3e --reason "looking into it"
    """
    request = pb.AcknowledgeDriftRequest(
        drift_id=await _full_id(session, drift),
        reason=reason,
        expected_revision=expected_revision,
        request_id=session.writes(request_id),
    )
    _show(session, (await session.client.reconciler.AcknowledgeDrift(request)).drift)


@app.command()
@talks
async def snooze(
    session: Session,
    drift: DriftId,
    until: Annotated[str, typer.Argument(help="How long (30m, 4h, 2d), or until when (2026-03-01T12:00Z).")],
    reason: Reason = "",
    expected_revision: ExpectedRevision = 0,
    request_id: RequestId = "",
) -> None:
    """Silence a case for a time.

    Example: trueup drifts snooze 5d1c0f3e 4h --reason "the venue is in maintenance"
    """
    request = pb.SnoozeDriftRequest(
        drift_id=await _full_id(session, drift),
        until=_until(until),
        reason=reason,
        expected_revision=expected_revision,
        request_id=session.writes(request_id),
    )
    _show(session, (await session.client.reconciler.SnoozeDrift(request)).drift)


def _spelling(word: str) -> str:
    """What is typed as the commands spell it: the contract writes APPLY_FILLS, and so do the services' errors."""
    return word.lower().replace("_", "-").removeprefix("resolve-action-")


@app.command(context_settings={"token_normalize_func": _spelling})
@talks
async def resolve(
    session: Session,
    drift: DriftId,
    action: Annotated[
        Action, typer.Argument(help="How. As the API spells it will do as well: APPLY_FILLS is apply-fills.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be changed, change nothing.")] = False,
    reason: Reason = "",
    request_id: RequestId = "",
) -> None:
    """Show what a resolution would change, ask, and do it. Nothing else than what was shown is changed.

    apply-fills books the fills that never arrived; adopt-venue makes the book say what the venue says; keep-local keeps
    the book, and the case acknowledged; dismiss ends the case.

    Example: trueup drifts resolve BTC apply-fills --reason "the bot was down"
    """
    request = pb.ResolveDriftRequest(
        drift_id=await _full_id(session, drift),
        action=f"RESOLVE_ACTION_{action.name}",
        reason=reason,
        dry_run=True,
    )
    resolve_drift = session.client.reconciler.ResolveDrift
    preview = await resolve_drift(request)
    if dry_run and session.out.is_json:
        session.out.json(preview)
        return
    if not (yes and session.out.is_json):
        _show_preview(session.out, preview, action)
    if dry_run:
        return
    if not yes:
        ask()
    request.dry_run = False
    request.expected_revision = preview.drift.revision
    request.request_id = session.writes(request_id)
    done = await resolve_drift(request)
    if session.out.is_json:
        session.out.json(done)
    else:
        session.out.say(f"{done.drift.resolution or 'kept as it is'}; revision {done.revision}")


def _show_preview(out: Output, preview: Any, action: Action) -> None:
    if out.is_json:  # standard output is for the answer
        out = Output(is_json=False)
        out.console = Console(stderr=True, highlight=False)
    out.say(preview.drift.summary)
    if preview.correction:
        drift_tables.changes(out, preview.correction, estimated=preview.estimated, assumed_price=preview.assumed_price)
    else:
        out.say(f"{action.value} changes nothing in the book.")


def _show(session: Session, drift: Any) -> None:
    session.out.json(drift) if session.out.is_json else drift_tables.one(session.out, drift)


async def _full_id(session: Session, text: str) -> str:
    """The id of a case; an open one is also named by its id's beginning or by its symbol, if that is no other's.

    Raises Failure.
    """
    try:
        return str(UUID(text))
    except ValueError:
        pass
    cases = [case async for case in pages(session.client.reconciler.ListDrifts, pb.ListDriftsRequest())]
    found: list[str] = [case.drift_id for case in cases if _is_named(case, text)]
    if len(found) != 1:
        said = f"{len(found)} open drifts are" if found else "no open drift is"
        said = f"{said} {text or 'named'}"
        if not found and (meant := near(text, (case.symbol for case in cases))):
            said += f", but {', '.join(meant)} {'is' if len(meant) == 1 else 'are'}"
        raise Failure(f"{said}: `trueup drifts list` shows them; of a resolved one, give the whole id")
    return found[0]


def _is_named(case: drift_pb2.Drift, text: str) -> bool:
    return bool(text) and (case.drift_id.startswith(text.lower()) or text in (case.symbol, case.asset))


def _until(text: str) -> Timestamp:
    """When a period from now ends, or a time. Raises Failure."""
    period = _PERIOD.fullmatch(text)
    if period is None:
        return options.timestamp(text, "UNTIL")
    until = Timestamp()
    until.FromDatetime(datetime.now(UTC) + timedelta(**{_UNITS[period[2]]: int(period[1])}))
    return until
