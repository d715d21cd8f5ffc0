"""What the SIMULATED Hyperliquid says on its WebSocket. Pure; how it is carried is in ``sockets``.

Subscriptions: allDexsClearinghouseState (whole, whenever anything moves, a mark too), userFills (a snapshot, then what
is new), spotState (when it changed). A client's message that is none is answered as recorded. At most ten addresses are
told about at once, over all connections: all of them come from one machine.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler_service.simulator import wire, wire_history
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.records import ADDRESS, Fill
from reconciler_service.simulator.sockets import Frame
from reconciler_service.simulator.wire import Json, Style

GREETING = Frame("greeting", "Websocket connection established.")
IDLE_S = 60.0
MOST_USERS = 10
TOO_MANY = f"Cannot track more than {MOST_USERS} total users."


@dataclass(slots=True)
class Subscription:
    """One of one client. ``seen`` is how far it was told, by its own measure."""

    kind: str
    user: str
    asked: Any
    seen: object = field(default=None)


class HyperliquidTalk:
    """Implements ``Conversation``."""

    is_over = False

    def __init__(self, exchange: Exchange, style: Style, users: Counter[str], idle_s: float = IDLE_S) -> None:
        """``users`` are how many subscriptions there are to each address, of all connections."""
        self.idle_s = idle_s
        self._users = users
        self._exchange = exchange
        self._style = style
        self._subscriptions: list[Subscription] = []

    def greet(self) -> Sequence[Frame]:
        return [GREETING]

    def answer(self, text: str) -> Sequence[Frame]:
        try:
            message = json.loads(text)
            method = message["method"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return [_error(f"Error parsing JSON into valid websocket request: {text}")]
        match method:
            case "ping":
                return [Frame("pong", '{"channel":"pong"}')]
            case "subscribe" | "unsubscribe":
                return self._subscribe(message.get("subscription"), is_wanted=method == "subscribe")
            case _:
                return [_error(f"Error parsing JSON into valid websocket request: {text}")]

    def news(self) -> Sequence[Frame]:
        return [frame for one in self._subscriptions for frame in _TELL[one.kind](self, one)]

    def _subscribe(self, asked: Any, *, is_wanted: bool) -> Sequence[Frame]:
        kind, user = (asked.get("type"), asked.get("user")) if isinstance(asked, dict) else (None, None)
        if kind not in _TELL or not isinstance(user, str) or not ADDRESS.fullmatch(user):
            return [_error(f"Invalid subscription {_spelt(asked)}")]
        known = next((one for one in self._subscriptions if (one.kind, one.user) == (kind, user.lower())), None)
        method = "subscribe" if is_wanted else "unsubscribe"
        response = _frame("subscriptionResponse", {"method": method, "subscription": asked})
        if not is_wanted:
            if known is None:
                return [_error(f"Already unsubscribed: {_spelt(asked)}")]
            self._subscriptions.remove(known)
            self._users[known.user] -= 1
            return [response]
        if known is not None:
            return [_error(f"Already subscribed: {_spelt(asked)}")]
        if user.lower() not in +self._users and len(+self._users) >= MOST_USERS:
            return [_error(TOO_MANY)]
        self._users[user.lower()] += 1
        made = Subscription(kind, user.lower(), asked)
        self._subscriptions.append(made)
        return [response, *_TELL[kind](self, made)]

    def end(self) -> None:
        for one in self._subscriptions:
            self._users[one.user] -= 1

    def _positions(self, one: Subscription) -> Sequence[Frame]:
        if one.seen == self._exchange.revision:
            return []
        one.seen = self._exchange.revision
        states = [
            [dex, wire.clearinghouse_state(self._exchange, one.user, dex, self._style)] for dex in self._exchange.dexes
        ]
        return [_frame(one.kind, {"user": one.user, "clearinghouseStates": states})]

    def _fills(self, one: Subscription) -> Sequence[Frame]:
        account = self._exchange.accounts.get(one.user)
        fills: list[Fill] = account.history.fills if account else []
        before, one.seen = one.seen, len(fills)
        if not isinstance(before, int):
            return [_frame(one.kind, {"isSnapshot": True, "user": one.user, "fills": wire_history.user_fills(fills)})]
        new = [wire_history.spell_fill(fill) for fill in fills[before:]]
        return [_frame(one.kind, {"user": one.user, "fills": new})] if new else []

    def _spot(self, one: Subscription) -> Sequence[Frame]:
        state = wire.spot_clearinghouse_state(self._exchange, one.user)
        before, one.seen = one.seen, state
        return [_frame(one.kind, {"user": one.user, "spotState": state})] if before != state else []


_TELL: dict[str, Callable[[HyperliquidTalk, Subscription], Sequence[Frame]]] = {
    "allDexsClearinghouseState": HyperliquidTalk._positions,  # noqa: SLF001 - its own table
    "userFills": HyperliquidTalk._fills,  # noqa: SLF001
    "spotState": HyperliquidTalk._spot,  # noqa: SLF001
}


def _frame(channel: str, data: Json) -> Frame:
    return Frame(channel, _spelt({"channel": channel, "data": data}))


def _error(text: str) -> Frame:
    return _frame("error", text)


def _spelt(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"))
