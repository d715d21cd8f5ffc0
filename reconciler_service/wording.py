"""How amounts read on a trader's screen. Pure text."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

SHORT = Context(prec=6, rounding=ROUND_HALF_EVEN)


def plain(amount: Decimal) -> str:
    """A decimal without exponent, trailing zeros or minus zero: "0.5", "42000"."""
    text = f"{amount:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def short(amount: Decimal) -> str:
    """The same with six significant digits: a computed limit, not a booked amount."""
    return plain(SHORT.plus(amount))


def spaced(amount: Decimal) -> str:
    """The same with thousands apart: "42 150.5"."""
    text = f"{amount:,f}".replace(",", " ")
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(amount: Decimal) -> str:
    """The same with its sign: "+0.1", "-3"."""
    return f"+{plain(amount)}" if amount > 0 else plain(amount)


def percent(share: Decimal) -> str:
    """A share as percent: 0.001 is "0.1 %"."""
    return f"{plain(share * 100)} %"
