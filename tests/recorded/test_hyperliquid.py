"""Every recorded Hyperliquid payload goes through its decoder; none is forgotten. They stand beside the repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from reconciler_service.model import MarginMode, Side, VenueFill, VenuePosition
from reconciler_service.venues import VenueRefused, VenueUnreachable
from reconciler_service.venues.http import Reply, StatusRefused, parse, read_reply
from reconciler_service.venues.hyperliquid import decode, flows, history
from reconciler_service.venues.hyperliquid.push import HyperliquidDialect
from reconciler_service.venues.push import CHANGE, NOTHING
from reconciler_service.venues.wire import denoised, milliseconds
from tests.conftest import RECORDED

FOLDER = RECORDED / "hyperliquid"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.json")) if FOLDER.is_dir() else []

pytestmark = pytest.mark.skipif(
    not FILES, reason="no recorded payloads beside the repository: ../shared/recorded/hyperliquid"
)

# Kinds that this adapter does not ask for, and why not.
NOT_READ = {
    "info_delegatorHistory": "staking: neither a position nor collateral",
    "info_extraAgents": "who else may sign: nothing is held by them",
    "info_frontendOpenOrders": "orders: what they hold is part of the balance",
    "info_fundingHistory": "the market's rates; what was paid is userFunding",
    "info_historicalOrders": "orders",
    "info_l2Book": "a book; the mark comes with the position",
    "info_openOrders": "orders",
    "info_portfolio": "a chart of account values, hours apart",
    "info_userRateLimit": "the limit of actions, which reading does not use",
    "info_userTwapSliceFills": "the same fills that userFillsByTime has",
    "info_userVaultEquities": "shares in somebody else's vault: no position of the account",
}
# Cut down by whoever published it: a position is missing from the totals, so it does not balance.
# Whose ledger has a transfer in it: only with the address is it known which way it went.
LEDGER_OF = "0x2ba553d9f990a3b66b03b2dc0d030dfc1c061036"
TRIMMED = {"ccxt_comments/info_clearinghouseState_eth_isolated.json"}


def load(file: str) -> object:
    return parse((FOLDER / file).read_bytes(), file)


def raw(file: str) -> object:
    """The same, read by the standard parser alone: what the decoders are checked against."""
    return json.loads((FOLDER / file).read_bytes(), parse_float=Decimal)


def known_steps() -> dict[str, Decimal]:
    steps: dict[str, Decimal] = {}
    for file in FILES:
        if kind_of(file) == "info_metaAndAssetCtxs":
            steps |= decode.size_steps(load(file)[0])  # type: ignore[index]
        elif kind_of(file) == "info_meta":
            steps |= decode.size_steps(load(file))
    return steps


def check_state(file: str) -> None:
    steps = known_steps()
    wire = raw(file)
    rows = {row["position"]["coin"]: row["position"] for row in wire["assetPositions"]}  # type: ignore[index]
    state = decode.account_state(load(file), steps)
    assert decode.held_coins(load(file)) == rows.keys()
    assert {p.symbol for p in state.positions} == {c for c, row in rows.items() if Decimal(row["szi"]) != 0}
    for position in state.positions:
        check_position(position, rows[position.symbol])
    summary = wire["marginSummary"]  # type: ignore[index]
    assert state.account_value == Decimal(summary["accountValue"])
    assert state.total_notional == Decimal(summary["totalNtlPos"])
    signed = sum((p.side.sign * Decimal(rows[p.symbol]["positionValue"]) for p in state.positions), Decimal(0))
    if file not in TRIMMED:
        assert state.listed_notional is not None
        assert abs(state.listed_notional - state.total_notional) < Decimal("1e-6")
        assert state.total_raw_usd is not None
        assert abs(state.total_raw_usd + signed - state.account_value) < Decimal("1e-6")
        assert state.total_margin_used == sum((Decimal(r["marginUsed"]) for r in rows.values()), Decimal(0))


def check_position(position: VenuePosition, row: dict[str, str]) -> None:
    wire = Decimal(row["szi"])
    assert position.raw_size == row["szi"]
    assert position.size % position.size_step == 0
    assert abs(position.size * position.side.sign - wire) <= Decimal("1e-12") * max(abs(wire), Decimal(1))
    assert position.entry_price == Decimal(row["entryPx"])
    assert position.liquidation_price == (Decimal(row["liquidationPx"]) if row.get("liquidationPx") else None)
    assert position.leverage == Decimal(row["leverage"]["value"])  # type: ignore[index]
    assert position.margin_mode is MarginMode[row["leverage"]["type"].upper()]  # type: ignore[index]
    assert position.mark_price is not None
    assert abs(position.mark_price * position.size - Decimal(row["positionValue"])) < Decimal("1e-6")
    if position.margin_mode is MarginMode.ISOLATED:
        raw_usd = Decimal(row["leverage"]["rawUsd"])  # type: ignore[index]
        assert raw_usd + position.side.sign * Decimal(row["positionValue"]) == Decimal(row["marginUsed"])


def check_fills(rows: list[dict[str, str]], found: list[VenueFill]) -> None:
    assert len(found) == len(rows), "a fill was merged with another"
    assert len({fill.fill_id for fill in found}) == len(found)
    assert all(len(fill.fill_id) <= 128 for fill in found)
    assert [fill.time for fill in found] == sorted(fill.time for fill in found)
    seen = sorted((f.symbol, milliseconds(f.time), f.is_buy, f.size, f.price, f.fee, f.text) for f in found)
    assert seen == sorted(
        (
            row["coin"],
            int(row["time"]),
            row["side"] == "B",
            denoised(Decimal(row["sz"]), ""),
            denoised(Decimal(row["px"]), ""),
            denoised(Decimal(row["fee"]), ""),
            row["dir"],
        )
        for row in rows
    )
    flags = sorted(row["coin"] for row in rows if row.get("liquidation"))
    assert sorted(fill.symbol for fill in found if fill.liquidation) == flags


def check_metas(file: str) -> None:
    pair = load(file)
    names = [market["name"] for market in raw(file)[0]["universe"]]  # type: ignore[index]
    found = decode.marks(pair)
    steps = decode.size_steps(pair[0])  # type: ignore[index]
    assert list(steps) == names
    contexts = zip(names, raw(file)[1], strict=True)  # type: ignore[index]
    assert found == {name: Decimal(context["markPx"]) for name, context in contexts if Decimal(context["markPx"] or 0)}


def check_meta(file: str) -> None:
    universe = raw(file)["universe"]  # type: ignore[index]
    assert decode.size_steps(load(file)) == {m["name"]: Decimal(1).scaleb(-int(m["szDecimals"])) for m in universe}


def check_dexs(file: str) -> None:
    assert decode.perp_dexs(load(file)) == ("", *(dex["name"] for dex in raw(file) if dex))  # type: ignore[attr-defined]


def check_spot(file: str) -> None:
    rows = raw(file)["balances"]  # type: ignore[index]
    found = decode.spot_balances(load(file))
    assert [(b.coin, b.total, b.hold) for b in found] == [
        (r["coin"], Decimal(r["total"]), Decimal(r["hold"])) for r in rows
    ]


def check_mids(file: str) -> None:
    wire = raw(file)
    assert decode.mids(load(file)) == {coin: Decimal(mid) for coin, mid in wire.items() if Decimal(mid)}  # type: ignore[attr-defined]


def check_funding(file: str) -> None:
    booked = [flows.funding(row) for row in load(file)]  # type: ignore[attr-defined]
    assert len({one.key for one in booked}) == len(raw(file)), "two payments were taken for one"  # type: ignore[arg-type]
    paid = [Decimal(row["delta"]["usdc"]) for row in raw(file)]  # type: ignore[attr-defined]
    assert [flow.amount for one in booked for flow in one.flows] == paid
    check_payments(file)


def check_payments(file: str) -> None:
    rows = raw(file)
    found = history.funding(load(file))
    assert len(found) == len(rows)  # type: ignore[arg-type]
    assert sorted((f.symbol, f.amount, f.size) for f in found) == sorted(
        (r["delta"]["coin"], Decimal(r["delta"]["usdc"]), Decimal(r["delta"]["szi"]))
        for r in rows  # type: ignore[attr-defined]
    )


def check_ledger(file: str) -> None:
    rows = raw(file)
    found = history.ledger(load(file))
    assert sorted(entry.kind for entry in found) == sorted(row["delta"]["type"] for row in rows)  # type: ignore[attr-defined]
    assert all(entry.amount is not None and entry.currency for entry in found)
    assert [entry.time for entry in found] == sorted(entry.time for entry in found)

    booked = [flows.ledger(row, LEDGER_OF) for row in load(file)]  # type: ignore[attr-defined]
    assert len({one.key for one in booked}) == len(rows)  # type: ignore[arg-type]
    for one, row in zip(booked, rows, strict=True):  # type: ignore[arg-type]
        delta = row["delta"]
        assert one.flows, f"{delta['type']} moved nothing"
        assert abs(one.flows[0].amount) == denoised(Decimal(delta.get("usdc") or delta["amount"]), "") + Decimal(
            delta.get("fee", 0)
        )


def check_role(file: str) -> None:
    assert decode.user_role(load(file)).role == raw(file)["role"]  # type: ignore[index]


def dialect() -> HyperliquidDialect:
    return HyperliquidDialect("0x" + "ab" * 20, ["wss://nowhere/ws"])


def check_ws_passed_over(file: str) -> None:
    assert dialect().hear(json.dumps(json.loads((FOLDER / file).read_bytes()))) == NOTHING


def check_ws_data(file: str) -> None:
    """The first one is where things stand; what differs from it is a reason to look."""
    listening, message = dialect(), json.loads((FOLDER / file).read_bytes())
    assert listening.hear(json.dumps(message)) == NOTHING
    assert message["channel"] not in listening.missing
    assert listening.hear(json.dumps(message)) == NOTHING
    if message["channel"] == "userFills":
        del message["data"]["isSnapshot"]
    else:
        message["data"]["spotState"]["balances"].append({"coin": "HYPE", "total": "0.5"})
    assert listening.hear(json.dumps(message)) == CHANGE


def check_ws_error(file: str) -> None:
    told = dialect().hear((FOLDER / file).read_text())
    assert told.error.startswith("hyperliquid push: ")
    assert (told.change, told.is_over) == (False, False)


def check_err_body(file: str) -> None:
    with pytest.raises(VenueRefused, match="does not exist"):
        decode.refuse_error(load(file))


def check_reply(file: str) -> None:
    recorded = raw(file)
    assert isinstance(recorded, dict)
    body = recorded["body"]
    wire = body if isinstance(body, str) else json.dumps(body)
    reply = Reply(int(recorded["status"]), recorded["content_type"], wire.encode())
    if reply.status == 422:
        with pytest.raises(StatusRefused, match="Failed to deserialize"):
            read_reply(reply, "hyperliquid")
    else:
        with pytest.raises(VenueUnreachable, match=r"too many requests|status 5"):
            read_reply(reply, "hyperliquid")


CHECKS: dict[str, Callable[[str], None]] = {
    "exchange_error": check_err_body,
    "info_allMids": check_mids,
    "info_clearinghouseState": check_state,
    "info_meta": check_meta,
    "info_metaAndAssetCtxs": check_metas,
    "info_perpDexs": check_dexs,
    "info_spotClearinghouseState": check_spot,
    "info_userFills": lambda file: check_fills(raw(file), history.fills(load(file))),  # type: ignore[arg-type]
    "info_userFillsByTime": lambda file: check_fills(raw(file), history.fills(load(file))),  # type: ignore[arg-type]
    "info_userFunding": check_funding,
    "info_userNonFundingLedgerUpdates": check_ledger,
    "info_userRole": check_role,
    "info_4": check_reply,
    "info_5": check_reply,
    "subAccounts": lambda file: pytest.fail("not null") if decode.sub_accounts(load(file)) else None,
    "userAbstraction": lambda file: (
        None if decode.user_abstraction(load(file)) == raw(file) else pytest.fail("differs")
    ),
    "ws_activeAssetCtx": check_ws_passed_over,
    "ws_error": check_ws_error,
    "ws_pong": check_ws_passed_over,
    "ws_spotState": check_ws_data,
    "ws_subscriptionResponse": check_ws_passed_over,
    "ws_userFills": check_ws_data,
}


def kind_of(file: str) -> str:
    stem = Path(file).stem
    head, _, rest = stem.partition("_")
    if head in ("info", "ws", "exchange"):
        word = rest.partition("_")[0]
        return f"{head}_{word[0] if word[0].isdigit() else word}"
    return head


@pytest.mark.parametrize("file", FILES)
def test_every_payload_is_decoded_or_knowingly_not_read(file: str) -> None:
    kind = kind_of(file)
    if kind in NOT_READ:
        assert kind not in CHECKS
        parse((FOLDER / file).read_bytes(), file)  # exact JSON all the same
        return
    assert kind in CHECKS, f"{file} is neither decoded nor listed as not read"
    CHECKS[kind](file)


def test_positions_of_the_mixed_account_are_exact() -> None:
    file = "pysdk/info_clearinghouseState_2023_mixed_long_short_cross.json"
    if file not in FILES:
        pytest.skip("not here")
    state = decode.account_state(load(file), known_steps())
    by_symbol = {p.symbol: p for p in state.positions}
    assert len(by_symbol) == 12
    assert sum(p.side is Side.SHORT for p in state.positions) == 5
    btc = by_symbol["BTC"]
    assert (btc.asset, btc.side, btc.size, btc.size_step) == (
        "BTC/USD",
        Side.SHORT,
        Decimal("0.00785"),
        Decimal("0.00001"),
    )
    assert (btc.mark_price, btc.liquidation_price) == (Decimal("26961.2"), Decimal("173198.69592357"))
    assert by_symbol["ETH"].liquidation_price is None
    assert by_symbol["ARB"].mark_price == Decimal("1.1798")
    assert state.observed_at is None


def test_fills_of_a_liquidation_belong_to_the_liquidated_user_only() -> None:
    file = "ccxt_comments/info_userFills_liquidation.json"
    if file not in FILES:
        pytest.skip("not here")
    victim = raw(file)[0]["liquidation"]["liquidatedUser"]  # type: ignore[index]
    assert history.fills(load(file), victim)[0].liquidation
    assert not history.fills(load(file), "0x" + "0" * 40)[0].liquidation


def test_k_coins_and_flat_account() -> None:
    steps = known_steps()
    assert steps["kPEPE"] == 1
    flat = "ccxt_comments/info_clearinghouseState_flat.json"
    if flat not in FILES:
        pytest.skip("not here")
    state = decode.account_state(load(flat), steps)
    assert state.positions == ()
    assert state.observed_at is not None
    assert state.observed_at.isoformat() == "2024-01-03T05:50:07.014000+00:00"
