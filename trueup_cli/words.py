"""How values read in a table. JSON has them whole; here computed ones are rounded for the eye."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from decimal import ROUND_HALF_EVEN, Decimal
from difflib import get_close_matches
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from rich.text import Text

_STYLES = {
    "LONG": "green",
    "SHORT": "red",
    "OK": "green",
    "UP": "green",
    "SYNCED": "green",
    "RESOLVED": "green",
    "WARNING": "yellow",
    "DEGRADED": "yellow",
    "SUSPECT": "yellow",
    "DOWN": "yellow",
    "STARTING": "yellow",
    "UNCONFIGURED": "yellow",
    "SIMULATED": "yellow",
    "DRIFT": "bold red",
    "FAILED": "bold red",
    "CRITICAL": "bold red",
    "PROBLEM": "bold red",
    "LIQUIDATED": "bold red",
}


def name_of(message: Any, field: str) -> str:
    """The value of an enum field without its prefix: OPEN for POSITION_STATUS_OPEN; empty when unspecified."""
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    number = getattr(message, field)
    value = enum.values_by_number.get(number)
    if value is None:
        return str(number)  # of a newer contract
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return value.name.removeprefix(prefix) if number else ""


def word(text: str) -> Text:
    """A state in its colour."""
    return Text(text, style=_STYLES.get(text, ""))


def state(message: Any, field: str) -> Text:
    """An enum field in its colour."""
    return word(name_of(message, field))


def amount(text: str, places: int = 8) -> str:
    """A decimal with at most so many fraction digits; as it is when it has no more."""
    if not text or len(text.partition(".")[2]) <= places:
        return text
    rounded = Decimal(text).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
    shown = f"{rounded:f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def counted(number: int, noun: str) -> str:
    """ "1 position", "2 positions"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def near(text: str, names: Iterable[str], most: int = 3) -> list[str]:
    """The names that somebody may have meant who wrote a text that is none of them: those that hold it or that it holds,
    in whatever case, else those that are spelled alike.
    """
    known = {name.casefold(): name for name in sorted(names) if name}
    typed = text.casefold()
    within = [known[name] for name in known if typed and (typed in name or name in typed)]
    return (within or [known[name] for name in get_close_matches(typed, known)])[:most]


def gain(text: str, places: int = 2) -> Text:
    """Profit green, loss red."""
    style = "" if not text or not Decimal(text) else "red" if text.startswith("-") else "green"
    return Text(amount(text, places), style=style)


def time(at: Timestamp) -> str:
    """Date and time, UTC; empty when absent."""
    return f"{at.ToDatetime(UTC):%Y-%m-%d %H:%M:%S}" if at.ByteSize() else ""
