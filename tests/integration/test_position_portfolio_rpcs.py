"""GetPortfolioSummary and ListPositionsAtRisk through the real service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from trueup.position.v1 import position_service_pb2 as pb

from tests.position_client import Client, stamp

SHORT = 2


@pytest.fixture
def client(position) -> Client:
    return Client(position.channel)


async def mark(client: Client, **prices: str) -> None:
    await client.call("UpdatePrices", prices=[pb.PriceUpdate(symbol=s, price=p) for s, p in prices.items()])


# ---- the summary


async def test_an_empty_portfolio(client):
    assert await client.call("GetPortfolioSummary") == pb.GetPortfolioSummaryResponse(
        total_unrealized_pnl="0",
        total_notional_value="0",
        total_realized_pnl="0",
        long_notional="0",
        short_notional="0",
        net_notional="0",
        confirmed_pnl="0",
        estimated_pnl="0",
        total_funding="0",
    )


async def test_the_example_of_the_design(client):
    await client.open(size="0.5", price="42000", liquidation_price="38000")
    await mark(client, BTC="42500")
    summary = await client.call("GetPortfolioSummary")
    assert (summary.total_positions, summary.total_unrealized_pnl) == (1, "250")
    assert (summary.total_notional_value, summary.net_notional, summary.positions_at_risk) == ("21250", "21250", 0)
    listed = await client.call("ListPositionsAtRisk", threshold="10.6")
    assert [p.liquidation_distance_percent for p in listed.positions] == ["10.588235294117647059"]
    assert [(p.margin_ratio, p.estimated_liquidation_price) for p in listed.positions] == [("0.105882352941176471", "")]
    assert not (await client.call("ListPositionsAtRisk", threshold="10.5")).positions


async def test_sums_are_exact_and_longs_and_shorts_apart(client):
    await client.open("BTC", size="0.000000000000000001", price="0.000000000000000003", fee="0.1")
    await client.open("ETH", size="3", price="100", side=SHORT, liquidation_price="91")
    await client.open("SOL", size="2", price="100.000000000000000001")
    await client.call("ReducePosition", symbol="SOL", size="1", price="107")
    await client.open("DOGE", size="1", price="100", venue="coinbase")
    await client.open("XRP", size="1", price="1")
    await client.call("ClosePosition", symbol="XRP", close_price="9")
    await mark(client, BTC="0.5", ETH="90", SOL="99.9")
    assert await client.call("GetPortfolioSummary") == pb.GetPortfolioSummaryResponse(
        total_positions=4,
        total_unrealized_pnl="29.899999999999999999",  # 0.5E-18 - 3E-36 + 30 - 0.100000000000000001, rounded once
        total_notional_value="369.9",  # 0.5E-18 + 270 + 99.9, half-even
        long_notional="99.9",
        short_notional="270",
        net_notional="-170.1",
        total_realized_pnl="6.899999999999999999",
        positions_at_risk=1,
        assets=["BTC/USD", "DOGE/USD", "ETH/USD", "SOL/USD"],
        missing_marks=["coinbase/DOGE"],
        revision=8,
        confirmed_pnl="6.899999999999999999",
        estimated_pnl="0",
        total_funding="0",
    )


async def test_the_summary_of_an_account_or_venue(client):
    await client.open("BTC", size="1")
    await client.open("BTC", size="2", account="other")
    await client.open("BTC", size="4", account="other", venue="coinbase")
    await mark(client, BTC="10")

    async def summed(**fields):
        answer = await client.call("GetPortfolioSummary", **fields)
        return answer.total_positions, answer.long_notional, list(answer.missing_marks)

    assert await summed() == (3, "30", ["coinbase/BTC"])
    assert await summed(account="other") == (2, "20", ["coinbase/BTC"])
    assert await summed(venue="hyperliquid") == (2, "30", [])
    assert await summed(account="other", venue="hyperliquid") == (1, "20", [])
    assert await summed(account="nobody") == (0, "0", [])


async def test_old_marks_and_guesses_are_told_apart(client, start_position):
    for symbol in ("BTC", "ETH", "SOL"):
        await client.open(symbol, size="2")
    await client.call("ReducePosition", symbol="BTC", size="1", price="107")
    await client.call("AdjustPosition", symbol="ETH", size="1", close_price="103", reason_code="X", estimated=True)
    ages = {"BTC": timedelta(seconds=10), "ETH": timedelta(seconds=400)}
    prices = [pb.PriceUpdate(symbol=s, price="110", observed_at=stamp(datetime.now(UTC) - a)) for s, a in ages.items()]
    await client.call("UpdatePrices", prices=prices)
    summary = await client.call("GetPortfolioSummary")
    assert (summary.total_unrealized_pnl, summary.total_notional_value) == ("10", "110")
    assert (list(summary.old_marks), list(summary.missing_marks)) == (["hyperliquid/ETH"], ["hyperliquid/SOL"])
    assert (summary.total_realized_pnl, summary.confirmed_pnl, summary.estimated_pnl) == ("10", "7", "3")
    patient = Client((await start_position(mark_max_age=86_400)).channel)
    assert list((await patient.call("GetPortfolioSummary")).old_marks) == []
    hasty = Client((await start_position(mark_max_age=1)).channel)
    summary = await hasty.call("GetPortfolioSummary")
    assert list(summary.old_marks) == ["hyperliquid/BTC", "hyperliquid/ETH"]
    assert (summary.total_positions, summary.total_unrealized_pnl, summary.net_notional) == (3, "0", "0")


async def test_the_summary_is_that_of_any_service_and_after_a_restart(client, start_position):
    await client.open("BTC", size="1", liquidation_price="95", price="100")
    await mark(client, BTC="99")
    summary = await client.call("GetPortfolioSummary")
    assert summary.positions_at_risk == 1
    assert await Client((await start_position()).channel).call("GetPortfolioSummary") == summary


# ---- at risk


async def some_at_risk(client: Client) -> None:
    for symbol, side, liquidation in (
        ("FAR", 1, "90"),
        ("NEAR", 1, "97"),
        ("SHORT", SHORT, "102"),
        ("CROSSED", 1, "101"),
        ("EDGE", 1, "95"),
        ("UNMARKED", 1, "99"),
    ):
        await client.open(symbol, side=side, price="100", liquidation_price=liquidation)
    await client.open("UNKNOWN", price="100")
    await mark(client, FAR="100", NEAR="100", SHORT="100", CROSSED="100", EDGE="100", UNKNOWN="100")


async def near(client: Client, **fields: object) -> list[str]:
    return [p.symbol for p in (await client.call("ListPositionsAtRisk", **fields)).positions]


async def test_the_nearest_come_first_up_to_the_threshold(client):
    assert await near(client) == []
    await some_at_risk(client)
    answer = await client.call("ListPositionsAtRisk")
    assert [(p.symbol, p.liquidation_distance_percent, p.at_risk) for p in answer.positions] == [
        ("CROSSED", "-1", True),
        ("SHORT", "2", True),
        ("NEAR", "3", True),
        ("EDGE", "5", True),
    ]
    assert answer.revision == (await client.call("GetPortfolioSummary")).revision
    assert await near(client, threshold="10") == ["CROSSED", "SHORT", "NEAR", "EDGE", "FAR"]
    assert await near(client, threshold="2.999999999999999999") == ["CROSSED", "SHORT"]
    assert await near(client, threshold="0") == ["CROSSED"]
    await mark(client, CROSSED="200", SHORT="102.5")
    assert await near(client) == ["SHORT", "NEAR", "EDGE"]
    await client.call("ClosePosition", symbol="NEAR", close_price="1")
    assert await near(client) == ["SHORT", "EDGE"]


async def test_the_threshold_is_the_servers_own_unless_given(start_position):
    client = Client((await start_position(liquidation_threshold=Decimal(2))).channel)
    await some_at_risk(client)
    assert await near(client) == ["CROSSED", "SHORT"]
    assert await near(client, threshold="3") == ["CROSSED", "SHORT", "NEAR"]


async def test_an_estimate_is_told_apart_and_decides_where_no_price_is_given(client, start_position):
    opened = await client.open("BTC", price="100", leverage="10")
    assert (opened.liquidation_price, opened.estimated_liquidation_price) == ("", "91.139240506329113924")
    for name, fields in {"GIVEN": {"liquidation_price": "80"}, "SPOT": {"product": "PRODUCT_SPOT"}}.items():
        assert not (await client.open(name, price="100", leverage="10", **fields)).estimated_liquidation_price
    await mark(client, BTC="95", GIVEN="95", SPOT="95")
    (near_it,) = (await client.call("ListPositionsAtRisk")).positions
    assert (near_it.symbol, near_it.at_risk, near_it.liquidation_price) == ("BTC", True, "")
    assert near_it.liquidation_distance_percent == "4.063957361758827448"
    assert near_it.margin_ratio == "0.040639573617588274"
    assert (await client.call("GetPortfolioSummary")).positions_at_risk == 1
    events = (await client.call("ListPositionHistory", symbol="BTC")).events
    assert [e.type for e in events] == [2, 13]  # OPENED, RISK_ENTERED
    # Facts of the past do not change with a setting of today; what is shown of now does, before any price moves.
    assert not events[-1].after.estimated_liquidation_price
    strict = Client((await start_position(maintenance_margin=Decimal("0.05"))).channel)
    assert (await strict.call("GetPosition", symbol="BTC")).position.estimated_liquidation_price == (
        "94.736842105263157895"
    )
    lax = Client((await start_position(maintenance_margin=Decimal(0))).channel)
    assert await near(lax) == []
    assert not (await lax.call("GetPosition", symbol="BTC")).position.at_risk


async def test_who_is_at_risk_is_filtered(client):
    await some_at_risk(client)
    await client.open("NEAR", account="other", price="100", liquidation_price="98")
    assert await near(client, account="other") == ["NEAR"]
    assert await near(client, symbol="NEAR") == ["NEAR", "NEAR"]
    assert await near(client, asset="EDGE/USD", venue="hyperliquid") == ["EDGE"]
    assert await near(client, venue="coinbase") == []


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
async def test_pages_cover_whoever_is_at_risk(client, size):
    await some_at_risk(client)
    found, token, pages = [], "", 0
    while True:
        page = await client.call("ListPositionsAtRisk", page_size=size, page_token=token)
        assert len(page.positions) <= size
        found += [p.symbol for p in page.positions]
        token, pages = page.next_page_token, pages + 1
        if not token:
            break
    assert found == ["CROSSED", "SHORT", "NEAR", "EDGE"]
    assert pages == -(-4 // size)
