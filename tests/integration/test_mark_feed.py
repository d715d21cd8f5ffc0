"""Marks that a SIMULATED venue pushes are in the book before anybody looks again, and a wrong one hurts nobody."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from trueup.position.v1 import position_service_pb2

from reconciler_service.book import Book
from reconciler_service.desk import Desk as OneDesk
from reconciler_service.health import Health
from reconciler_service.mark_feed import MarkFeed
from reconciler_service.model import Mark, Source
from tests.reconciler_samples import NOW, until
from tests.simulated_desk import Desk, simulated_desk

D = Decimal
SECOND = timedelta(seconds=1)


async def mark_of(desk: Desk, symbol: str) -> str:
    request = position_service_pb2.ListPositionsRequest(venue="hyperliquid", symbol=symbol)
    return (await desk.book.ListPositions(request)).positions[0].mark_price


async def test_a_mark_that_moves_is_in_the_book_without_a_look(position: Any) -> None:
    async with simulated_desk(position, push=True, mark_interval=0.05) as desk:
        runner = desk.app.runner
        await until(lambda: runner.venues[0].push.state.value == "UP" and runner.last is not None)
        await desk.reconcile()
        looked = desk.venue.requests["clearinghouseState"]
        for price in ("42511.5", "42512"):
            desk.exchange.set_mark("BTC", D(price))
            await until_mark(desk, "BTC", price)
        assert desk.venue.requests["clearinghouseState"] == looked
        assert not (await desk.reconcile()).drifts


async def until_mark(desk: Desk, symbol: str, price: str) -> None:
    async with asyncio.timeout(30):
        while await mark_of(desk, symbol) != price:
            await asyncio.sleep(0.01)


class Telling:
    """A desk whose venue pushes what the test says."""

    def __init__(self, *told: dict[str, Mark]) -> None:
        self._told = list(told)

    def marks(self) -> dict[str, Mark]:
        return self._told.pop(0) if self._told else {}


def desks(*watches: Telling) -> list[OneDesk]:
    class Named:
        name = "hyperliquid"

    health = Health("main", "hyperliquid", Source.SIMULATED)
    return [OneDesk(Named(), health, watch) for watch in watches]  # type: ignore[arg-type]


class Sent(Book):
    """A book that remembers what it was sent."""

    def __init__(self, position: Any) -> None:
        super().__init__(position.channel)
        self.sent: list[list[tuple[str, str]]] = []

    async def push_marks(self, prices: Any) -> None:
        self.sent.append([(one.symbol, one.price) for one in prices])
        await super().push_marks(prices)


async def test_of_several_desks_the_newest_counts_and_the_same_again_is_not_sent(position: Any) -> None:
    old, new = Mark(D(42_000), NOW - SECOND), Mark(D(42_001), NOW)
    listed = desks(
        Telling({"BTC": new}, {"BTC": new}, {"BTC": Mark(D(42_002), NOW)}),
        Telling({"BTC": old, "ETH": Mark(D("2300.5"), NOW)}),
    )
    book = Sent(position)
    feed = MarkFeed(lambda: listed, book, 1.0, 10 * SECOND, clock=lambda: NOW)
    for _ in range(4):
        await feed.send()
    assert book.sent == [[("BTC", "42001"), ("ETH", "2300.5")], [("BTC", "42002")]]


@pytest.mark.parametrize("seconds", [-10, 10])
async def test_a_mark_of_another_time_is_not_sent(position: Any, seconds: int) -> None:
    """The newest observation wins in the book: one of the future would win for ever."""
    listed = desks(Telling({"BTC": Mark(D(1), NOW + seconds * SECOND)}))
    book = Sent(position)
    await MarkFeed(lambda: listed, book, 1.0, 10 * SECOND, clock=lambda: NOW).send()
    assert book.sent == []


async def test_who_is_not_active_sends_nothing_and_a_refusal_ends_nothing(position: Any) -> None:
    good = {"BTC": Mark(D(42_000), NOW)}
    listed = desks(Telling(good, {"BTC": Mark(D(10) ** 25, NOW)}, good, good))
    book, active = Sent(position), [False, True, True, True]
    feed = MarkFeed(lambda: listed, book, 1.0, 10 * SECOND, is_active=lambda: active.pop(0), clock=lambda: NOW)
    for _ in range(4):
        await feed.send()
    assert book.sent == [[("BTC", "1" + 25 * "0")], [("BTC", "42000")]]
