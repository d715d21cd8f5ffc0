"""`trueup positions import`: the command; `booking` does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trueup_cli.session import Session, talks


@talks
async def import_(
    session: Session,
    file: Annotated[Path, typer.Argument(help="CSV with a header, or NDJSON; - is standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show it, book nothing.")] = False,
    batch: Annotated[str, typer.Option("--batch", help="Of another name the same rows are booked again.")] = "",
) -> int | None:
    """Open the positions of a file. All of it is checked first; importing it again books nothing twice.

    Columns: asset or symbol, size, entry_price; also account, venue, side, leverage, margin_mode, liquidation_price,
    product, fee, fee_currency, reason, labels.

    Example: trueup positions import book.csv --dry-run
    """
    from trueup_cli import booking  # noqa: PLC0415 - the contract's rules take a while to load; only this needs them

    return await booking.book(session, file, dry_run=dry_run, batch=batch)
