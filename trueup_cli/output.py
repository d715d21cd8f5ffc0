"""Where answers go: tables for people on a terminal, a JSON object a line for pipes."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Sequence

from google.protobuf.message import Message
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from grpckit.json_form import dumps, to_json
from trueup_cli.columns import Columns

_PIPE_WIDTH = 200  # of a table that is no terminal's
# Texts have thousands apart, "2 425.48", and percent: a line must not end in there. Rich ends it at any Unicode space.
_WITHIN_A_NUMBER = re.compile(r"(?<=\d) (?=\d{3}(?!\d)|%)")
_UNBROKEN = "\ue000"  # no character of anybody's: it is a space again when it is printed


class Output:
    """``is_json`` None: as standard output is a terminal or not."""

    def __init__(self, *, is_json: bool | None = None) -> None:
        on_terminal = sys.stdout.isatty()
        self.is_json = not on_terminal if is_json is None else is_json
        self.console = Console(highlight=False, width=None if on_terminal else _PIPE_WIDTH)

    def json(self, value: Message | dict[str, object]) -> None:
        """One object, on a line of its own, at once."""
        self.line(dumps(to_json(value) if isinstance(value, Message) else value).decode())

    def line(self, text: str) -> None:
        """A line of JSON that somebody else wrote, at once."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Text | str]],
        *,
        right: Iterable[str] = (),
        spare: Sequence[str] = (),
        sentences: Collection[str] = (),
    ) -> None:
        """A table; ``right`` names the columns of numbers. An ellipsis would hide digits: cells are folded.

        On a narrow terminal ``spare`` columns are left out, the first of them first, and that is said below.
        """
        numbers, shown, room = set(right), list(rows), self.console.width
        made = Columns(columns, shown, numbers=numbers, spare=spare, sentences=sentences)
        missing = made.too_many(room)
        firm = made.firm(missing, room)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in columns:
            if name not in missing:
                justify: JustifyMethod = "right" if name in numbers else "left"
                table.add_column(name, justify=justify, overflow="fold", width=firm.get(name))
        for row in shown:
            table.add_row(*(_unbroken(cell) for name, cell in zip(columns, row, strict=True) if name not in missing))
        self._print(table)
        if missing:
            self.say(Text(f"no room for: {', '.join(missing)}; a wider terminal has them, and --json", style="dim"))

    def fields(self, fields: Iterable[tuple[str, Text | str]]) -> None:
        """Names and values, one a line; what is empty is left out."""
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in fields:
            if str(value):
                table.add_row(name, _unbroken(value))
        self._print(table)

    def _print(self, table: Table) -> None:
        with self.console.capture() as printed:
            self.console.print(table)
        self.console.file.write(printed.get().replace(_UNBROKEN, " "))
        self.console.file.flush()

    def say(self, text: str | Text) -> None:
        """A line for people."""
        self.console.print(text, markup=False, soft_wrap=True)


def _unbroken(cell: Text | str) -> Text | str:
    return _WITHIN_A_NUMBER.sub(_UNBROKEN, cell) if isinstance(cell, str) else cell


def note(text: str) -> None:
    """A line beside the output: on standard error, so that a pipe carries data only."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
