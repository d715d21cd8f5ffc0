"""The pure model that everything is replayed through: fractions, no rounding, no tables, none of the service's code."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.ledger_model import CLOSED, CLOSING, LIQUIDATED, OPEN, OPENING, REDUCED, Held

Key = tuple[str, str]  # account, symbol
LIVE = (OPEN, REDUCED)
ALLOWED = {
    "IncreasePosition": LIVE,
    "ReducePosition": LIVE,
    "ClosePosition": LIVE,
    "ConfirmOpen": (OPENING,),
    "CancelOpen": (OPENING,),
    "ConfirmClose": (CLOSING,),
    "CancelClose": (CLOSING,),
    "LiquidatePosition": (*LIVE, CLOSING),
}
# What may be off: the service rounds to 18 digits, a few hundred times in the life of a position. A float is off by more.
ENOUGH = Fraction(1, 10**15)


class Wrong(Exception):
    """The service did what the model says cannot be done."""


class Model:
    """Every position of a ledger, as the commands leave it."""

    def __init__(self) -> None:
        self.live: dict[Key, Held] = {}
        self.last: dict[Key, Held] = {}  # also when it has ended
        self.booked: set[tuple[str, str]] = set()  # account, fill id
        self.revision = 0
        self.touched: list[Key] = []

    def apply(self, method: str, request: Any) -> None:
        """Do a command that was committed. Raises Wrong when it should have been refused."""
        self.touched = []
        if method == "RecordFills":
            for fill in sorted(request.fills, key=lambda one: one.executed_at.ToNanoseconds()):
                self._fill(request.account, fill)
            return
        key = (request.account, request.symbol)
        if why := self.problem(method, request, self.live.get(key)):
            raise Wrong(f"{method} of {key} was done, and is {why}")
        fee = Fraction(request.fee) if hasattr(request, "fee") and request.fee else Fraction(0)
        if method == "OpenPosition":
            signed = Fraction(request.size) * (-1 if request.side == 2 else 1)
            self._hold(key, Held(signed, Fraction(request.entry_price), pending=request.pending))
        else:
            _change(self.live[key], method, request)
        self.last[key].realized -= fee
        self._happened(key)

    @staticmethod
    def problem(method: str, request: Any, held: Held | None) -> str:
        """The reason with which a command has to be refused in a state; "" when it has to be done."""
        if method == "OpenPosition":
            return "POSITION_ALREADY_OPEN" if held else ""
        if held is None:
            return "POSITION_NOT_FOUND"
        if request.expected_revision and request.expected_revision != held.revision:
            return "STALE_REVISION"
        if held.status not in ALLOWED[method]:
            return "ILLEGAL_TRANSITION"
        size = getattr(request, "size", "") if method not in ("IncreasePosition", "ConfirmOpen") else ""
        return "SIZE_EXCEEDS_POSITION" if size and Fraction(size) > held.size else ""

    def _hold(self, key: Key, held: Held) -> None:
        self.live[key] = self.last[key] = held

    def _happened(self, key: Key) -> None:
        """An event to a position."""
        self.revision += 1
        self.touched.append(key)
        held = self.last[key]
        held.revision = self.revision
        if not held.size:
            self.live.pop(key, None)

    def _fill(self, account: str, fill: Any) -> None:
        if (account, fill.fill_id) in self.booked:
            return None
        self.booked.add((account, fill.fill_id))
        key = (account, fill.symbol)
        signed = Fraction(fill.size) * (1 if fill.is_buy else -1)
        fee, price = Fraction(fill.fee or 0), Fraction(fill.price)
        held = self.live.get(key)
        with_it = held is not None and held.sign * signed > 0
        if held is not None and held.status == OPENING:
            if with_it:
                held.confirm(abs(signed), price)
                held.realized -= fee
                return self._happened(key)
            held.cancel()
            self._happened(key)
        elif held is not None and with_it:
            held.grow(abs(signed), price)
            held.realized -= fee
            return self._happened(key)
        elif held is not None:
            closed = min(abs(signed), held.size)
            share = fee * closed / abs(signed)
            signed, fee = signed + closed * held.sign, fee - share
            held.lessen(closed, price, CLOSED)
            held.realized -= share
            self._happened(key)
        if signed:
            self._hold(key, Held(signed, price))
            self.last[key].realized -= fee
            self._happened(key)
        return None


def _change(held: Held, method: str, request: Any) -> None:
    if method == "IncreasePosition":
        held.grow(Fraction(request.size), Fraction(request.price))
    elif method == "ReducePosition":
        held.lessen(Fraction(request.size), Fraction(request.price), CLOSED)
    elif method == "ConfirmOpen":
        held.confirm(Fraction(request.size or held.size), Fraction(request.entry_price or held.entry))
    elif method == "CancelOpen":
        held.cancel()
    elif method == "CancelClose":
        held.status = held.back
    elif method == "LiquidatePosition":
        held.lessen(Fraction(request.size or held.size), Fraction(request.liquidation_price), LIQUIDATED)
    elif not request.close_price:  # ClosePosition: announced
        held.back, held.status = held.status, CLOSING
    else:  # ClosePosition, ConfirmClose
        size = getattr(request, "size", "") or held.size
        held.lessen(Fraction(size), Fraction(request.close_price), CLOSED)


def differs(held: Held, shown: Any) -> str:
    """What a position of an answer says that the model does not; "" when nothing is."""
    if (Fraction(shown.size), shown.status, shown.side) != (held.size, held.status, 1 if held.sign > 0 else 2):
        return f"{shown.size} {shown.status} {shown.side} for {held.size} {held.status} {held.sign}"
    if shown.revision != held.revision:
        return f"revision {shown.revision} for {held.revision}"
    if abs(Fraction(shown.realized_pnl or 0) - held.realized) > ENOUGH:
        return f"realized {shown.realized_pnl} for {float(held.realized)}"
    if held.size and abs(Fraction(shown.entry_price) - held.entry) > ENOUGH:
        return f"entry {shown.entry_price} for {float(held.entry)}"
    return ""
