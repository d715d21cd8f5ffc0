"""Coinbase's ways to write numbers and times. Pure; raises VenueDataError that names the field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

from reconciler_service.venues import VenueDataError
from reconciler_service.venues.wire import FRACTION_DIGITS, amount, fields, plain, rounded, shown

T = TypeVar("T")

_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


class Moment(NamedTuple):
    """A time to the nanosecond: what a datetime holds, and the nanoseconds beyond. Compares in time order."""

    at: datetime
    nanoseconds: int = 0  # 0 to 999


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. ``cursor`` leads to the next one; it is empty on the last."""

    rows: tuple[T, ...]
    cursor: str = ""


def exact(raw: object, what: str) -> Decimal:
    """A number to reckon with: at most 18 fraction digits, padding zeros not counted."""
    value = amount(raw, what)
    if rounded(value) != value:
        raise VenueDataError(f"{what}: {shown(raw)} has more than {FRACTION_DIGITS} fraction digits")
    return plain(value)


def value_of(raw: object, what: str) -> object:
    """The number's text, whether it stands alone or in an ``{"value", "currency"}``; None where there is none."""
    inner = fields(raw, what).get("value") if isinstance(raw, dict) else raw
    return None if inner == "" else inner  # "" is how the venue writes "no number"


def price(row: Mapping[str, object], key: str, whose: str) -> Decimal | None:
    """A price above zero, to 18 digits; None where it is absent, empty or 0, which all mean that there is none."""
    raw = value_of(row.get(key), f"{whose} {key}")
    if raw is None:
        return None
    value = rounded(amount(raw, f"{whose} {key}"))
    return plain(value) if value > 0 else None


def above_zero(row: Mapping[str, object], key: str, whose: str) -> Decimal | None:
    """A step or a contract size; None where it is absent, empty or 0, which all mean that there is none."""
    raw = value_of(row.get(key), f"{whose} {key}")
    if raw is None:
        return None
    value = exact(raw, f"{whose} {key}")
    if value < 0:
        raise VenueDataError(f"{whose} {key}: {value} is below zero")
    return value or None


def moment(raw: object, what: str) -> Moment:
    """An RFC 3339 time with 0 to 9 fraction digits."""
    match = _RFC3339.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise VenueDataError(f"{what}: expected an RFC 3339 time, got {shown(raw)}")
    day, clock, fraction, zone = match.groups()
    nanoseconds = int((fraction or "").ljust(9, "0"))
    offset = "+00:00" if zone in "Zz" else zone
    try:
        at = datetime.fromisoformat(f"{day}T{clock}.{nanoseconds // 1000:06}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise VenueDataError(f"{what}: {shown(raw)} is no time") from None
    return Moment(at, nanoseconds % 1000)


def flag(row: Mapping[str, object], key: str, what: str) -> bool:
    """A JSON boolean that must be there."""
    value = row.get(key)
    if not isinstance(value, bool):
        raise VenueDataError(f"{what} {key}: expected true or false, got {shown(value)}")
    return value


def word(row: Mapping[str, object], key: str) -> str:
    """A text that may be absent, null or of another type: then it is empty."""
    value = row.get(key)
    return value if isinstance(value, str) else ""
