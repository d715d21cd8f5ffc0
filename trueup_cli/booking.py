"""A book from a file, checked as a whole, then booked; twice is once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trueup.position.v1 import position_service_pb2 as pb

from grpckit.errors import RpcError
from grpckit.json_form import to_json
from trueup_cli import book_file
from trueup_cli.book_file import BadBook, Row
from trueup_cli.client import Client, Unreachable, pages
from trueup_cli.failures import REFUSED, UNREACHABLE, Failure
from trueup_cli.progress import bar
from trueup_cli.session import Session
from trueup_cli.words import name_of

_IN_FLIGHT = 32  # calls that are committed together


@dataclass(slots=True)
class Outcome:
    """What became of the rows."""

    booked: int = 0
    before: int = 0  # booked by an earlier import
    revision: int = 0
    refused: list[str] = field(default_factory=list)
    unreachable: Unreachable | None = None


async def book(session: Session, file: Path, *, dry_run: bool, batch: str) -> int | None:
    """Open the positions of a file, or show what would be opened; the exit code. Raises Failure."""
    try:
        rows, skipped = book_file.read(_text(file), batch)
    except BadBook as error:
        raise Failure(f"nothing was booked: {error}") from None
    known = await _known(session.client, rows)
    if dry_run:
        _show(session, rows, known, skipped)
        return None
    return _tell(
        session, await _book(session.client, [row for row in rows if row.line not in known], len(known)), skipped
    )


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failure(f"cannot read {file}: it is not UTF-8 text") from None


async def _known(client: Client, rows: list[Row]) -> set[int]:
    """The lines whose positions are live because of an earlier import. Raises Failure for those live otherwise."""
    live = {
        (position.account, position.venue, position.symbol): position.position_id
        async for position in pages(client.positions.ListPositions, pb.ListPositionsRequest())
    }
    known, problems = set(), []
    for row in rows:
        if not (position_id := live.get(row.key)):
            continue
        history = pb.ListPositionHistoryRequest(position_id=position_id, page_size=1)
        (opening,) = (await client.positions.ListPositionHistory(history)).events
        if opening.request_id == row.request.request_id:
            known.add(row.line)
        else:
            problems.append(f"line {row.line}: {' '.join(row.key)} is live already, position {position_id}")
    if problems:
        raise Failure(f"nothing was booked: {BadBook(problems)}")
    return known


async def _book(client: Client, rows: list[Row], known: int) -> Outcome:
    """Open them all. Nothing more is begun once nobody answers."""
    head = (await client.positions.GetPortfolioSummary(pb.GetPortfolioSummaryRequest())).revision
    outcome = Outcome(before=known, revision=head)
    waiting = iter(rows)
    with bar() as progress:
        task = progress.add_task("booking", total=len(rows))

        async def work(waiting: Iterator[Row]) -> None:
            for row in waiting:
                if outcome.unreachable:
                    return
                await _open(client, row, head, outcome)
                progress.advance(task)

        await asyncio.gather(*(work(waiting) for _ in range(_IN_FLIGHT)))
    return outcome


async def _open(client: Client, row: Row, head: int, outcome: Outcome) -> None:
    try:
        answer = await client.positions.OpenPosition(row.request)
    except Unreachable as error:
        outcome.unreachable = error
    except RpcError as error:
        outcome.refused.append(f"line {row.line}: {error.message}")
    else:
        # The first answer again, when an earlier import booked what has been closed since.
        if answer.revision > head:
            outcome.booked += 1
        else:
            outcome.before += 1
        outcome.revision = max(outcome.revision, answer.revision)


def _show(session: Session, rows: list[Row], known: set[int], skipped: int) -> None:
    """What would be booked."""
    if session.out.is_json:
        for row in rows:
            line: dict[str, Any] = {"line": row.line, "booked_before": row.line in known}
            session.out.json(line | {"request": to_json(row.request)})
        return
    columns = ("line", "account", "venue", "symbol", "asset", "side", "size", "entry", "lev", "")
    shown = (
        (
            str(row.line),
            *row.key,
            row.request.asset,
            name_of(row.request, "side") or "LONG",
            row.request.size,
            row.request.entry_price,
            row.request.leverage,
            "booked before" if row.line in known else "",
        )
        for row in rows
    )
    session.out.table(columns, shown, right=("line", "size", "entry", "lev"))
    session.out.say(f"{len(rows) - len(known)} to book, {len(known)} booked before, {skipped} skipped: they have ended")


def _tell(session: Session, outcome: Outcome, skipped: int) -> int | None:
    """Say what became of it. Raises Failure when it is not all booked."""
    counts = {"booked": outcome.booked, "booked_before": outcome.before, "skipped": skipped}
    if session.out.is_json:
        session.out.json({**counts, "refused": len(outcome.refused), "revision": str(outcome.revision)})
    else:
        session.out.say(
            f"{outcome.booked} booked, {outcome.before} booked before, {skipped} skipped: they have ended; "
            f"revision {outcome.revision}"
        )
    if outcome.unreachable:
        raise Failure(
            f"{outcome.unreachable.message}: not all is booked. Repeat the command: what is booked stays booked once",
            UNREACHABLE,
        )
    if outcome.refused:
        raise Failure("\n".join(sorted(outcome.refused)), REFUSED)
    return None
