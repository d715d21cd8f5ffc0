"""Runs a service: signals become a stop event, start-up errors one line and exit code 1."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

from grpckit.config import CONFIG_VARIABLE, Settings, describe
from grpckit.errors import StartupError
from grpckit.version import own_version

__all__ = ["StartupError", "command", "run"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Runs `main(stop)` to its end. SIGTERM or SIGINT sets `stop`; a second one ends the process at once (128 + signal).

    Raises SystemExit(1) after a StartupError, which is printed as one line. Other exceptions are defects and come with
    their traceback.
    """
    try:
        asyncio.run(_supervised(main))
    except StartupError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - for the person who started it, logging or not
        raise SystemExit(1) from None


def command(
    prog: str, description: str, settings: type[Settings], main: Callable[[asyncio.Event], Awaitable[None]]
) -> None:
    """The command line of a service: --help describes its settings; it takes no arguments."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=f"{description} Told by environment variables, or by the TOML file that {CONFIG_VARIABLE} names:",
        epilog=describe(settings),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"trueup {own_version()}")
    parser.parse_args()
    run(main)


async def _supervised(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set():
            # The second time means now: whatever the shutdown hangs on, it may hang on clean-up as well.
            os._exit(128 + number)
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        await main(stop)
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
