"""Positions and their events as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.text import Text

from trueup_cli.output import Output
from trueup_cli.words import amount, counted, gain, name_of, state, time, word

_COLUMNS = (
    "asset",
    "venue",
    "side",
    "size",
    "entry",
    "mark",
    "PnL",
    "PnL %",
    "lev",
    "liq",
    "dist %",
    "status",
    "check",
)
_NUMBERS = ("size", "entry", "mark", "PnL", "PnL %", "lev", "liq", "dist %")
_SPARE = ("PnL %", "lev", "mark", "status", "entry", "liq")


def table(out: Output, positions: Iterable[Any], *, ended: bool = False) -> None:
    """Positions a row each; with ``ended`` what they realised as well."""
    shown = list(positions)
    with_account = any(position.account != "main" for position in shown)
    columns = [*(("account",) if with_account else ()), *_COLUMNS, *(("realised",) if ended else ())]
    rows = (list(_row(position, with_account=with_account, ended=ended)) for position in shown)
    out.table(columns, rows, right=(*_NUMBERS, "realised"), spare=_SPARE)
    out.say(counted(len(shown), "position"))


def _row(position: Any, *, with_account: bool, ended: bool) -> Iterator[Text | str]:
    if with_account:
        yield position.account
    yield position.asset
    yield position.venue
    yield state(position, "side")
    yield position.size
    yield amount(position.entry_price)
    yield position.mark_price
    yield gain(position.unrealized_pnl)
    yield gain(position.pnl_percent)
    yield amount(position.leverage)
    price, whose = _liquidation(position)
    yield f"~{amount(price)}" if whose == "estimated" else price
    distance = amount(position.liquidation_distance_percent, 2)
    yield Text(distance, style="bold red" if position.at_risk else "")
    yield state(position, "status")
    yield state(position, "reconciliation_status")
    if ended:
        yield gain(position.realized_pnl)


def _liquidation(position: Any) -> tuple[str, str]:
    """The price that the distance goes by, and whose it is; both empty where none is known."""
    if position.venue_liquidation_price:
        return position.venue_liquidation_price, "venue"
    if position.liquidation_price:
        return position.liquidation_price, "given"
    return position.estimated_liquidation_price, "estimated" if position.estimated_liquidation_price else ""


def one(out: Output, position: Any) -> None:
    """Every field of a position that says something, with its name in the contract."""
    out.fields(_fields(position))


def _fields(message: Any) -> Iterator[tuple[str, Text | str]]:
    for field, value in message.ListFields():
        if field.enum_type is not None:
            yield field.name, state(message, field.name)
        elif field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp":
            yield field.name, time(value)
        elif field.name == "labels":
            yield field.name, ", ".join(f"{key}={value[key]}" for key in sorted(value))
        elif field.name == "other_fees":
            yield field.name, ", ".join(f"{fee.amount} {fee.currency}" for fee in value)
        elif field.name == "liquidation_distance_percent":
            price, whose = _liquidation(message)
            yield field.name, f"{value} to {price} ({whose})" if price else str(value)
        elif field.name.endswith("_pnl"):
            yield field.name, gain(value, 18)
        else:
            yield field.name, str(value)


def events(out: Output, found: Iterable[Any]) -> None:
    """The history, a row an event."""
    columns = ("rev", "time", "asset", "event", "size", "price", "realised", "then", "who", "why")
    numbers, spare = ("rev", "size", "price", "realised"), ("rev", "who", "realised")
    out.table(columns, (_event_row(event) for event in found), right=numbers, spare=spare, sentences=("why",))


def _event_row(event: Any) -> tuple[Text | str, ...]:
    trade = event.trade
    holds = event.after.size if event.after.size != "0" else "flat"
    return (
        str(event.revision),
        time(event.time),
        event.after.asset,
        word(name_of(event, "type")),
        trade.size,
        amount(trade.price),
        gain(trade.realized_pnl),
        f"{name_of(event.after, 'side')} {holds}" if holds != "flat" else holds,
        event.actor,
        event.reason,
    )


def event_line(event: Any) -> Text:
    """One event of a stream on one line."""
    position, trade = event.after, event.trade
    what = name_of(event, "type").lower().replace("_", " ")
    line = Text.assemble(
        (f"{time(event.time)[11:]} ", "dim"),
        (f"rev {event.revision} ", "dim"),
        (f"{position.asset} ", "bold"),
        f"on {position.venue} {what}",
    )
    if trade.size:
        line.append(f" {trade.size}" + (f" at {amount(trade.price)}" if trade.price else ""))
    if trade.realized_pnl and trade.realized_pnl != "0":
        line.append_text(Text.assemble(", realised ", gain(trade.realized_pnl)))
    holds = "flat" if position.size == "0" else f"{name_of(position, 'side')} {position.size}"
    line.append(f" -> {holds}")
    return line
