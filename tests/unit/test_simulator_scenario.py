"""The demonstration begins true and then drifts as told."""

from decimal import Decimal

import pytest

from reconciler_service.simulator import scenario
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.records import ExchangeError, Mode

D = Decimal
NOW = 1_800_000_000_000
DESK = scenario.DESK


@pytest.fixture
def clock() -> list[int]:
    return [NOW]


@pytest.fixture
def exchange(clock) -> Exchange:
    made = scenario.new_exchange(lambda: clock[0])
    scenario.seed(made)
    return made


def test_the_venue_starts_as_the_book_believes(exchange):
    held = {seen.position.coin: seen.position for dex in exchange.dexes for seen in exchange.view(DESK, dex).positions}
    assert list(held) == [one.coin for one in scenario.book()]
    for one in scenario.book():
        position = held[one.coin]
        assert (position.size > 0, abs(position.size), position.entry) == (one.is_long, one.size, one.entry_price)
        assert (position.leverage, position.mode) == (one.leverage, one.mode)


async def test_the_story_makes_four_different_drifts(exchange):
    captions = [step.caption async for step in scenario.play(exchange, DESK, spacing_s=0)]
    held = {seen.position.coin: seen.position for seen in exchange.view(DESK).positions}
    assert len(set(captions)) == 4
    assert set(held) == {"BTC", "HYPE"}
    assert held["BTC"].size == D("0.6")
    assert (held["HYPE"].leverage, held["HYPE"].mode) == (10, Mode.CROSS)
    fills = {fill.coin: fill for fill in exchange.account(DESK).history.fills}
    assert (fills["SOL"].direction, fills["SOL"].liquidation) == ("Close Long", None)
    assert fills["ETH"].liquidation is not None
    assert fills["ETH"].price >= fills["ETH"].liquidation.mark
    # Told twice, it says why it cannot be.
    with pytest.raises(ExchangeError):
        [step async for step in scenario.play(exchange, DESK, spacing_s=0)]


def test_the_walk_is_seeded_bounded_and_liquidates_nobody(exchange):
    other = exchange.freeze()
    # A hair from liquidation: the walk must not be what crosses it.
    for one in (exchange, other):
        one.set_mark("ETH", D("2425.4"))
    start = {coin: market.mark for coin, market in exchange.markets.items()}
    walks = [scenario.Walk(one, seed=4) for one in (exchange, other)]
    seen = set()
    for _ in range(400):
        for walk in walks:
            walk.step()
        for coin, market in exchange.markets.items():
            assert abs(market.mark - start[coin]) <= start[coin] * scenario.BAND
        assert not any(one.is_liquidatable for dex in exchange.dexes for one in exchange.view(DESK, dex).positions)
        seen.add(exchange.market("BTC").mark)
    assert len(seen) > 100
    assert {c: m.mark for c, m in exchange.markets.items()} == {c: m.mark for c, m in other.markets.items()}
    exchange.set_mark("BTC", D(50_000))
    walks[0].step()
    assert abs(exchange.market("BTC").mark - 50_000) < 50
