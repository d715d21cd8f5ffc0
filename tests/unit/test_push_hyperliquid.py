"""Which of Hyperliquid's frames are a reason to look, and what becomes of those that break the format."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from reconciler_service.model import Mark
from reconciler_service.venues.hyperliquid.push import CHANNELS, FILLS, POSITIONS, SPOT, HyperliquidDialect
from reconciler_service.venues.push import CHANGE, NOTHING

ADDRESS = "0x" + "ab" * 20


def frame(channel: str, data: Any) -> str:
    return json.dumps({"channel": channel, "data": data})


def position(coin: str = "BTC", **more: Any) -> dict[str, Any]:
    values = {
        "coin": coin,
        "szi": "0.5",
        "entryPx": "42000.0",
        "leverage": {"type": "cross", "value": 5},
        "liquidationPx": "30000.0",
        "positionValue": "21000.0",
        "unrealizedPnl": "0.0",
    }
    return {"type": "oneWay", "position": values | more}


def positions(*held: Any, other: Any = ()) -> str:
    states = [["", {"assetPositions": list(held), "time": 1}], ["xyz", {"assetPositions": list(other), "time": 1}]]
    return frame(POSITIONS, {"user": ADDRESS, "clearinghouseStates": states})


def fills(*rows: Any, **more: Any) -> str:
    return frame(FILLS, {"user": ADDRESS, "fills": list(rows), **more})


def spot(**totals: str) -> str:
    balances = [
        {"coin": coin, "token": 1, "total": total, "hold": "0.0", "entryNtl": "0.0"} for coin, total in totals.items()
    ]
    return frame(SPOT, {"user": ADDRESS, "spotState": {"balances": balances}})


FIRST = (positions(position()), fills(isSnapshot=True), spot(HYPE="4.5", USDC="100.0"))


@pytest.fixture
def dialect() -> HyperliquidDialect:
    """One that has heard the first word of every subscription."""
    made = HyperliquidDialect(ADDRESS, ("ws://127.0.0.1/ws",))
    made.hello()
    assert [made.hear(one) for one in FIRST] == [NOTHING] * 3
    return made


def test_it_subscribes_to_everything_and_knows_what_is_missing() -> None:
    made = HyperliquidDialect(ADDRESS, ("ws://127.0.0.1/ws",))
    sent = [json.loads(one) for one in made.hello()]
    assert {one["method"] for one in sent} == {"subscribe"}
    assert [one["subscription"] for one in sent] == [{"type": channel, "user": ADDRESS} for channel in CHANNELS]
    for first, left in zip(FIRST, ([FILLS, SPOT], [SPOT], []), strict=True):
        made.hear(first)
        assert sorted(made.missing) == sorted(left)
    made.hello()
    assert set(made.missing) == set(CHANNELS), "a new connection begins from the beginning"


@pytest.mark.parametrize(
    "heard",
    [
        positions(position()),
        positions(position(positionValue="21500.0", unrealizedPnl="500.0", returnOnEquity="0.1")),
        positions(position(szi="0.50000000000000004", entryPx="42000")),
        positions(position(liquidationPx="34199.0")),
        positions(position(liquidationPx="25801.0")),
        positions(position(liquidationPx=None)),
        fills(isSnapshot=True),
        fills({"coin": "BTC"}, isSnapshot=True),
        fills(),
        spot(HYPE="4.5", USDC="7.0"),
        spot(HYPE="4.50000000000000001", PURR="0.0"),
        '{"channel":"pong"}',
        '{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"userFills"}}}',
        '{"channel":"allMids","data":{"mids":{"BTC":"1.0"}}}',
        "Websocket connection established.",
        frame("error", 'Already subscribed: {"type":"userFills"}'),
    ],
)
def test_what_is_no_reason_to_look(dialect: HyperliquidDialect, heard: str) -> None:
    assert dialect.hear(heard) == NOTHING


@pytest.mark.parametrize(
    "heard",
    [
        positions(position(szi="0.50001")),
        positions(position(szi="-0.5")),
        positions(position(entryPx="42000.1")),
        positions(position(entryPx=None)),
        positions(position(leverage={"type": "cross", "value": 10})),
        positions(position(leverage={"type": "isolated", "value": 5, "rawUsd": "-1.0"})),
        positions(position(leverage=None)),
        positions(position(liquidationPx="34201.0")),
        positions(position(liquidationPx="25799.0")),
        positions(),
        positions(position(), position("ETH")),
        positions(position(), other=[position("xyz:TSLA")]),
        fills({"coin": "BTC"}),
        fills({"coin": "BTC"}, isSnapshot=False),
        spot(HYPE="4.6", USDC="100.0"),
        spot(USDC="100.0"),
    ],
)
def test_what_is_a_reason_to_look(dialect: HyperliquidDialect, heard: str) -> None:
    assert dialect.hear(heard) == CHANGE
    if "fills" not in heard:
        assert dialect.hear(heard) == NOTHING, "the same again is none"


def accepted(channel: str, method: str = "subscribe") -> str:
    return frame("subscriptionResponse", {"method": method, "subscription": {"type": channel, "user": ADDRESS}})


def test_what_the_venue_has_accepted_is_told_apart_from_what_has_spoken() -> None:
    made = HyperliquidDialect(ADDRESS, ("ws://127.0.0.1/ws",))
    made.hello()
    assert set(made.unanswered) == set(CHANNELS) == set(made.subscriptions)
    assert made.hear(accepted(SPOT)) == made.hear(accepted(POSITIONS, "unsubscribe")) == NOTHING
    assert (set(made.unanswered), set(made.missing)) == ({POSITIONS, FILLS}, set(CHANNELS))
    made.hear(positions(position()))
    assert (set(made.unanswered), set(made.missing)) == ({FILLS}, {FILLS, SPOT})
    told = made.hear(frame("error", "Cannot track more than 10 total users."))
    assert (told.error, told.is_over) == ("hyperliquid push: 'Cannot track more than 10 total users.'", False)
    made.hello()
    assert set(made.unanswered) == set(CHANNELS), "a new connection begins from the beginning"


def test_what_positions_are_valued_at_are_their_marks() -> None:
    made = HyperliquidDialect(ADDRESS, (), lambda dex: {"BTC": Decimal("0.00001")} if dex == "" else {})
    at = datetime(2026, 11, 22, tzinfo=UTC)
    time = int(at.timestamp() * 1000)

    def told(*held: Any, **more: Any) -> dict[str, Mark]:
        state = {"assetPositions": list(held), "time": time} | more
        made.hear(frame(POSITIONS, {"user": ADDRESS, "clearinghouseStates": [["", state]]}))
        return dict(made.marks())

    noisy = position(szi="-0.30000000000000004", positionValue="12750.0")
    odd = position("ODD", szi="3", positionValue="1")
    assert told(noisy, odd) == {"BTC": Mark(Decimal(42_500), at), "ODD": Mark(Decimal("0.333333333333333333"), at)}
    assert told(noisy) == {"BTC": Mark(Decimal(42_500), at)}
    assert made.marks() == {}, "each is told once"
    for silent in (
        position(szi="0.0"),
        position(positionValue="0.0"),
        position(positionValue=None),
        position(positionValue="NaN"),
        position(szi="0.00001", positionValue="9" * 20),
    ):
        assert told(silent) == {}
    assert told(noisy, time=None) == {}
    assert made.hear(positions(position(szi="0.7", positionValue="NaN"))) == CHANGE, "it hides no change"


def test_many_small_moves_of_a_liquidation_price_are_a_large_one(dialect: HyperliquidDialect) -> None:
    moves = [dialect.hear(positions(position(liquidationPx=f"{price}.0"))) for price in range(30_500, 38_000, 500)]
    assert moves.count(CHANGE) == 1


def test_a_short_is_measured_by_its_liquidation_price_and_without_an_entry_too() -> None:
    for entry in ("42000.0", None):
        made = HyperliquidDialect(ADDRESS, ("ws://127.0.0.1/ws",))
        short = {"szi": "-0.5", "entryPx": entry}
        made.hear(positions(position(**short, liquidationPx="60000.0")))
        assert made.hear(positions(position(**short, liquidationPx="65999.0"))) == NOTHING
        assert made.hear(positions(position(**short, liquidationPx="66001.0"))) == CHANGE


def test_under_isolated_margin_a_liquidation_price_that_comes_or_goes_counts() -> None:
    isolated = {"leverage": {"type": "isolated", "value": 5}}
    made = HyperliquidDialect(ADDRESS, ("ws://127.0.0.1/ws",))
    made.hear(positions(position(**isolated)))
    assert made.hear(positions(position(**isolated, liquidationPx="30419.0"))) == NOTHING
    assert made.hear(positions(position(**isolated, liquidationPx="30421.0"))) == CHANGE
    assert made.hear(positions(position(**isolated, liquidationPx=None))) == CHANGE
    assert made.hear(positions(position(**isolated, liquidationPx=None))) == NOTHING
    assert made.hear(positions(position(**isolated))) == CHANGE


def test_under_an_unknown_margin_mode_every_move_counts() -> None:
    made = HyperliquidDialect(ADDRESS, ("ws://127.0.0.1/ws",))
    made.hear(positions(position(leverage={"type": "new", "value": 5})))
    heard = positions(position(leverage={"type": "new", "value": 5}, liquidationPx="30000.1"))
    assert made.hear(heard) == CHANGE


@pytest.mark.parametrize(
    "heard",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "[" * 60_000,
        '{"channel":"userFills"}',
        '{"channel":"userFills","data":{}}',
        '{"channel":"spotState","data":{"spotState":{"balances":[{"coin":"HYPE"}]}}}',
        '{"channel":"allDexsClearinghouseState","data":{"clearinghouseStates":[[]]}}',
        '{"channel":"allDexsClearinghouseState","data":{"clearinghouseStates":[["",{"assetPositions":[1]}]]}}',
        positions(position(szi="NaN")),
        positions(position(coin="")),
        positions(position(entryPx="much")),
        '{"channel":"allDexsClearinghouseState","data":{"n":NaN}}',
        frame("error", 'Invalid subscription {"type":"spotState"}'),
        frame("error", None),
        frame("subscriptionResponse", None),
        frame("subscriptionResponse", {"method": "subscribe"}),
    ],
)
def test_what_breaks_the_format_is_told_and_changes_nothing(dialect: HyperliquidDialect, heard: str) -> None:
    told = dialect.hear(heard)
    assert (told.change, told.is_over) == (False, False)
    assert told.error.startswith(
        ("hyperliquid push", "userFills", "fills", "HYPE", "BTC", "clearing", "asset", "coin", "subscription")
    )
    assert dialect.hear(positions(position())) == NOTHING
    assert dialect.hear(positions(position(szi="0.6"))) == CHANGE
