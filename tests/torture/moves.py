"""What clients ask next: drawn from a generator, mostly sensible by what they last saw."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from trueup.position.v1 import position_service_pb2 as pb

from tests.ledger_model import CLOSING, OPENING

SYMBOLS = ("BTC", "ETH", "SOL", "ARB")
SIZES = ("0.1", "0.3", "1", "2", "3")
PRICES = ("90", "100", "110.5", "97.03")
FEES = ("", "0.01", "-0.003")
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


def next_move(account: str, symbol: str, request_id: str, known: Any, chance: random.Random) -> Any:
    """A change of an instrument of which ``known`` is the position as it was last seen; None: never."""
    where: dict[str, Any] = {"account": account, "symbol": symbol, "request_id": request_id}
    if known is None or known.size in ("", "0"):
        pending, side = chance.random() < 0.2, chance.choice((1, 2))
        fee = "" if pending else chance.choice(FEES)
        size, price = chance.choice(SIZES), chance.choice(PRICES)
        return pb.OpenPositionRequest(**where, size=size, entry_price=price, side=side, pending=pending, fee=fee)
    if chance.random() < 0.4:
        where["expected_revision"] = known.revision
    if known.status in (OPENING, CLOSING):
        return _settled(where, known.status, chance)
    return _changed(where, chance)


def _settled(where: dict[str, Any], status: int, chance: random.Random) -> Any:
    """What ends an announcement."""
    price = chance.choice(PRICES)
    if status == OPENING:
        if chance.random() < 0.2:
            return pb.CancelOpenRequest(**where)
        return pb.ConfirmOpenRequest(**where, size=chance.choice(SIZES), entry_price=price)
    if chance.random() < 0.5:
        return pb.CancelCloseRequest(**where)
    return pb.ConfirmCloseRequest(**where, close_price=price, fee=chance.choice(FEES))


def _changed(where: dict[str, Any], chance: random.Random) -> Any:
    size, price, fee, kind = chance.choice(SIZES), chance.choice(PRICES), chance.choice(FEES), chance.random()
    if kind < 0.35:
        return pb.IncreasePositionRequest(**where, size=size, price=price, fee=fee)
    if kind < 0.7:
        return pb.ReducePositionRequest(**where, size=size, price=price, fee=fee)
    if kind < 0.8:
        return pb.ClosePositionRequest(**where)
    if kind < 0.95:
        return pb.ClosePositionRequest(**where, close_price=price, fee=fee)
    return pb.LiquidatePositionRequest(**where, liquidation_price=price)


class Fills:
    """Batches of fills of one account, over twenty instruments, each of which is flat now and then."""

    def __init__(self, name: str, most: int, chance: random.Random) -> None:
        self._name, self._most, self._chance = name, most, chance
        self._net: dict[str, Decimal] = {}
        self._made = 0
        self._last: list[pb.Fill] = []

    def batch(self) -> tuple[list[pb.Fill], list[pb.Fill]]:
        """New fills, and a few of the batch before to be sent again."""
        chance, before = self._chance, self._last
        self._last = [self._fill() for _ in range(chance.randint(1, self._most))]
        again = chance.sample(before, min(len(before), 3)) if chance.random() < 0.3 else []
        return self._last, again

    def _fill(self) -> pb.Fill:
        chance = self._chance
        symbol = f"F{chance.randrange(20)}"
        size, held = Decimal(chance.choice(SIZES)) * chance.choice((1, -1)), self._net.get(symbol, Decimal(0))
        if held and chance.random() < 0.05:
            size = -held
        self._net[symbol] = held + size
        self._made += 1
        fill = pb.Fill(symbol=symbol, fill_id=f"{self._name}-{self._made}", is_buy=size > 0, size=f"{abs(size):f}")
        fill.price, fill.fee = chance.choice(PRICES), chance.choice(FEES)
        fill.executed_at.FromDatetime(BEGAN + timedelta(microseconds=self._made))
        return fill
