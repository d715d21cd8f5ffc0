"""Exact decimals.

Amounts are ``decimal.Decimal`` with at most 20 integer and 18 fraction digits at the edges. Inside, sums and products
keep every digit: the context is wide enough that nothing below ever rounds by itself, and a float in an expression
raises. Rounding happens in two named places only: ``share`` (a division that must be booked) and ``shown``.
"""

from __future__ import annotations

import decimal
from decimal import Decimal

WHOLE_DIGITS = 20
FRACTION_DIGITS = 18
QUANTUM = Decimal(1).scaleb(-FRACTION_DIGITS)
TOO_LARGE = Decimal(1).scaleb(WHOLE_DIGITS)
ZERO = Decimal(0)

# A cost basis has at most 36 fraction digits (price x size) and, per add, 40 whole ones; its product with a size, 54
# and 60. 200 digits hold every intermediate result exactly.
CONTEXT = decimal.Context(
    prec=200,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow, decimal.FloatOperation],
)
decimal.DefaultContext.prec = CONTEXT.prec
decimal.DefaultContext.traps[decimal.FloatOperation] = True
decimal.setcontext(CONTEXT.copy())

_MOST_FRACTION_DIGITS = 2 * FRACTION_DIGITS


def share(total: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """``total * part / whole``, exact when it ends within 36 fraction digits, else rounded half-even to 18.

    The caller subtracts the share from the total, so what rounding took stays there and nothing is ever lost. A share
    is never more than the total: rounding up the share of a total below 1E-18 would leave a negative rest.
    """
    quotient = CONTEXT.divide(total * part, whole)
    exponent = quotient.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent >= -_MOST_FRACTION_DIGITS and quotient * whole == total * part:
        return quotient
    rounded = quotient.quantize(QUANTUM, context=CONTEXT)
    return total if abs(rounded) > abs(total) else rounded


def shown(value: Decimal) -> Decimal:
    """Round half-even to 18 fraction digits, for values that are computed to be read."""
    return value.quantize(QUANTUM, context=CONTEXT)


def canonical(value: Decimal) -> str:
    """Plain notation without trailing zeros, exponent or ``-0``.

    >>> canonical(Decimal("42000.500")), canonical(Decimal("-0.0")), canonical(Decimal("1E+3"))
    ('42000.5', '0', '1000')
    """
    if not value:
        return "0"
    text = str(value)  # faster than format, but an exponent where there are many zeros
    if "E" in text:
        text = format(value, "f")
    if text[-1] == "0" and "." in text:
        return text.rstrip("0").rstrip(".")
    return text
