"""`trueup positions export`: the whole history, or the positions, as NDJSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from trueup.position.v1 import position_pb2
from trueup.position.v1 import position_service_pb2 as pb

from grpckit.json_form import dumps, to_json
from trueup_cli import options
from trueup_cli.client import pages
from trueup_cli.failures import Failure
from trueup_cli.options import Account, AsOf, Venue
from trueup_cli.output import note
from trueup_cli.progress import bar
from trueup_cli.session import Session, talks
from trueup_cli.whole_file import replaced
from trueup_cli.words import counted

_EVERY: list[Any] = position_pb2.PositionStatus.values()[1:]


@talks
async def export(
    session: Session,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; standard output when left out.")
    ] = None,
    positions: Annotated[bool, typer.Option("--positions", help="The positions, live and ended, not events.")] = False,
    account: Account = "",
    venue: Venue = "",
    as_of: AsOf = "",
) -> None:
    """Write the whole history as NDJSON, oldest event first; or with --positions the positions.

    A file is replaced when all is written. `trueup positions import` takes exported positions.

    Example: trueup positions export --positions -o book.ndjson
    """
    client = session.client.positions
    if as_of and not positions:
        raise Failure("--as-of goes with --positions: the history is all of it")
    head = (await client.GetPortfolioSummary(pb.GetPortfolioSummaryRequest())).revision
    if positions:
        wanted = pb.ListPositionsRequest(account=account, venue=venue, statuses=_EVERY, **options.as_of(as_of))
        rows, what, total = pages(client.ListPositions, wanted), "positions", None
    else:
        history = pb.ListPositionHistoryRequest(account=account, venue=venue)
        rows, what, total = pages(client.ListPositionHistory, history), "events", head
    count = 0
    with _opened(output) as file, bar() as progress:
        task = progress.add_task(what, total=total)
        async for row in rows:
            file.write(dumps(to_json(row)).decode() + "\n")
            count += 1
            progress.update(task, completed=count if positions else row.revision)
    written = counted(count, what.removesuffix("s"))
    note(written if as_of else f"{written}, at revision {head} or later")


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears under its name when all is written. Raises Failure."""
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    with replaced(path) as draft, draft.open("w", encoding="utf-8") as file:
        yield file
