"""Commands whose modules are imported when they are called: for --help their one line is enough."""

from __future__ import annotations

import importlib
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

# Name, module, one line. In the order in which --help lists them.
_COMMANDS = (
    ("positions", "positions", "List, open, reduce, close, watch, export and import positions."),
    ("drifts", "drifts", "List, watch and resolve where book and venues disagree."),
    ("runs", "reconciliation", "List reconciliation runs, newest first."),
    ("reconcile", "reconciliation", "Compare the book with the venues now."),
    ("allocation", "reconciliation", "Compare the venues' shares with their targets."),
    ("venues", "reconciliation", "Show how each venue is doing."),
    ("notify", "notify", "Post each drift event to a webhook: Slack, Discord, Telegram, or your own."),
    ("relay", "relay", "Publish each committed event to NATS JetStream, once and in order."),
    ("keys", "keys", "Make, list, rotate and revoke API keys."),
    ("certs", "certs", "Make certificates for TLS and mTLS where there is no authority yet."),
    ("doctor", "doctor", "Check everything, and say what to do about it."),
    ("backup", "backup", "Write the whole ledger to a file, running or not."),
    ("restore", "backup", "Put a backup in place of an empty ledger, and verify it."),
    ("simulate", "simulate", "Make something happen at a SIMULATED venue."),
)
_MODULES = {name: module for name, module, _ in _COMMANDS}


class LazyCommands(TyperGroup):
    """The commands that were declared on it, and those of the table above."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, _, line in _COMMANDS:
            self.add_command(TyperCommand(name, help=line), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Finds what is to be run, or asked for completions: here the module is needed."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in _MODULES:
            commands: Any = get_command(importlib.import_module(f"trueup_cli.{_MODULES[name]}").app)
            command = commands if commands.name == name else commands.get_command(ctx, name)
        return name, command, rest
