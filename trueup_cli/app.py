"""The `trueup` command."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from grpckit.errors import StartupError
from trueup_cli.lazy import LazyCommands

app = typer.Typer(
    name="trueup",
    cls=LazyCommands,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from grpckit.version import own_version  # noqa: PLC0415 - as below

        typer.echo(f"trueup {own_version()}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Keeps a trading desk's positions true.

    Listings are tables on a terminal and a JSON object a line in a pipe, or with --json. Exit codes: 0 done; 1 refused,
    or a check failed; 2 wrong usage; 3 nobody answers: a write may have happened, repeat it with its request id; 4 with
    --exit-code, something was found.

    Example: trueup drifts list --json | jq -r .summary
    """


@app.command()
def up(
    db_path: Annotated[
        Path | None,
        typer.Option(envvar="DB_PATH", help="Folder of the embedded PostgreSQL. SIMULATED: a new one each time."),
    ] = None,
    spacing: Annotated[
        float, typer.Option(min=0.1, help="SIMULATED: seconds between the things that happen at the venue.")
    ] = 3.0,
    log_folder: Annotated[
        Path | None,
        typer.Option(help="Where the services' logs are kept; otherwise they are gone when it ends in order."),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop when the story is told, instead of running on.")] = False,
) -> None:
    """Run the pair: embedded PostgreSQL, Position service, Reconciler.

    Without HYPERLIQUID_KEY the venue is SIMULATED and drifts away from a small book while you watch. With
    HYPERLIQUID_KEY=0x... (the public address; no secret is needed) the real venue is read.
    """
    from trueup_cli import up as up_  # noqa: PLC0415 - takes a second: --help need not wait, Ctrl-C leaves no trace

    try:
        asyncio.run(up_.up(db_path, spacing, log_folder, once=once))
    except StartupError as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from None


def main() -> None:
    """Entry point of the console script."""
    app()
