"""`trueup runs`, `reconcile`, `allocation`, `venues`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from trueup.reconciler.v1 import reconciler_service_pb2 as pb

from trueup_cli import drift_tables, venue_tables
from trueup_cli.client import pages
from trueup_cli.failures import FOUND, REFUSED
from trueup_cli.listing import show
from trueup_cli.options import Account, FindingIsExit4, Limit
from trueup_cli.output import note
from trueup_cli.session import Session, talks
from trueup_cli.words import name_of

app = typer.Typer(rich_markup_mode="markdown")


@app.command()
@talks
async def runs(session: Session, limit: Limit = 20) -> None:
    """List reconciliation runs, newest first.

    Example: trueup runs --limit 5
    """
    rows = pages(session.client.reconciler.ListRuns, pb.ListRunsRequest(page_size=min(limit, 1000)))
    await show(session.out, rows, drift_tables.runs, limit)


@app.command()
@talks
async def reconcile(
    session: Session,
    venue: Annotated[list[str] | None, typer.Option("--venue", help="Only this one; may be given again.")] = None,
    account: Annotated[list[str] | None, typer.Option("--account", help="As --venue.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Find and show, record nothing.")] = False,
    exit_code: FindingIsExit4 = False,
) -> int | None:
    """Compare the book with the venues now, and wait for the result.

    With --exit-code: 4 when there are drifts, 1 when a venue could not be read and so nothing is known.

    Example: trueup reconcile --exit-code
    """
    request = pb.ReconcileRequest(venues=venue or [], accounts=account or [], dry_run=dry_run)
    done = await session.client.reconciler.Reconcile(request)
    if session.out.is_json:
        session.out.json(done)
    else:
        drift_tables.runs(session.out, [done.run, *done.other_runs])
        if done.drifts:
            drift_tables.table(session.out, done.drifts)
    return verdict(done) if exit_code else None


def verdict(done: pb.ReconcileResponse) -> int | None:
    """The exit code for what was found, also by venues that were looked at by themselves."""
    runs = (done.run, *done.other_runs)
    unread = any(name_of(check, "outcome") != "OK" for run in runs for check in run.checks)
    return FOUND if any(run.confirmed for run in runs) else REFUSED if unread else None


@app.command()
@talks
async def allocation(
    session: Session,
    portfolio_value: Annotated[
        str, typer.Option("--portfolio-value", help="USD; the sum of the notional values when left out.")
    ] = "",
    account: Account = "",
    exit_code: FindingIsExit4 = False,
) -> int | None:
    """Compare the venues' shares of the portfolio with their targets.

    Example: trueup allocation --portfolio-value 100000
    """
    request = pb.ValidateAllocationRequest(portfolio_value=portfolio_value, account=account)
    found = await session.client.reconciler.ValidateAllocation(request)
    if session.out.is_json:
        session.out.json(found)
    else:
        venue_tables.allocation(session.out, found, datetime.now(UTC))
    off = any(not share.within_tolerance for share in found.allocations.values())
    return FOUND if off and exit_code else None


@app.command()
@talks
async def venues(session: Session) -> None:
    """Show how each venue is doing: state, age of the last good check, push, budget left.

    Below, also beside JSON, whether the Reconciler that answers runs no cycles.

    Example: trueup venues
    """
    status = await session.client.reconciler.GetStatus(pb.GetStatusRequest())
    if session.out.is_json:
        for venue in status.venues:
            session.out.json(venue)
    else:
        venue_tables.venues(session.out, status.venues)
    if idle := venue_tables.idle(status):
        (note if session.out.is_json else session.out.say)(idle)
