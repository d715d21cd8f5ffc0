"""`trueup backup` and `trueup restore`: the whole ledger in a file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grpckit import log as logs
from trueup_cli import dump
from trueup_cli.failures import Failure
from trueup_cli.output import Output
from trueup_cli.session import Json, run

app = typer.Typer(rich_markup_mode="markdown")

DbPath = Annotated[
    Path | None,
    typer.Option(
        "--db-path", help="Folder of the embedded PostgreSQL; else DATABASE_URL, else DB_PATH, as the service."
    ),
]


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to; it is replaced when the backup is complete.")],
    db_path: DbPath = None,
    json_: Json = None,
) -> None:
    """Write the whole ledger to a file: positions, history, drifts, request ids. The service may run meanwhile.

    The file is PostgreSQL's own format (pg_dump -Fc), true at one revision.

    Example: trueup backup ledger.dump
    """

    async def work() -> None:
        async with dump.opened(db_path, to_write=False) as dsn:
            found = await dump.dump(dsn, file)
        out = Output(is_json=json_)
        size = file.stat().st_size
        if out.is_json:
            out.json({"file": str(file), "revision": str(found.revision), "events": str(found.events), "bytes": size})
        else:
            out.say(f"{file}: {found.events} events up to revision {found.revision}, {size} bytes")

    logs.configure("WARNING")
    run(work)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `trueup backup` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Also when the ledger is not empty: it is lost.")] = False,
    db_path: DbPath = None,
    json_: Json = None,
) -> None:
    """Put a backup in the place of an empty ledger, all or nothing, and verify its history. The services must be stopped.

    Streams that were further go on with a snapshot. Exit code 1 when the history is not intact.

    Example: trueup restore ledger.dump --db-path /var/lib/trueup
    """

    async def work() -> None:
        await dump.must_be_dump(file)
        async with dump.opened(db_path, to_write=True) as dsn:
            found, verdict = await dump.restore(dsn, file, replace=replace)
        if verdict.broken:
            raise Failure(f"restored, but its history is BROKEN at revision {verdict.broken}: {verdict.problem}")
        out = Output(is_json=json_)
        if out.is_json:
            out.json({"revision": str(found.revision), "events": str(found.events), "intact": True})
        else:
            out.say(f"restored: {found.events} events up to revision {found.revision}, the history is intact")

    logs.configure("WARNING")
    run(work)
