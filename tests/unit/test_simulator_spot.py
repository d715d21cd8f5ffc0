"""Spot at the SIMULATED venue: whatever happens, every unit is accounted for, and a refusal leaves no trace."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler_service.simulator import info, scenario
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.faults import Faults
from reconciler_service.simulator.floor import SpotFloor
from reconciler_service.simulator.records import Deposit, ExchangeError, Fill, Role, SpotBalance, Transfer
from reconciler_service.simulator.spot import CASH, TOKENS
from reconciler_service.simulator.wire import Style

D = Decimal
NOW = 1_800_000_000_000
DESK = scenario.DESK
HEDGE = "0x" + "11" * 20
PAIRS = {token.pair: token.name for token in TOKENS.values() if token.name != CASH}


def world() -> tuple[Exchange, SpotFloor]:
    exchange = scenario.new_exchange(lambda: NOW)
    exchange.open_account(DESK)
    exchange.deposit(DESK, D(100_000))
    return exchange, SpotFloor(exchange)


def ask(exchange: Exchange, **body: Any) -> Any:
    return info.answer(exchange, body, Faults({}), Style())


def told(history: Any, token: str) -> Decimal:
    """What the fills and the ledger of an account add up to, for one token."""
    total = D(0)
    for fill in history.fills:
        total += moved_by(fill, token)
    for entry in history.ledger:
        if isinstance(entry, Transfer) and entry.kind == "accountClassTransfer" and token == CASH:
            total += -D(str(entry.told["usdc"])) if entry.told["toPerp"] else D(str(entry.told["usdc"]))
        elif isinstance(entry, Transfer) and entry.told.get("token") == token:
            amount = D(str(entry.told["amount"]))
            total += amount if entry.told["destination"] == DESK else -amount
    return total


def moved_by(fill: Fill, token: str) -> Decimal:
    total = D(0)
    if PAIRS.get(fill.coin) == token:
        total += fill.signed_size
    elif token == CASH:
        total -= fill.signed_size * fill.price
    return total - (fill.fee if fill.fee_token == token else D(0))


STEP = st.one_of(
    st.tuples(st.just("trade"), st.sampled_from(["UBTC", "HYPE", "PURR", "USDC"]), st.booleans(), st.integers(1, 900)),
    st.tuples(
        st.just("transfer"), st.sampled_from(["UBTC", "HYPE", "USDC", "DOGE"]), st.booleans(), st.integers(1, 900)
    ),
    st.tuples(st.just("class"), st.just("USDC"), st.booleans(), st.integers(1, 90_000)),
)


@given(st.lists(STEP, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_unit_is_accounted_for(steps: list[tuple[str, str, bool, int]]) -> None:
    exchange, floor = world()
    account = exchange.account(DESK)
    for what, token, is_in, number in steps:
        before = exchange.revision, repr(exchange.accounts)
        try:
            if what == "trade":
                floor.trade(DESK, token, is_in, D(number), D("3.5"))
            elif what == "transfer":
                floor.transfer(DESK, token, D(number if is_in else -number))
            else:
                floor.between_classes(DESK, D(number), to_perp=is_in)
        except ExchangeError:
            assert (exchange.revision, repr(exchange.accounts)) == before
    for token, balance in account.spot.items():
        assert balance.total == told(account.history, token), token
    deposits = sum((entry.usdc for entry in account.history.ledger if isinstance(entry, Deposit)), D(0))
    moved = sum(
        (
            D(str(entry.told["usdc"])) * (1 if entry.told["toPerp"] else -1)
            for entry in account.history.ledger
            if isinstance(entry, Transfer) and entry.kind == "accountClassTransfer"
        ),
        D(0),
    )
    assert account.wallet("").cash == deposits + moved


def test_a_purchase_pays_its_fee_in_what_was_bought_and_a_sale_in_cash() -> None:
    exchange, floor = world()
    floor.transfer(DESK, CASH, D(50_000))
    buy = floor.trade(DESK, "UBTC", is_buy=True, size=D("0.5"))
    sell = floor.trade(DESK, "UBTC", is_buy=False, size=D("0.2"))
    assert (buy.coin, buy.fee, buy.fee_token, buy.start_position) == ("@3", D("0.00035"), "UBTC", D(0))
    assert (sell.fee, sell.fee_token, sell.start_position) == (D("5.95"), CASH, D("0.49965"))
    rows = ask(exchange, type="userFills", user=DESK)
    assert [(row["coin"], row["side"], row["dir"], row["feeToken"]) for row in rows] == [
        ("@3", "A", "Sell", "USDC"),
        ("@3", "B", "Buy", "UBTC"),
    ]


def test_tokens_and_pairs_are_spelled_as_at_the_venue() -> None:
    exchange, _ = world()
    meta = ask(exchange, type="spotMeta")
    names = {row["index"]: row["name"] for row in meta["tokens"]}
    assert {row["name"]: [names[index] for index in row["tokens"]] for row in meta["universe"]}["@3"] == [
        "UBTC",
        "USDC",
    ]
    assert "PURR/USDC" in {row["name"] for row in meta["universe"]}
    mids = ask(exchange, type="allMids")
    assert (mids["@3"], "PURR/USDC" in mids) == ("42500.0", False)
    assert "@3" not in ask(exchange, type="allMids", dex="xyz")


def test_sub_accounts_tell_every_dex_and_spot() -> None:
    exchange, _ = world()
    exchange.open_account(HEDGE, Role.SUB_ACCOUNT, DESK, "hedge")
    exchange.set_spot(HEDGE, SpotBalance("HYPE", D(3)))
    (old,) = ask(exchange, type="subAccounts", user=DESK)
    (new,) = ask(exchange, type="subAccounts2", user=DESK.upper().replace("X", "x"))
    assert (old["name"], old["subAccountUser"], old["master"]) == ("hedge", HEDGE, DESK)
    assert "assetPositions" in old["clearinghouseState"]
    assert [dex for dex, _ in new["dexToClearinghouseState"]] == ["", "xyz"]
    assert new["spotState"]["balances"][0]["total"] == "3.0"
    assert ask(exchange, type="subAccounts2", user=HEDGE) is None


def test_unified_the_collateral_stands_in_spot() -> None:
    exchange, floor = world()
    floor.transfer(DESK, CASH, D(5))
    exchange.trade(DESK, "BTC", is_buy=True, size=D("0.5"))
    apart = exchange.view(DESK).total
    exchange.set_abstraction(DESK, "unifiedAccount")
    state = ask(exchange, type="clearinghouseState", user=DESK)
    assert (state["marginSummary"]["accountValue"], state["withdrawable"]) == ("0.0", "0.0")
    assert (state["assetPositions"][0]["position"]["coin"], ask(exchange, type="userAbstraction", user=DESK)) == (
        "BTC",
        "unifiedAccount",
    )
    (cash,) = ask(exchange, type="spotClearinghouseState", user=DESK)["balances"]
    assert (D(cash["total"]), D(cash["hold"])) == (apart.account_value + 5, apart.margin_used)
    assert exchange.account(DESK).spot[CASH].total == 5  # only how it is told has changed
    with pytest.raises(ExchangeError, match="a mode is one of"):
        exchange.set_abstraction(DESK, "other")
