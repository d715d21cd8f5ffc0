"""The SIMULATED Hyperliquid has the keys and JSON types of answers people recorded from the real one.

A shape maps every path to the JSON types found there ("[]" is any list item). Recorded answers of several years
differ, so each comparison names the paths that only one side has; everything else must be equal.
"""

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from reconciler_service.simulator import info, scenario, server
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.faults import Faults
from reconciler_service.simulator.floor import SpotFloor
from reconciler_service.simulator.push import HyperliquidTalk
from reconciler_service.simulator.records import SpotBalance
from reconciler_service.simulator.wire import Style
from tests.conftest import RECORDED

FOLDER = RECORDED / "hyperliquid"
DESK = scenario.DESK
MAIN = {"type": "clearinghouseState", "user": DESK}
FILLS = {"type": "userFills", "user": DESK}
LEDGER = {"type": "userNonFundingLedgerUpdates", "user": DESK, "startTime": 0}
FUNDING = {"type": "userFunding", "user": DESK, "startTime": 0}
POSITION = ".assetPositions[].position"

# ccxt's recorders turned these integers into strings.
STRINGIFIED = {"value", "maxLeverage", "time", "token", "oid", "tid"}
LIQUIDATION = {f"[].liquidation{leaf}" for leaf in ("", ".liquidatedUser", ".markPx", ".method")}
OF_ISOLATED = {f"{POSITION}.leverage.rawUsd"}
SINCE_2023 = {
    ".crossMaintenanceMarginUsed",
    ".time",
    *(f"{POSITION}.{leaf}" for leaf in ("maxLeverage", "cumFunding")),
    *(f"{POSITION}.cumFunding.{leaf}" for leaf in ("allTime", "sinceChange", "sinceOpen")),
}
META = {".universe[].marginTableId", ".collateralToken", ".marginTables", ".marginTables[]", ".marginTables[][]"}
META |= {".marginTables[][].description", ".marginTables[][].marginTiers", ".marginTables[][].marginTiers[]"}
META |= {f".marginTables[][].marginTiers[].{leaf}" for leaf in ("lowerBound", "maxLeverage")}
CONTEXTS = {f"[]{path}" for path in META}
DELTAS = {"liquidatedNtlPos", "accountValue", "leverageType", "liquidatedPositions", "liquidatedPositions[]"}
DELTAS |= {"liquidatedPositions[].coin", "liquidatedPositions[].szi"}
LIQUIDATED = {f"[].delta.{leaf}" for leaf in DELTAS}
SPOT_SENT = {"token", "amount", "usdcValue", "user", "destination", "nativeTokenFee", "feeToken"}
SPOT_TRANSFERRED = {f"[].delta.{leaf}" for leaf in SPOT_SENT}
SENT = {f"[].delta.{leaf}" for leaf in ("sourceDex", "destinationDex")}
NONCE = {"[].delta.nonce"}  # null where nobody numbered it

# file, our request, paths only we send, paths only the recording has, paths whose types differ in years
CASES: list[tuple[str, dict[str, Any], set[str], set[str], set[str]]] = [
    ("hummingbot/info_clearinghouseState_eth_isolated_long", MAIN, set(), set(), {f"{POSITION}.liquidationPx"}),
    ("ccxt_comments/info_clearinghouseState_eth_isolated", MAIN, set(), set(), {f"{POSITION}.liquidationPx"}),
    (
        "ccxt_static/info_clearinghouseState_two_cross_longs_null_liq",
        MAIN,
        OF_ISOLATED,
        set(),
        {f"{POSITION}.liquidationPx"},
    ),
    (
        "pysdk/info_clearinghouseState_2023_mixed_long_short_cross",
        MAIN,
        SINCE_2023 | OF_ISOLATED,
        {f"{POSITION}.maxTradeSzs", f"{POSITION}.maxTradeSzs[]"},
        set(),
    ),
    ("ccxt_comments/info_clearinghouseState_flat", MAIN | {"user": "0x" + "9" * 40}, set(), set(), set()),
    (
        "ccxt_static/info_spotClearinghouseState_wrapped_coins",
        {"type": "spotClearinghouseState", "user": DESK},
        set(),
        set(),
        set(),
    ),
    ("ccxt_comments/info_userFills_liquidation", FILLS, set(), set(), set()),
    ("ccxt_comments/info_userFills", FILLS, LIQUIDATION | {"[].twapId"}, {"[].liquidationMarkPx"}, set()),
    ("ccxt_static/info_userFills_builder_liquidation_hip3", FILLS, set(), {"[].builderFee"}, set()),
    (
        "pysdk/info_userFillsByTime_2023_full_page",
        {"type": "userFillsByTime", "user": DESK, "startTime": 0},
        LIQUIDATION | {f"[].{leaf}" for leaf in ("twapId", "tid", "feeToken")},
        set(),
        set(),
    ),
    ("ccxt_comments/info_userFunding", FUNDING, set(), set(), set()),
    ("pysdk/info_userFunding_with_end", FUNDING, set(), set(), {"[].delta.nSamples"}),
    ("pysdk/info_userNonFundingLedgerUpdates", LEDGER, LIQUIDATED | SENT, set(), NONCE),
    ("ccxt_static/info_userNonFundingLedgerUpdates", LEDGER, LIQUIDATED | SPOT_TRANSFERRED | SENT, set(), NONCE),
    (
        "pysdk/info_fundingHistory",
        {"type": "fundingHistory", "coin": "BTC", "startTime": 0},
        set(),
        set(),
        set(),
    ),
    ("pysdk/info_meta_2023", {"type": "meta"}, META, set(), set()),
    (
        "ccxt_comments/info_metaAndAssetCtxs",
        {"type": "metaAndAssetCtxs"},
        CONTEXTS | {"[][].dayBaseVlm"},
        {"[].universe[].onlyIsolated"},
        set(),
    ),
    (
        "goat/info_metaAndAssetCtxs_testnet_2024-12",
        {"type": "metaAndAssetCtxs"},
        CONTEXTS,
        {"[].universe[].onlyIsolated", "[].universe[].isDelisted"},
        {"[][].midPx", "[][].premium", "[][].impactPxs"},  # null where a market is empty
    ),
    ("ccxt_comments/info_perpDexs", {"type": "perpDexs"}, set(), set(), {"[].oracleUpdater"}),
    ("pysdk/info_userRole_vault", {"type": "userRole", "user": DESK}, set(), set(), set()),
    ("pysdk/info_userRateLimit", {"type": "userRateLimit", "user": DESK}, set(), set(), set()),
    ("errors/subAccounts_none", {"type": "subAccounts", "user": DESK}, set(), set(), set()),
    ("errors/userAbstraction_bare_string", {"type": "userAbstraction", "user": DESK}, set(), set(), set()),
]


@pytest.fixture(scope="module")
def exchange() -> Exchange:
    """A venue where everything has happened that has a shape of its own."""
    made = scenario.new_exchange(lambda: 1_800_000_000_000)
    scenario.seed(made)
    made.set_spot(DESK, SpotBalance("HYPE", Decimal("4.5")))
    for coin in ("BTC", "ETH"):
        made.pay_funding(coin, Decimal("0.0000125"))
    made.trade(DESK, "ARB", is_buy=False, size=Decimal(10))
    made.liquidate(DESK, "ARB")
    floor = SpotFloor(made)
    floor.transfer(DESK, "USDC", Decimal(50))
    floor.between_classes(DESK, Decimal(4), to_perp=True)
    return made


def shape(value: Any, at: str = "", key: str = "", *, stringified: bool = False) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}

    def merge(other: dict[str, set[str]]) -> None:
        for path, kinds in other.items():
            found.setdefault(path, set()).update(kinds)

    if isinstance(value, dict):
        found[at] = {"object"}
        for name, inner in value.items():
            merge(shape(inner, f"{at}.{name}", name, stringified=stringified))
    elif isinstance(value, list):
        found[at] = {"list"}
        for inner in value:
            merge(shape(inner, f"{at}[]", key, stringified=stringified))
    elif value is None:
        found[at] = {"null"}
    else:
        number = stringified and isinstance(value, str) and key in STRINGIFIED and value.isdigit()
        found[at] = {"int" if number else type(value).__name__}
    return found


def load(name: str) -> Any:
    path = FOLDER / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no recorded payload at {path}")
    return json.loads(path.read_text(), parse_float=Decimal)


@pytest.mark.parametrize(
    ("name", "body", "ours_only", "theirs_only", "varying"), CASES, ids=[case[0] for case in CASES]
)
def test_keys_and_types_equal_the_recorded_ones(exchange, name, body, ours_only, theirs_only, varying):
    theirs = shape(load(name), stringified=name.startswith("ccxt"))
    told = info.answer(exchange, body, Faults({}), Style())
    ours = shape(json.loads(json.dumps(told), parse_float=Decimal))
    assert not {path for path, kinds in ours.items() if kinds & {"float", "Decimal"}}
    assert set(ours) - set(theirs) == ours_only
    assert set(theirs) - set(ours) <= theirs_only
    for path in set(ours) & set(theirs) - varying:
        assert ours[path] == theirs[path], path


def test_frames_of_the_socket_have_the_recorded_keys_and_types(exchange):
    talk = HyperliquidTalk(exchange, Style(), Counter())
    asked = [{"type": kind, "user": DESK} for kind in ("userFills", "spotState")]
    texts = [frame for one in asked for frame in talk.answer(json.dumps({"method": "subscribe", "subscription": one}))]
    ours = {frame.channel: shape(json.loads(frame.text)) for frame in texts}
    cases = {"userFills": "ws_userFills_snapshot", "spotState": "ws_spotState"}
    unlike = {f".data.fills[].{leaf}" for leaf in ("twapId", "feeToken", "cloid", "liquidationMarkPx", "liquidation")}
    unlike |= {f".data.fills[].liquidation.{leaf}" for leaf in ("liquidatedUser", "markPx", "method")}
    for channel, name in cases.items():
        theirs = shape(load(f"ccxt_comments/{name}"))
        other = {
            path for path in set(ours[channel]) ^ set(theirs) if "tokenToAvailable" not in path
        }  # portfolio margin
        assert other <= unlike
        assert all(ours[channel][path] == theirs[path] for path in set(ours[channel]) & set(theirs))
    theirs = shape(load("ccxt_comments/ws_subscriptionResponse"))
    assert {path for path in theirs if path.count(".") < 3} == {
        path for path in ours["subscriptionResponse"] if path.count(".") < 3
    }
    assert [json.loads(frame.text) for frame in talk.answer('{"method":"ping"}')] == [load("errors/ws_pong")]
    for name, sent in (("ws_error_bad_request", "{"), ("ws_error_invalid_subscription", '{"method":"subscribe"}')):
        recorded = load(f"errors/{name}")
        (told,) = [json.loads(frame.text) for frame in talk.answer(sent)]
        assert (set(told), told["channel"]) == (set(recorded), recorded["channel"])
        assert told["data"].split()[:2] == recorded["data"].split()[:2]


def test_allmids_is_a_flat_map_of_strings(exchange):
    theirs = load("pysdk/info_allMids_2023")
    ours = info.answer(exchange, {"type": "allMids"}, Faults({}), Style())
    assert {type(value) for value in theirs.values()} == {type(value) for value in ours.values()} == {str}


def test_recorded_refusals_are_ours():
    assert load("errors/info_422_bad_body")["body"] == server.NOT_DESERIALIZED
    assert load("errors/info_429_null")["body"] is None
    assert load("errors/info_500_null")["body"] is None
