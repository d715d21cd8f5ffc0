"""`trueup positions export`: the whole history as NDJSON, or the positions as NDJSON or CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from trueup.position.v1 import position_pb2
from trueup.position.v1 import position_service_pb2 as pb

from grpckit.json_form import dumps, to_json
from trueup_cli import options
from trueup_cli.client import pages
from trueup_cli.failures import USAGE, Failure
from trueup_cli.options import Account, AsOf, Venue
from trueup_cli.output import note
from trueup_cli.progress import bar
from trueup_cli.session import Session, talks
from trueup_cli.whole_file import replaced
from trueup_cli.words import counted, name_of

_EVERY: list[Any] = position_pb2.PositionStatus.values()[1:]
# Fields of Position, under their names, so that `import` takes the file as it is.
_COLUMNS = (
    "account", "venue", "symbol", "asset", "product", "side", "size", "entry_price", "status", "leverage", "margin_mode",
    "liquidation_price", "mark_price", "unrealized_pnl", "realized_pnl", "funding", "opened_at", "closed_at", "labels",
    "position_id", "revision",
)  # fmt: skip


@talks
async def export(
    session: Session,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; standard output when left out.")
    ] = None,
    positions: Annotated[bool, typer.Option("--positions", help="The positions, live and ended, not events.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="CSV with a header, not NDJSON; of a file named .csv as well.")
    ] = False,
    account: Account = "",
    venue: Venue = "",
    as_of: AsOf = "",
) -> None:
    """Write the whole history as NDJSON, oldest event first; or with --positions the positions, also as CSV.

    A file is replaced when all is written. `trueup positions import` takes exported positions.

    Example: trueup positions export --positions -o book.csv
    """
    client = session.client.positions
    as_csv = as_csv or (output is not None and output.suffix.lower() == ".csv")
    if as_of and not positions:
        raise Failure("--as-of goes with --positions: the history is all of it", USAGE)
    if as_csv and not positions:
        raise Failure("CSV goes with --positions: an event is no row of cells", USAGE)
    head = (await client.GetPortfolioSummary(pb.GetPortfolioSummaryRequest())).revision
    if positions:
        wanted = pb.ListPositionsRequest(account=account, venue=venue, statuses=_EVERY, **options.as_of(as_of))
        rows, what, total = pages(client.ListPositions, wanted), "positions", None
    else:
        history = pb.ListPositionHistoryRequest(account=account, venue=venue)
        rows, what, total = pages(client.ListPositionHistory, history), "events", head
    count = 0
    with _opened(output) as file, bar() as progress:
        write = _cells(file) if as_csv else _lines(file)
        task = progress.add_task(what, total=total)
        async for row in rows:
            write(row)
            count += 1
            progress.update(task, completed=count if positions else row.revision)
    written = counted(count, what.removesuffix("s"))
    note(written if as_of else f"{written}, at revision {head} or later")


def _lines(file: TextIO) -> Callable[[Any], None]:
    def write(row: Any) -> None:
        file.write(dumps(to_json(row)).decode() + "\n")

    return write


def _cells(file: TextIO) -> Callable[[Any], None]:
    """Writes the header, then a row each."""
    to_file = csv.writer(file, lineterminator="\n")
    to_file.writerow(_COLUMNS)

    def write(position: Any) -> None:
        said = to_json(position)
        enums = {field.name for field in position.DESCRIPTOR.fields if field.enum_type is not None}
        short = {name: name_of(position, name) for name in enums}
        found = said | short | {"labels": _labels(dict(position.labels))}
        to_file.writerow([found.get(name, "") for name in _COLUMNS])

    return write


def _labels(labels: dict[str, str]) -> str:
    """As people write them, or as JSON where one holds what separates them."""
    if any({"=", ";"} & set(name) or ";" in text or name.startswith("{") for name, text in labels.items()):
        return dumps(labels).decode()
    return ";".join(f"{name}={labels[name]}" for name in sorted(labels))


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears under its name when all is written. Raises Failure."""
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    with replaced(path) as draft, draft.open("w", encoding="utf-8") as file:
        yield file
