"""Average-cost arithmetic of one holding: what fills would do to the book. Pure and exact.

The cost basis is kept, not its average. Where the cost share of a reduction does not terminate within 36 digits it is
rounded to 18 and the remainder stays in the basis, so that once flat the realised PnL is the cash that moved. The
Position service books by the same rule: what is proposed is what comes out, to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from reconciler_service.findings import ZERO
from reconciler_service.model import BookPosition, VenueFill

EXACT = Context(prec=160, rounding=ROUND_HALF_EVEN)  # the longest product here has 76 digits
STEP = Decimal(1).scaleb(-18)


@dataclass(frozen=True, slots=True)
class Holding:
    """``size`` is signed, base units; ``cost`` is the sum of price x size of what is open, quote currency."""

    size: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO

    @property
    def entry(self) -> Decimal | None:
        """Average entry price, 18 digits; None when flat."""
        if not self.size:
            return None
        with localcontext(EXACT):
            return (self.cost / abs(self.size)).quantize(STEP)


def holding_of(local: BookPosition | None) -> Holding:
    """The book's position as a holding; flat when there is none."""
    if local is None:
        return Holding()
    with localcontext(EXACT):
        cost = local.entry_price * local.size if local.cost_basis is None else local.cost_basis
        return Holding(local.signed_size, cost, local.realized_pnl)


def trade(held: Holding, change: Decimal, price: Decimal, fee: Decimal = ZERO) -> Holding:
    """The holding after ``change`` (signed, base units) at a price, less a fee in quote currency."""
    with localcontext(EXACT):
        realized = held.realized - fee
        if held.size * change >= 0:
            return Holding(held.size + change, held.cost + price * abs(change), realized)
        closed = min(abs(change), abs(held.size))
        share = held.cost if closed == abs(held.size) else _share(held.cost, closed, abs(held.size))
        gain = price * closed - share
        realized += gain if held.size > 0 else -gain
        opened = abs(change) - closed  # beyond flat: the rest opens the other way
        return Holding(held.size + change, held.cost - share + price * opened, realized)


def _share(total: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    quotient = total * part / whole
    exponent = quotient.as_tuple().exponent
    assert isinstance(exponent, int)
    if exponent >= -36 and quotient * whole == total * part:
        return quotient
    rounded = quotient.quantize(STEP)
    return total if abs(rounded) > abs(total) else rounded


def is_quote(fill: VenueFill, quote: frozenset[str]) -> bool:
    """Whether the fill's fee is realised: charged in a currency of ``quote``, or in one that is not named."""
    return not fill.fee_currency or fill.fee_currency in quote


def book_fills(held: Holding, fills: Iterable[VenueFill], quote: frozenset[str]) -> Holding:
    """The holding after all fills. Fees in a currency of ``quote`` (or unnamed) are realised, others are not."""
    for fill in fills:
        held = trade(held, fill.signed_size, fill.price, fill.fee if is_quote(fill, quote) else ZERO)
    return held


def adopt(held: Holding, size: Decimal, entry: Decimal | None, mark: Decimal | None) -> Holding:
    """The holding made to say what the venue says, without knowing what was traded.

    What was closed is realised at the mark (an estimate; nothing is realised without one), what is open stands at the
    venue's entry price, or at the average it would have.
    """
    price = mark if mark is not None else held.entry
    if price is None:
        price = entry or ZERO
    after = trade(held, size - held.size, price)
    if mark is None:
        after = replace(after, realized=held.realized)
    if entry is None:
        return after
    with localcontext(EXACT):
        return replace(after, cost=entry * abs(size))
