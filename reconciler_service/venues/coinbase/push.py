"""What Coinbase pushes about one portfolio, and which of it is a reason to look. Pure but for the tokens it signs.

Three channels, one subscription and one fresh token each; a stream outlives its token. ``user`` tells of orders and of
futures positions, ``futures_balance_summary`` of the futures account, ``heartbeats`` keep the connection open. A reason
is an order of which more is filled, a futures position that is another, or money that moved. The balance that follows
every mark, and orders that only come and go, are none. Deposits and withdrawals of coins are not pushed by the venue:
those wait for the interval.

    {"channel", "timestamp", "sequence_num", "events": [{"type": "snapshot" | "update", ...}]}
    {"channel": "subscriptions", ..., "events": [{"subscriptions": {"user": [...], ...}}]}    those that are accepted
    {"type": "error", "message"}

Frames of a connection are numbered. A gap means that one is lost, an error that a subscription was refused: the
connection is given up, and the next one begins with a look. A number that was there before is a repetition. A frame is
taken whole or not at all: one that breaks off in its second event must not make the first one known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from reconciler_service.model import Mark
from reconciler_service.venues import VenueError
from reconciler_service.venues.coinbase.auth import Key
from reconciler_service.venues.coinbase.fields import value_of, word
from reconciler_service.venues.http import parse
from reconciler_service.venues.push import CHANGE, NOTHING, Heard
from reconciler_service.venues.wire import amount, fields, integer, rows, shown, text

URLS = ("wss://advanced-trade-ws-user.coinbase.com", "wss://advanced-trade-ws.coinbase.com")  # the second: fail-over
USER, FUTURES, HEARTBEATS = "user", "futures_balance_summary", "heartbeats"
ACCEPTED = "subscriptions"
MOST_ORDERS = 1000  # open ones that are remembered; more would only cost looks
MOST_POSITIONS = 1000  # the same of contracts
# What no mark moves: profit that was taken, dollars on either side.
SETTLED = ("daily_realized_pnl", "cfm_usd_balance", "cbi_usd_balance")

_OVER = frozenset(("FILLED", "CANCELLED", "EXPIRED", "FAILED"))

T = TypeVar("T")
Row = Mapping[str, object]


@dataclass(slots=True)
class _Known:
    """What the frames of one connection have said so far."""

    filled: dict[str, Decimal] = field(default_factory=dict)  # of each open order
    positions: dict[str, tuple[object, ...]] = field(default_factory=dict)
    settled: tuple[Decimal, ...] | None = None

    def copy(self) -> _Known:
        return replace(self, filled=dict(self.filled), positions=dict(self.positions))


class CoinbaseDialect:
    """Implements ``Dialect`` for the portfolio that a key is bound to."""

    ping = ""
    ping_s = 0.0
    silence_s = 15.0  # heartbeats come every second

    def __init__(self, key: Key, urls: Sequence[str], now: Callable[[], datetime], *, futures: bool = True) -> None:
        """``now`` is the venue's time as far as we know it; ``futures`` whether to ask for the futures account."""
        self.urls: Sequence[str] = tuple(urls)
        self._key = key
        self._now = now
        # Heartbeats first: they must be there before anything can fall silent.
        self.subscriptions: Collection[str] = (HEARTBEATS, USER, FUTURES) if futures else (HEARTBEATS, USER)
        self._begin()

    def _begin(self) -> None:
        self._missing = set(self.subscriptions)
        self._unanswered = set(self.subscriptions)
        self._sequence: int | None = None
        self._known = _Known()

    @property
    def missing(self) -> Collection[str]:
        """Channels that have said nothing yet on this connection."""
        return self._missing

    @property
    def unanswered(self) -> Collection[str]:
        """Those of them that the venue has not acknowledged either."""
        return self._unanswered

    def marks(self) -> Mapping[str, Mark]:
        """None: what is pushed here tells no price of an instrument."""
        return {}

    def hello(self) -> Sequence[str]:
        """One channel and one token a message."""
        self._begin()
        return [
            json.dumps({"type": "subscribe", "channel": channel, "jwt": self._key.socket_token(self._now())})
            for channel in self.subscriptions
        ]

    def hear(self, frame: str) -> Heard:
        """Take one frame in. What breaks the format is an error and no reason."""
        try:
            message = fields(parse(frame.encode(), "coinbase push"), "coinbase push")
            if message.get("type") == "error":
                return Heard(error=f"coinbase says: {shown(message.get('message'))}", is_over=True)
            if message.get("sequence_num") is not None:
                number, last = integer(message["sequence_num"], "sequence_num"), self._sequence
                if last is not None and number > last + 1:
                    return Heard(error=f"coinbase push: {number} came after {last}", is_over=True)
                if last is not None and number <= last:
                    return NOTHING
                self._sequence = number
            channel = word(message, "channel")
            if channel not in (*self.subscriptions, ACCEPTED):
                return NOTHING
            listed = [fields(event, f"{channel} event") for event in rows(message.get("events"), f"{channel} events")]
            if channel == ACCEPTED:
                self._unanswered.difference_update(*(fields(one.get(ACCEPTED), ACCEPTED) for one in listed))
                return NOTHING
            known = self._known if channel == HEARTBEATS else self._known.copy()
            changes = [_is_change(known, channel, event) for event in listed]
        except VenueError as error:
            return Heard(error=str(error))
        self._known = known
        self._missing.discard(channel)
        self._unanswered.discard(channel)
        return CHANGE if any(changes) else NOTHING


def _is_change(known: _Known, channel: str, event: Row) -> bool:
    """Take an event into what is known; whether it is a reason to look."""
    if channel == HEARTBEATS:
        return False
    is_snapshot = event.get("type") == "snapshot"
    changed = _settles(known, event) if channel == FUTURES else _fills(known, event) | _moves(known, event)
    return changed and not is_snapshot


def _fills(known: _Known, event: Row) -> bool:
    changed = False
    for listed in rows(event.get("orders") or [], "orders"):
        order = fields(listed, "orders")
        ident, filled = text(order.get("order_id"), "order_id"), _number(order, "cumulative_quantity")
        changed |= filled != known.filled.pop(ident, Decimal(0))
        if word(order, "status").upper() not in _OVER:
            known.filled[ident] = filled
    _forget(known.filled, MOST_ORDERS)
    return changed


def _moves(known: _Known, event: Row) -> bool:
    """Only what is listed is compared: whether a list is complete, the venue does not say."""
    changed = False
    told = fields(event.get("positions") or {}, "positions")
    for listed in rows(told.get("expiring_futures_positions") or [], "expiring_futures_positions"):
        row = fields(listed, "expiring_futures_positions")
        product = text(row.get("product_id"), "product_id")
        now = word(row, "side").upper(), _number(row, "number_of_contracts"), _number(row, "entry_price")
        changed |= known.positions.get(product) != now
        known.positions[product] = now
    _forget(known.positions, MOST_POSITIONS)
    return changed


def _forget(known: dict[str, T], most: int) -> None:
    """Drop the oldest ones beyond ``most``."""
    while len(known) > most:
        del known[next(iter(known))]


def _settles(known: _Known, event: Row) -> bool:
    summary = fields(event.get("fcm_balance_summary"), "fcm_balance_summary")
    before, known.settled = known.settled, tuple(_number(summary, key) for key in SETTLED)
    return before is not None and before != known.settled


def _number(row: Row, key: str) -> Decimal:
    raw = value_of(row.get(key), key)
    return Decimal(0) if raw is None else amount(raw, key)
