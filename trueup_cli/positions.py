"""`trueup positions`: what the book holds."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer
from trueup.position.v1 import position_pb2
from trueup.position.v1 import position_service_pb2 as pb

from trueup_cli import book_export, book_import, options, position_tables, trading, watching
from trueup_cli.asking import ask
from trueup_cli.client import pages
from trueup_cli.failures import FOUND, REFUSED
from trueup_cli.listing import show
from trueup_cli.options import Account, AsOf, Asset, FindingIsExit4, Limit, Symbol, Venue
from trueup_cli.output import note
from trueup_cli.session import Session, talks
from trueup_cli.words import amount, counted, gain

app = typer.Typer(
    name="positions",
    help="List, open, reduce, close, watch, export and import positions.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

_EVERY: list[Any] = position_pb2.PositionStatus.values()[1:]
_ENDED: list[Any] = [position_pb2.POSITION_STATUS_CLOSED, position_pb2.POSITION_STATUS_LIQUIDATED]

All = Annotated[bool, typer.Option("--all", help="Closed and liquidated ones, too.")]
Closed = Annotated[bool, typer.Option("--closed", help="Closed and liquidated ones only.")]


@app.command("list")
@talks
async def list_(
    session: Session,
    account: Account = "",
    venue: Venue = "",
    symbol: Symbol = "",
    asset: Asset = "",
    every: All = False,
    closed: Closed = False,
    as_of: AsOf = "",
    limit: Limit = 0,
) -> None:
    """List positions; live ones unless told otherwise.

    Example: trueup positions list --venue hyperliquid
    """
    request = pb.ListPositionsRequest(
        account=account,
        venue=venue,
        symbol=symbol,
        asset=asset,
        statuses=_EVERY if every else _ENDED if closed else [],
        **options.as_of(as_of),
    )
    table = partial(position_tables.table, ended=every or closed)
    await show(session.out, pages(session.client.positions.ListPositions, request), table, limit)


@app.command()
@talks
async def get(
    session: Session,
    position: options.Ref,
    venue: options.OfVenue = "",
    account: options.OfAccount = "",
    as_of: AsOf = "",
) -> None:
    """Show one position with everything that is known of it.

    Example: trueup positions get BTC/USD
    """
    request = pb.GetPositionRequest(**options.reference(position, venue, account), **options.as_of(as_of))
    found = (await session.client.positions.GetPosition(request)).position
    session.out.json(found) if session.out.is_json else position_tables.one(session.out, found)


@app.command()
@talks
async def history(
    session: Session,
    position: Annotated[
        str, typer.Argument(metavar="[POSITION]", help="BTC/USD, a symbol, or a position id; all when left out.")
    ] = "",
    venue: Venue = "",
    account: Account = "",
    after_revision: options.AfterRevision = None,
    limit: Limit = 0,
) -> None:
    """List what happened to a position, oldest first; also of closed ones.

    Example: trueup positions history BTC/USD
    """
    named = options.reference(position, venue, account) if position else {"venue": venue, "account": account}
    request = pb.ListPositionHistoryRequest(after_revision=after_revision or 0, **named)
    rows = pages(session.client.positions.ListPositionHistory, request)
    if not await show(session.out, rows, position_tables.events, limit) and position and not after_revision:
        note(f"no position that {position} names was ever there")


@app.command("at-risk")
@talks
async def at_risk(
    session: Session,
    account: Account = "",
    venue: Venue = "",
    threshold: Annotated[
        str, typer.Option("--threshold", help="Percent of the mark; the service's own when empty.")
    ] = "",
    exit_code: FindingIsExit4 = False,
) -> int | None:
    """List the positions near their liquidation price, the nearest first.

    Example: trueup positions at-risk --threshold 10
    """
    request = pb.ListPositionsAtRiskRequest(account=account, venue=venue, threshold=threshold)
    found = await show(session.out, pages(session.client.positions.ListPositionsAtRisk, request), position_tables.table)
    return FOUND if found and exit_code else None


@app.command()
@talks
async def summary(session: Session, account: Account = "", venue: Venue = "") -> None:
    """Add the live positions up.

    Example: trueup positions summary
    """
    request = pb.GetPortfolioSummaryRequest(account=account, venue=venue)
    total = await session.client.positions.GetPortfolioSummary(request)
    if session.out.is_json:
        session.out.json(total)
        return
    session.out.fields(
        [
            ("positions", str(total.total_positions)),
            ("at risk", str(total.positions_at_risk)),
            ("unrealised PnL", gain(total.total_unrealized_pnl)),
            ("realised PnL of live ones", gain(total.total_realized_pnl)),
            ("notional", amount(total.total_notional_value, 2)),
            ("long", amount(total.long_notional, 2)),
            ("short", amount(total.short_notional, 2)),
            ("net", amount(total.net_notional, 2)),
            ("assets", ", ".join(total.assets)),
            ("without a mark, left out", ", ".join(total.missing_marks)),
            ("with an old mark, left out", ", ".join(total.old_marks)),
            ("revision", str(total.revision)),
        ]
    )


@app.command()
@talks
async def verify(session: Session) -> int | None:
    """Check that nobody edited the history: every event's hash covers all before it.

    Exit code 1 when it does not hold.

    Example: trueup positions verify
    """
    verdict = await session.client.positions.VerifyHistory(pb.VerifyHistoryRequest())
    if session.out.is_json:
        session.out.json(verdict)
    elif verdict.intact:
        session.out.say(f"intact: {verdict.events_checked} events up to revision {verdict.revision}")
    else:
        session.out.say(f"BROKEN at revision {verdict.first_broken_revision}: {verdict.problem}")
    return None if verdict.intact else REFUSED


@app.command()
@talks
async def purge(
    session: Session,
    older_than_days: Annotated[
        int, typer.Option(min=0, max=36_500, help="Ended more than so many days ago; 0: the service's RETENTION_DAYS.")
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them, remove nothing.")] = False,
) -> None:
    """Count the positions that ended long ago, ask, and take them out of the listings; their history stays.

    With API keys it takes one of the admin scope, for every account.

    Example: trueup positions purge --older-than-days 90 --dry-run
    """
    request = pb.PurgeClosedPositionsRequest(older_than_days=older_than_days, dry_run=True)
    answer = await session.client.positions.PurgeClosedPositions(request)
    if answer.purged and not dry_run:
        if not yes:
            note(f"{_ended(answer)} would be removed from the listings, nothing from the history.")
            ask()
        request.dry_run = False
        answer = await session.client.positions.PurgeClosedPositions(request)
    if session.out.is_json:
        session.out.json(answer)
    else:
        session.out.say(f"{_ended(answer)} {'would be ' if dry_run else ''}removed; revision {answer.revision}")


def _ended(answer: pb.PurgeClosedPositionsResponse) -> str:
    return counted(answer.purged, "ended position")


app.command("open", cls=options.TakesAmounts)(trading.open_)
app.command(cls=options.TakesAmounts)(trading.reduce)
app.command(cls=options.TakesAmounts)(trading.close)
app.command("watch")(watching.positions)
app.command("export")(book_export.export)
app.command("import")(book_import.import_)
