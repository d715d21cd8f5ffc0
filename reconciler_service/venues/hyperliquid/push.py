"""What Hyperliquid pushes about one account, and which of it is a reason to look. Pure.

Three subscriptions: the positions of all dexes, fills, spot balances. The state of positions comes with every tick of
a mark, so it is compared with what it was when it last was a reason: size, entry price, leverage and margin mode must
be the same, and a liquidation price about the same. Under cross margin that one moves with every mark of every other
position, comes and goes: there only a large move counts.

What its positions are valued at gives their marks.

    {"channel": "allDexsClearinghouseState", "data": {"user", "clearinghouseStates": [[dex, state], ...]}}
    {"channel": "userFills", "data": {"user", "fills": [...], "isSnapshot": true in the first}}
    {"channel": "spotState", "data": {"user", "spotState": {"balances": [...]}}}
    {"channel": "subscriptionResponse", "data": {"method": "subscribe", "subscription": {"type", "user"}}}
    {"channel": "pong" | "error", ...}, and the text "Websocket connection established."

An error names no subscription: that one was refused is told by its response, which does not come.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from reconciler_service.model import Mark
from reconciler_service.venues import VenueError
from reconciler_service.venues.http import parse
from reconciler_service.venues.hyperliquid.decode import mark_of
from reconciler_service.venues.push import CHANGE, NOTHING, Heard
from reconciler_service.venues.wire import EXACT, amount, fields, instant, name, rounded, rows, shown, text

POSITIONS, FILLS, SPOT = "allDexsClearinghouseState", "userFills", "spotState"
CHANNELS = (POSITIONS, FILLS, SPOT)
GREETING = "Websocket connection established"
HARMLESS = "Already subscribed"  # an error that says that all is well
# "10 unique users" from one IP address, in the venue's words; it has been seen to let 15 pass.
MOST_USERS = 10
TAKEN = f"not pushed: hyperliquid lets {MOST_USERS} accounts of one address listen, and these are taken; it is polled"
# Collateral: under a unified account it moves with every mark, and it is no position.
COLLATERAL = frozenset(("USDC", "USDT", "USDT0", "USDH", "USDE", "FEUSD"))
# Share of the liquidation price or the entry price, whichever is larger: one near zero moves by multiples of itself.
LIQUIDATION_MOVE = {"isolated": Decimal("0.01"), "cross": Decimal("0.1")}

_GRID = Decimal("1e-8")  # finer than any size: what differs beyond is float noise


class Held(NamedTuple):
    """One position, as far as a change of it is a reason to look."""

    size: Decimal  # signed
    entry_price: Decimal | None
    leverage: Decimal | None
    mode: str
    liquidation_price: Decimal | None


class HyperliquidDialect:
    """Implements ``Dialect`` for one address."""

    subscriptions: Collection[str] = CHANNELS
    ping = '{"method":"ping"}'
    ping_s = 30.0
    silence_s = 45.0  # the answer to a ping had 15 s

    def __init__(
        self, address: str, urls: Sequence[str], steps: Callable[[str], Mapping[str, Decimal]] = lambda _: {}
    ) -> None:
        """``steps`` are the size steps that are known of a dex, by coin: with them marks are exact."""
        self._steps = steps
        self.urls: Sequence[str] = tuple(urls)
        self._address = address
        self._begin()

    def _begin(self) -> None:
        self._missing = set(CHANNELS)
        self._unanswered = set(CHANNELS)
        self._held: Mapping[str, Held] = {}
        self._spot: Mapping[str, Decimal] = {}
        self._marks: Mapping[str, Mark] = {}

    @property
    def missing(self) -> Collection[str]:
        """Subscriptions that have said nothing yet on this connection."""
        return self._missing

    @property
    def unanswered(self) -> Collection[str]:
        """Those of them that the venue has not acknowledged either."""
        return self._unanswered

    def marks(self) -> Mapping[str, Mark]:
        """The marks of what is held, of the last state since this was asked last."""
        told, self._marks = self._marks, {}
        return told

    def hello(self) -> Sequence[str]:
        """One subscription a message."""
        self._begin()
        asked = ({"type": channel, "user": self._address} for channel in CHANNELS)
        return [json.dumps({"method": "subscribe", "subscription": one}) for one in asked]

    def hear(self, frame: str) -> Heard:
        """Take one frame in. What breaks the format is an error and no reason."""
        if frame.startswith(GREETING):
            return NOTHING
        try:
            message = fields(parse(frame.encode(), "hyperliquid push"), "hyperliquid push")
            channel, data = str(message.get("channel")), message.get("data")
            if channel == "error":
                return NOTHING if str(data).startswith(HARMLESS) else Heard(error=f"hyperliquid push: {shown(data)}")
            if channel == "subscriptionResponse":
                self._unanswered.discard(_accepted(data))
            if channel not in CHANNELS:
                return NOTHING
            changed = self._is_change(channel, fields(data, channel))
        except VenueError as error:
            return Heard(error=str(error))
        is_first = channel in self._missing
        self._missing.discard(channel)
        self._unanswered.discard(channel)
        return CHANGE if changed and not is_first else NOTHING

    def _is_change(self, channel: str, data: Mapping[str, object]) -> bool:
        if channel == FILLS:
            return data.get("isSnapshot") is not True and bool(rows(data.get("fills"), "fills"))
        if channel == SPOT:
            before, self._spot = self._spot, spot(data)
            return before != self._spot
        now = positions(data)
        with contextlib.suppress(VenueError):  # the value of a position hides no change of it
            self._marks = marks(data, self._steps)
        if not differ(self._held, now):
            return False  # what they were at the last reason is kept: many small steps are a large one
        self._held = now
        return True


def _accepted(data: object) -> str:
    """The subscription that a response is about; empty for what is none."""
    response = fields(data, "subscriptionResponse")
    subscription = fields(response.get("subscription"), "subscription")
    return str(subscription.get("type")) if response.get("method") == "subscribe" else ""


def positions(data: Mapping[str, object]) -> dict[str, Held]:
    """The positions of all dexes by coin. Raises VenueDataError."""
    found = {}
    for entry in rows(data.get("clearinghouseStates"), "clearinghouseStates"):
        state = fields((rows(entry, "clearinghouseStates") or [None])[-1], "clearinghouseState")
        for row in rows(state.get("assetPositions"), "assetPositions"):
            position = fields(fields(row, "assetPositions").get("position"), "position")
            found[name(position.get("coin"), "coin")] = _held(position)
    return found


def marks(data: Mapping[str, object], steps: Callable[[str], Mapping[str, Decimal]]) -> dict[str, Mark]:
    """What positions are valued at, where the state tells a time. Raises VenueDataError."""
    found = {}
    for entry in rows(data.get("clearinghouseStates"), "clearinghouseStates"):
        pair = rows(entry, "clearinghouseStates") or [None]
        dex, state = pair[0], fields(pair[-1], "clearinghouseState")
        if state.get("time") is None:
            continue
        at, known = instant(state["time"], "time"), steps(str(dex))
        for row in rows(state.get("assetPositions"), "assetPositions"):
            position = fields(fields(row, "assetPositions").get("position"), "position")
            coin = name(position.get("coin"), "coin")
            size = EXACT.abs(rounded(amount(position.get("szi"), f"{coin} szi"), known.get(coin, _GRID)))
            price = mark_of(_optional(position, "positionValue", coin), size, known.get(coin)) if size else None
            if price is not None:
                found[coin] = Mark(price, at)
    return found


def spot(data: Mapping[str, object]) -> dict[str, Decimal]:
    """What is held of each token, collateral and zeros left out. Raises VenueDataError."""
    found = {}
    for row in rows(fields(data.get("spotState"), "spotState").get("balances"), "balances"):
        balance = fields(row, "balances")
        coin = text(balance.get("coin"), "balances coin")
        total = rounded(amount(balance.get("total"), f"{coin} total"), _GRID)
        if total and coin not in COLLATERAL:
            found[coin] = total
    return found


def differ(before: Mapping[str, Held], now: Mapping[str, Held]) -> bool:
    """Whether the difference is a reason to look."""
    return before.keys() != now.keys() or any(_differs(before[coin], held) for coin, held in now.items())


def _differs(before: Held, now: Held) -> bool:
    if before[:-1] != now[:-1]:
        return True
    old, new = before.liquidation_price, now.liquidation_price
    if old is None or new is None:
        return old is not new and now.mode == "isolated"
    scale = max(EXACT.abs(old), before.entry_price or Decimal(0))
    most = EXACT.multiply(scale, LIQUIDATION_MOVE.get(now.mode, Decimal(0)))
    return EXACT.abs(EXACT.subtract(new, old)) > most


def _held(position: Mapping[str, object]) -> Held:
    coin = str(position.get("coin"))
    leverage = fields(position.get("leverage") or {}, f"{coin} leverage")
    return Held(
        size=rounded(amount(position.get("szi"), f"{coin} szi"), _GRID),
        entry_price=_optional(position, "entryPx", coin),
        leverage=_optional(leverage, "value", f"{coin} leverage"),
        mode=str(leverage.get("type")),
        liquidation_price=_optional(position, "liquidationPx", coin),
    )


def _optional(row: Mapping[str, object], key: str, whose: str) -> Decimal | None:
    return None if row.get(key) is None else amount(row[key], f"{whose} {key}")
