"""The SIMULATED Coinbase has the keys and JSON types of answers people recorded from the real one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from reconciler_service.simulator.coinbase import scenario, wire
from reconciler_service.simulator.coinbase.gate import ApiKey, Gate
from reconciler_service.simulator.coinbase.portfolio import Portfolio
from reconciler_service.simulator.coinbase.push import CoinbaseTalk
from reconciler_service.simulator.coinbase.scenario import DATED
from reconciler_service.simulator.coinbase.wire import Style
from reconciler_service.venues.coinbase.auth import key
from tests.coinbase_samples import EC, KEY_NAME, SEC1
from tests.conftest import RECORDED

NOW_MS = 1_795_356_000_123


def portfolio() -> Portfolio:
    made = scenario.new_portfolio(lambda: NOW_MS)
    made.trade("BTC-USD", is_buy=True, size=Decimal("0.1"))
    return made


def shape(value: Any, path: str = "") -> dict[str, str]:
    """Every path to the JSON type found there; "[]" is the first item of a list. Null says nothing of a type."""
    if isinstance(value, dict):
        return {key: kind for name, inner in value.items() for key, kind in shape(inner, f"{path}.{name}").items()}
    if isinstance(value, list):
        return shape(value[0], f"{path}[]") if value else {}
    return {} if value is None else {path: type(value).__name__}


CASES: dict[str, Any] = {
    "kmiq/list_accounts_success_response": lambda one: wire.accounts(one, {}, Style(page=2)),
    "kmiq/list_accounts_all_call_2_success_response": lambda one: wire.accounts(one, {}, Style(page_end="null")),
    "ccxt_comments/cfm_positions_BIT-26APR24-CDE": lambda one: wire.positions(one, Style()),
    "ccxt_comments/product_spot_TONE-USD": lambda one: wire.product(one.markets["BTC-USD"]),
    "ccxt_comments/product_future_BIT-26APR24-CDE": lambda one: wire.product(one.markets[DATED]),
    "ccxt_comments/best_bid_ask": lambda one: wire.best_bid_ask(one, ["BTC-USD"]),
    "kmiq/list_fills_success_response": lambda one: wire.fills(one.fills, {}, Style()),
    "kmiq/get_unix_time_success_response": lambda one: wire.server_time(one.now()),
    "kmiq/list_portfolios_success_response": wire.portfolios,
    "jkorf/Account_GetApiKeyInfo": lambda one: wire.key_permissions(ApiKey("k", None), one),
}
OURS = {".accounts[].retail_portfolio_id", ".accounts[].platform", ".future_product_details.funding_rate"}  # newer


@pytest.mark.parametrize("name", CASES)
def test_a_simulated_answer_has_the_recorded_shape(name: str) -> None:
    file = RECORDED / "coinbase" / f"{name}.json"
    if not file.is_file():
        pytest.skip(f"no recorded payload at {file}")
    real, ours = shape(json.loads(file.read_bytes())), shape(CASES[name](portfolio()))
    assert {path: kind for path, kind in ours.items() if path in real} == {
        path: kind for path, kind in real.items() if path in ours
    }
    assert set(ours) - set(real) <= OURS | {".alias", ".display_name"}
    unread = {path for path in set(real) - set(ours) if "product" not in name}
    assert not unread, "the simulator leaves out what the venue sends"


@pytest.mark.parametrize("file", ["ws_User", "ws_FuturesBalance", "ws_Heartbeat"])
def test_simulated_frames_have_the_recorded_shape(file: str) -> None:
    path = RECORDED / "coinbase" / "jkorf" / f"{file}.json"
    if not path.is_file():
        pytest.skip(f"no recorded payload at {path}")
    asked, *real = [step["msg"] for step in json.loads(path.read_bytes())]
    made = portfolio()
    talk = CoinbaseTalk(made, Gate([ApiKey(KEY_NAME, EC.public_key())], lambda: NOW_MS))
    token = key(KEY_NAME, SEC1).socket_token(datetime.fromtimestamp(NOW_MS / 1000, UTC))
    frames = list(talk.answer(json.dumps(asked | {"jwt": token})))
    made.trade("BTC-USD", is_buy=True, size=Decimal("0.1"))  # an order; a snapshot here holds none that are open
    frames += talk.news()
    ours = {frame.channel: json.loads(frame.text) for frame in frames}
    assert [json.loads(frame.text)["sequence_num"] for frame in frames] == list(range(len(frames)))
    assert set(ours) == {one["channel"] for one in real}
    for message in real:
        theirs, mine = shape(message), shape(ours[message["channel"]])
        apart = {path for path in set(theirs) ^ set(mine) if "perpetual_futures_positions" not in path}
        assert not apart, message["channel"]
        same = set(theirs) & set(mine) - {".events[].heartbeat_counter"}  # recorded as a text and as a number
        assert {path: theirs[path] for path in same} == {path: mine[path] for path in same}


def test_the_breakdown_holds_floats() -> None:
    (first, *_) = wire.breakdown(portfolio(), Style())["breakdown"]["spot_positions"]
    assert isinstance(first["total_balance_crypto"], float)
