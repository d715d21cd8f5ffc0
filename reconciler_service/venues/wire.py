"""Reads typed fields out of parsed JSON. Every error names the field and says what stood there.

Amounts are plain ``Decimal``: strings and JSON numbers alike, never floats. An exponent form is exact and therefore
accepted; NaN, infinities, more than 20 integer digits and anything that is not a number are refused. Binary-float
noise, such as ``1064075.6000000001``, is taken off by ``quantised`` (to a known step) or ``denoised`` (no step known).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

from reconciler_service.venues import VenueDataError

# Wide enough for 20 integer digits times 18 fraction digits, twice: nothing here rounds unless it says so.
EXACT = Context(prec=90, rounding=ROUND_HALF_EVEN)
FRACTION_DIGITS = 18
AHEAD = timedelta(minutes=10)  # no clock that is worth reading is so far ahead of ours
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_INTEGER_DIGITS = 20
_SHOWN = 40  # characters of a bad field in an error text
_MAX_TEXT = 120  # an amount is shorter; a longer text is an attack or an accident
_NOISE = Decimal("1e-12")  # relative; a double carries about 1e-16, sums of doubles a little more
_NOISE_AT_ZERO = Decimal("1e-15")  # what is left of 0.3 - 0.1 - 0.2
_SMALLEST = Decimal("1e-18")
_DENOISED_STEP = Decimal("1e-8")  # no venue read here has sizes or prices finer than this
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_IDENT = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_.:/@#+-]{1,64}", re.ASCII)
_LAST_MILLISECOND = 253_402_300_799_999  # the end of year 9999, where datetime ends


def shown(raw: object) -> str:
    """What stood on the wire, shortened for an error text."""
    text = repr(raw)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def fields(raw: object, what: str) -> dict[str, object]:
    """A JSON object."""
    if not isinstance(raw, dict):
        raise VenueDataError(f"{what}: expected an object, got {shown(raw)}")
    return raw


def rows(raw: object, what: str) -> list[object]:
    """A JSON array."""
    if not isinstance(raw, list):
        raise VenueDataError(f"{what}: expected an array, got {shown(raw)}")
    return raw


def text(raw: object, what: str) -> str:
    """A JSON string that is not empty."""
    if not isinstance(raw, str) or not raw:
        raise VenueDataError(f"{what}: expected a text, got {shown(raw)}")
    return raw


def name(raw: object, what: str) -> str:
    """An instrument's or currency's name: what our own contracts accept as one."""
    if not isinstance(raw, str) or not is_name(raw):
        raise VenueDataError(f"{what}: expected a name, got {shown(raw)}")
    return raw


def is_name(raw: object) -> bool:
    """Whether it is one."""
    return isinstance(raw, str) and _NAME.fullmatch(raw) is not None


def ident(raw: object, what: str) -> str:
    """An id of the venue's own making: printable ASCII without spaces, as long as our contracts take one."""
    if not isinstance(raw, str) or _IDENT.fullmatch(raw) is None:
        raise VenueDataError(f"{what}: expected an id, got {shown(raw)}")
    return raw


def words(raw: object, most: int = 200) -> str:
    """What a venue says to a reader, shortened, on one line; a text that no contract takes becomes one that they do."""
    return "".join(c if c.isprintable() else " " for c in str(raw)[:most]).strip()


def integer(raw: object, what: str) -> int:
    """An integer of at most 64 bits or so, as a JSON number or as a string."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        raw = str(raw) if abs(raw) < 10**19 else ""
    if not isinstance(raw, str) or _INTEGER.fullmatch(raw) is None:
        raise VenueDataError(f"{what}: expected an integer, got {shown(raw)}")
    return int(raw)


def instant(raw: object, what: str) -> datetime:
    """Milliseconds since 1970, as an aware UTC time; exact, since no float is involved."""
    milliseconds = integer(raw, what)
    if not 0 < milliseconds <= _LAST_MILLISECOND:
        raise VenueDataError(f"{what}: {milliseconds} is not a time in milliseconds")
    return EPOCH + timedelta(milliseconds=milliseconds)


def happened(at: datetime, now: datetime, what: str) -> None:
    """Refuse a time that has not come yet: an execution of the future would be counted when it comes."""
    if at - now > AHEAD:
        raise VenueDataError(f"{what}: one is of {at.isoformat()}, which is in the future: a clock is wrong")


def milliseconds(moment: datetime) -> int:
    """The milliseconds since 1970 of an aware time, rounded down."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def amount(raw: object, what: str) -> Decimal:
    """An exact, finite number of at most 20 integer digits, as it stood on the wire."""
    if isinstance(raw, (int, Decimal)) and not isinstance(raw, bool):
        raw = str(raw)  # a JSON number: the parser keeps it exact
    if not isinstance(raw, str) or len(raw) > _MAX_TEXT or _NUMBER.fullmatch(raw) is None:
        raise VenueDataError(f"{what}: expected a decimal number, got {shown(raw)}")
    value = Decimal(raw)
    if value == 0:
        return Decimal(0)  # also takes the sign off "-0.0"
    if not -_MAX_TEXT < value.adjusted() < _INTEGER_DIGITS:
        raise VenueDataError(f"{what}: {shown(raw)} is out of range")
    return value


def rounded(value: Decimal, step: Decimal = _SMALLEST) -> Decimal:
    """The nearest multiple of a power of ten, half to even."""
    return EXACT.quantize(value, step)


def plain(value: Decimal) -> Decimal:
    """The same number without trailing zeros or exponent, zero without a sign."""
    return Decimal(format(EXACT.normalize(value), "f")) if value else Decimal(0)


def quantised(value: Decimal, step: Decimal, what: str) -> Decimal:
    """The multiple of ``step`` (a power of ten) that the venue meant; more than float noise away is an error."""
    nearest = rounded(value, step)
    noise = min(EXACT.multiply(_NOISE, max(EXACT.abs(value), Decimal(1))), EXACT.divide(step, Decimal(4)))
    if EXACT.abs(EXACT.subtract(value, nearest)) > noise:
        raise VenueDataError(f"{what}: {value} is not a multiple of {step:f}")
    return plain(nearest)


def denoised(value: Decimal, what: str) -> Decimal:
    """The number without float noise; exact where there is none. More than 18 fraction digits is an error."""
    nearest = rounded(value, _DENOISED_STEP)
    noise = max(EXACT.multiply(_NOISE, EXACT.abs(value)), _NOISE_AT_ZERO)
    if EXACT.abs(EXACT.subtract(value, nearest)) <= noise:
        return plain(nearest)
    if rounded(value) != value:
        raise VenueDataError(f"{what}: {value} has more than {FRACTION_DIGITS} fraction digits")
    return plain(value)
