"""What the SIMULATED Coinbase says on its WebSocket. Pure; how it is carried is in ``simulator.sockets``.

A client must subscribe within 5 seconds, one channel a message, with a good token each where the channel is private.
Frames of a connection are numbered. ``user`` tells of orders and contracts, never of wallets; the balance summary
follows every mark, in plain strings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from reconciler_service.simulator.coinbase import wire
from reconciler_service.simulator.coinbase.gate import Gate
from reconciler_service.simulator.coinbase.portfolio import Portfolio
from reconciler_service.simulator.coinbase.records import FUTURE, Contracts, Fill
from reconciler_service.simulator.coinbase.wire import Json, number
from reconciler_service.simulator.sockets import Frame

USER, FUTURES, HEARTBEATS = "user", "futures_balance_summary", "heartbeats"
CHANNELS = (USER, FUTURES, HEARTBEATS)
DEADLINE_MS = 5_000
BEAT_MS = 1_000
IDLE_S = 75.0
BATCH = 50  # orders of a snapshot in one event
NOT_YET = "0001-01-01T00:00:00Z"


class CoinbaseTalk:
    """Implements ``Conversation``."""

    def __init__(self, portfolio: Portfolio, gate: Gate, *, idle_s: float = IDLE_S) -> None:
        self.idle_s = idle_s
        self._portfolio = portfolio
        self._gate = gate
        self._began_at = portfolio.now()
        self._beat_at = 0
        self._beats = 0
        self._sequence = 0
        self._fills = 0  # how many were told
        self._told: dict[str, Json] = {}  # what was last said on each subscribed channel
        self._tell: dict[str, Callable[[str], Sequence[Frame]]] = {
            USER: self._user,
            FUTURES: self._summary,
            HEARTBEATS: self._beat,
        }

    @property
    def is_over(self) -> bool:
        return not self._told and self._portfolio.now() - self._began_at >= DEADLINE_MS

    def greet(self) -> Sequence[Frame]:
        return []

    def answer(self, text: str) -> Sequence[Frame]:
        try:
            message: Any = json.loads(text)
            kind, channel = message["type"], message["channel"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return [_error("failed to parse the message")]
        if kind != "subscribe" or channel not in CHANNELS:
            return [_error(f"{kind} {channel} is not known")]
        if channel != HEARTBEATS and self._gate.admit_socket(str(message.get("jwt", ""))) is None:
            return [_error("authentication failure")]
        self._told[channel] = None
        self._fills = len(self._portfolio.fills) if channel == USER else self._fills
        return [self._subscriptions(), *self._tell[channel]("snapshot")]

    def news(self) -> Sequence[Frame]:
        return [frame for channel in self._told for frame in self._tell[channel]("update")]

    def end(self) -> None:
        """Nothing is shared between connections."""

    def _subscriptions(self) -> Frame:
        who = {channel: [HEARTBEATS if channel == HEARTBEATS else self._portfolio.uuid] for channel in self._told}
        return self._frame("subscriptions", {"subscriptions": who})

    def _user(self, kind: str) -> Sequence[Frame]:
        """Orders as they were filled, and contracts as they are."""
        new, self._fills = self._portfolio.fills[self._fills :], len(self._portfolio.fills)
        held = [contract(one) for one in self._portfolio.contracts.values() if one.count or kind == "update"]
        orders = [order(fill, self._portfolio) for fill in new]
        if kind == "update" and not orders and held == self._told[USER]:
            return []
        self._told[USER] = held
        told = {"perpetual_futures_positions": [], "expiring_futures_positions": held}
        batches = [orders[at : at + BATCH] for at in range(0, len(orders), BATCH)] or [[]]
        return [self._frame(USER, {"type": kind, "orders": batch, "positions": told}) for batch in batches]

    def _summary(self, kind: str) -> Sequence[Frame]:
        summary = balance_summary(self._portfolio)
        if not self._portfolio.is_enrolled or summary == self._told[FUTURES]:
            return []
        self._told[FUTURES] = summary
        return [self._frame(FUTURES, {"type": kind, "fcm_balance_summary": summary})]

    def _beat(self, _: str) -> Sequence[Frame]:
        now = self._portfolio.now()
        if now - self._beat_at < BEAT_MS:
            return []
        self._beat_at, self._beats = now, self._beats + 1
        current = wire.stamp(now).replace("T", " ").replace("Z", f" +0000 UTC m=+{self._beats}.0")
        return [self._frame(HEARTBEATS, {"current_time": current, "heartbeat_counter": str(self._beats)})]

    def _frame(self, channel: str, event: Json) -> Frame:
        told = {
            "channel": channel,
            "client_id": "",
            "timestamp": wire.stamp(self._portfolio.now(), 44_000),
            "sequence_num": self._sequence,
            "events": [event],
        }
        self._sequence += 1
        return Frame(channel, json.dumps(told, separators=(",", ":")))


def order(fill: Fill, portfolio: Portfolio) -> Json:
    """The order that a fill filled, to the end."""
    is_future = portfolio.markets[fill.product_id].kind == FUTURE
    value = fill.size * fill.price
    return {
        "avg_price": number(fill.price),
        "cancel_reason": "",
        "client_order_id": f"client-{fill.trade_id}",
        "completion_percentage": "100.00",
        "contract_expiry_type": "EXPIRING" if is_future else "UNKNOWN_CONTRACT_EXPIRY_TYPE",
        "cumulative_quantity": number(fill.size),
        "filled_value": number(value),
        "leaves_quantity": "0",
        "limit_price": number(fill.price),
        "number_of_fills": "1",
        "order_id": f"order-{fill.trade_id}",
        "order_side": "BUY" if fill.is_buy else "SELL",
        "order_type": "Limit",
        "outstanding_hold_amount": "0",
        "post_only": "false",
        "product_id": fill.product_id,
        "product_type": FUTURE if is_future else "SPOT",
        "reject_reason": "",
        "retail_portfolio_id": portfolio.uuid,
        "risk_managed_by": "MANAGED_BY_FCM" if is_future else "UNKNOWN_RISK_MANAGEMENT_TYPE",
        "status": "FILLED",
        "stop_price": "",
        "time_in_force": "GOOD_UNTIL_CANCELLED",
        "total_fees": number(fill.commission),
        "total_value_after_fees": number(value + (fill.commission if fill.is_buy else -fill.commission)),
        "trigger_status": "INVALID_ORDER_TYPE",
        "creation_time": wire.stamp(fill.time),
        "end_time": NOT_YET,
        "start_time": NOT_YET,
    }


def contract(held: Contracts) -> Json:
    """A futures position as this channel writes it: another side and another price than REST."""
    entry = held.cost / held.count if held.count else Decimal(0)
    return {
        "product_id": held.product_id,
        "side": "Short" if held.count < 0 else "Long",
        "number_of_contracts": number(abs(held.count)),
        "realized_pnl": number(held.realized),
        "unrealized_pnl": "0",
        "entry_price": number(entry.quantize(Decimal("1e-8"))),
    }


def balance_summary(portfolio: Portfolio) -> Json:
    """The futures account, with what REST says of it as well in plain strings."""
    known = {name: told["value"] for name, told in wire.balance_summary(portfolio)["balance_summary"].items()}
    cash = sum((one.available + one.hold for one in portfolio.wallets.values() if one.currency == "USD"), Decimal(0))
    zeros = dict.fromkeys(
        (
            "futures_buying_power",
            "total_open_orders_hold_amount",
            "initial_margin",
            "available_margin",
            "liquidation_threshold",
            "liquidation_buffer_amount",
            "liquidation_buffer_percentage",
        ),
        "0",
    )
    windows = {
        f"{name}_margin_window_measure": {
            "margin_window_type": f"FCM_MARGIN_WINDOW_TYPE_{name.upper()}",
            "margin_level": "MARGIN_LEVEL_TYPE_BASE",
            "initial_margin": "0",
            "maintenance_margin": "0",
            "liquidation_buffer_percentage": "0",
            "total_hold": "0",
            "futures_buying_power": "0",
        }
        for name in ("intraday", "overnight")
    }
    return zeros | {"cbi_usd_balance": number(cash), "cfm_usd_balance": "0"} | known | windows


def _error(message: str) -> Frame:
    return Frame("error", json.dumps({"type": "error", "message": message}))
