"""Which of Coinbase's frames are a reason to look, how its numbering is kept, and what each subscription is signed with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from reconciler_service.venues.coinbase import auth
from reconciler_service.venues.coinbase.push import (
    ACCEPTED,
    FUTURES,
    HEARTBEATS,
    MOST_ORDERS,
    MOST_POSITIONS,
    USER,
    CoinbaseDialect,
)
from reconciler_service.venues.push import CHANGE, NOTHING, Heard
from tests.coinbase_samples import EC, KEY_NAME, SEC1

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DATED = "BIT-28NOV26-CDE"


class Line:
    """Frames as the venue numbers them, into a dialect."""

    def __init__(self, *, futures: bool = True) -> None:
        self.dialect = CoinbaseDialect(auth.key(KEY_NAME, SEC1), ["ws://127.0.0.1/ws"], lambda: NOW, futures=futures)
        self.number = 0

    def say(self, channel: str, *events: Any, skip: int = 0) -> Heard:
        self.number += skip
        told = {"channel": channel, "timestamp": "t", "sequence_num": self.number, "events": list(events)}
        self.number += 1
        return self.dialect.hear(json.dumps(told))


def order(ident: str = "o1", filled: Any = "0", status: str = "OPEN", **more: Any) -> dict[str, Any]:
    return {"order_id": ident, "cumulative_quantity": filled, "status": status} | more


def contract(product: str = DATED, **more: Any) -> dict[str, Any]:
    values = {"product_id": product, "side": "Long", "number_of_contracts": "20", "entry_price": "90000"}
    return values | {"unrealized_pnl": "-21.199999999999932"} | more


def user(*orders: Any, held: Any = None, kind: str = "update") -> dict[str, Any]:
    event: dict[str, Any] = {"type": kind, "orders": list(orders)}
    if held is not None:
        event["positions"] = {"perpetual_futures_positions": [], "expiring_futures_positions": held}
    return event


def summary(kind: str = "update", **more: str) -> dict[str, Any]:
    values = {"cfm_usd_balance": "400", "cbi_usd_balance": "300.00", "daily_realized_pnl": "0", "unrealized_pnl": "1"}
    return {"type": kind, "fcm_balance_summary": values | more}


@pytest.fixture
def line() -> Line:
    """One that has heard a snapshot of everything."""
    made = Line()
    made.dialect.hello()
    assert made.say("subscriptions", {"subscriptions": {}}) == NOTHING
    assert made.say(HEARTBEATS, {"heartbeat_counter": 3049}) == NOTHING
    assert made.say(USER, user(order(), order("o2", "0.4"), held=[contract()], kind="snapshot")) == NOTHING
    assert made.say(FUTURES, summary("snapshot")) == NOTHING
    assert not made.dialect.missing
    return made


@pytest.mark.parametrize("futures", [True, False])
def test_each_channel_is_subscribed_with_a_token_of_its_own(futures: bool) -> None:
    dialect = Line(futures=futures).dialect
    sent = [json.loads(one) for one in [*dialect.hello(), *dialect.hello()]]
    wanted = {HEARTBEATS, USER, FUTURES} if futures else {HEARTBEATS, USER}
    assert {one["channel"] for one in sent} == wanted == set(dialect.missing)
    nonces = set()
    for one in sent:
        claims = jwt.decode(one["jwt"], EC.public_key(), ["ES256"], options={"verify_exp": False, "verify_nbf": False})
        start = int(NOW.timestamp()) - 5
        assert claims == {"iss": "cdp", "sub": KEY_NAME, "nbf": start, "exp": start + 120}, "it names no request"
        nonces.add(jwt.get_unverified_header(one["jwt"])["nonce"])
    assert len(nonces) == len(sent)


@pytest.mark.parametrize(
    ("channel", "event"),
    [
        (HEARTBEATS, {"heartbeat_counter": "3050"}),
        (USER, user(order())),
        (USER, user(order("o2", "0.40"))),
        (USER, user(order("new"))),
        (USER, user(order("new", ""))),
        (USER, user(order("o1", "0", "CANCELLED"))),
        (USER, user(held=[contract(unrealized_pnl="7", number_of_contracts="20.0")])),
        (USER, user(held=[])),
        (USER, {"type": "update"}),
        (USER, user(order("other", "5"), held=[contract("BIP")], kind="snapshot")),
        (FUTURES, summary(unrealized_pnl="-55", initial_margin="3")),
        (FUTURES, summary(cbi_usd_balance="300")),
        ("ticker", {"type": "update"}),
    ],
)
def test_what_is_no_reason_to_look(line: Line, channel: str, event: Any) -> None:
    assert line.say(channel, event) == NOTHING


@pytest.mark.parametrize(
    ("channel", "event"),
    [
        (USER, user(order("o1", "0.1"))),
        (USER, user(order("o2", "0.5", "FILLED"))),
        (USER, user(order("new", "0.1", "FILLED"))),
        (USER, user(order("o1", "0.1", "CANCELLED"))),
        (USER, user(held=[contract(number_of_contracts="21")])),
        (USER, user(held=[contract(side="Short")])),
        (USER, user(held=[contract(entry_price="90001")])),
        (USER, user(held=[contract("BIP")])),
        (FUTURES, summary(daily_realized_pnl="5")),
        (FUTURES, summary(cfm_usd_balance="401")),
        (FUTURES, summary(cbi_usd_balance="")),
    ],
)
def test_what_is_a_reason_to_look(line: Line, channel: str, event: Any) -> None:
    assert line.say(channel, event) == CHANGE


def test_an_order_is_news_each_time_more_of_it_is_filled(line: Line) -> None:
    steps = [order("o1", "0.1"), order("o1", "0.1"), order("o1", "0.2"), order("o1", "0.3", "FILLED")]
    assert [line.say(USER, user(step)).change for step in steps] == [True, False, True, True]


def test_no_more_orders_are_remembered_than_some() -> None:
    line = Line()
    for number in range(MOST_ORDERS + 1):
        line.say(USER, user(order(f"o{number}", "1"), kind="snapshot"))
    assert line.say(USER, user(order(f"o{MOST_ORDERS}", "1"))) == NOTHING
    assert line.say(USER, user(order("o0", "1"))) == CHANGE, "forgotten: one look too many"


def test_no_more_contracts_are_remembered_than_some() -> None:
    line = Line()
    held = [contract(f"C{number}") for number in range(MOST_POSITIONS + 1)]
    line.say(USER, user(held=held, kind="snapshot"))
    assert line.say(USER, user(held=held[1:])) == NOTHING
    assert line.say(USER, user(held=held[:1])) == CHANGE, "forgotten: one look too many"


def test_a_frame_is_taken_whole_or_not_at_all(line: Line) -> None:
    filled, moved, broken = user(order("o1", "0.1")), user(held=[contract(side="Short")]), user(order("o2", "NaN"))
    assert line.say(USER, filled, moved, broken).error
    assert line.say(USER, filled) == CHANGE, "the broken frame did not make it known"
    assert line.say(USER, moved) == CHANGE
    assert line.say(FUTURES, summary(cfm_usd_balance="401"), {"type": "update"}).error
    assert line.say(FUTURES, summary(cfm_usd_balance="401")) == CHANGE
    assert line.say(FUTURES, summary(cfm_usd_balance="401")) == NOTHING


def test_what_the_venue_has_accepted_is_told_apart_from_what_has_spoken() -> None:
    made = Line()
    made.dialect.hello()
    assert set(made.dialect.unanswered) == {HEARTBEATS, USER, FUTURES} == set(made.dialect.subscriptions)
    made.say(ACCEPTED, {"subscriptions": {"heartbeats": ["heartbeats"]}})
    made.say(ACCEPTED, {"subscriptions": {"heartbeats": ["heartbeats"], "user": ["u"], "level2": ["BTC-USD"]}})
    assert set(made.dialect.unanswered) == {FUTURES}
    assert set(made.dialect.missing) == {HEARTBEATS, USER, FUTURES}
    made.say(FUTURES, summary("snapshot"))
    assert not made.dialect.unanswered
    made.dialect.hello()
    assert set(made.dialect.unanswered) == {HEARTBEATS, USER, FUTURES}, "a new connection begins from the beginning"


def test_a_gap_ends_the_connection_and_a_repetition_is_passed_over(line: Line) -> None:
    line.number -= 1
    assert line.say(USER, user(order("new", "1"))) == NOTHING
    over = line.say(HEARTBEATS, {}, skip=1)
    assert over == Heard(error="coinbase push: 5 came after 3", is_over=True)
    line.dialect.hello()
    line.number = 70
    assert line.say(HEARTBEATS, {}) == NOTHING, "numbers are of one connection"
    assert sorted(line.dialect.missing) == [FUTURES, USER]


def test_frames_without_a_number_are_taken_too(line: Line) -> None:
    assert line.dialect.hear(json.dumps({"channel": USER, "events": [user(order("new", "1"))]})) == CHANGE


def test_a_refusal_ends_the_connection(line: Line) -> None:
    over = line.dialect.hear('{"type":"error","message":"authentication failure"}')
    assert over == Heard(error="coinbase says: 'authentication failure'", is_over=True)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "null",
        '{"channel":"user","sequence_num":"many","events":[]}',
        '{"channel":"user"}',
        '{"channel":"user","events":[1]}',
        '{"channel":"user","events":[{"type":"update","orders":{"o":1}}]}',
        '{"channel":"user","events":[{"type":"update","orders":[{}]}]}',
        '{"channel":"user","events":[{"type":"update","orders":[{"order_id":"o","cumulative_quantity":"NaN"}]}]}',
        '{"channel":"user","events":[{"type":"update","positions":[]}, {"type":"update","positions":[1]}]}',
        '{"channel":"futures_balance_summary","events":[{"type":"update"}]}',
        '{"channel":"subscriptions","events":[{}]}',
        '{"channel":"subscriptions","events":[{"subscriptions":["user"]}]}',
        '{"channel":"futures_balance_summary","events":[{"fcm_balance_summary":{"cfm_usd_balance":{"value":NaN}}}]}',
    ],
)
def test_what_breaks_the_format_is_told_and_changes_nothing(line: Line, frame: str) -> None:
    told = line.dialect.hear(frame)
    assert told.error
    assert (told.change, told.is_over) == (False, False)
    assert line.say(USER, user(order("o1", "0.1"))) == CHANGE
