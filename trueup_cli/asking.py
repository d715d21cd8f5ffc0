"""What is asked before something is changed for good."""

from __future__ import annotations

import sys

import typer

from trueup_cli.failures import USAGE, Failure


def ask() -> None:
    """Raises Failure unless somebody says yes."""
    if not sys.stdin.isatty():
        raise Failure("there is nobody to ask: say --yes, or --dry-run to look only", USAGE)
    if not typer.confirm("Do it?", err=True):
        raise Failure("nothing was changed")
