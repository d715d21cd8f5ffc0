"""Funding and ledger entries as cash flows: whose balance moved, by how much, which way."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from reconciler_service.model import FlowKind
from reconciler_service.venues import VenueDataError
from reconciler_service.venues.hyperliquid import flows

ME = "0x" + "ab" * 20
OTHER = "0x" + "cd" * 20
AT = 1_795_356_000_123


def moves(**delta: Any) -> dict[tuple[str, str], str]:
    row = {"time": AT, "hash": "0xfeed", "delta": delta}
    return {(flow.scope, flow.currency): f"{flow.amount:f}" for flow in flows.ledger(row, ME).flows}


@pytest.mark.parametrize(
    ("delta", "expected"),
    [
        ({"type": "deposit", "usdc": "105.0"}, {("", "USDC"): "105"}),
        ({"type": "deposit", "usdc": "2703997.4500000002"}, {("", "USDC"): "2703997.45"}),
        ({"type": "withdraw", "usdc": "9.0", "fee": "1.0", "nonce": 1}, {("", "USDC"): "-10"}),
        (
            {"type": "accountClassTransfer", "usdc": "4.0", "toPerp": True},
            {("", "USDC"): "4", ("spot", "USDC"): "-4"},
        ),
        (
            {"type": "accountClassTransfer", "usdc": "4.0", "toPerp": False},
            {("", "USDC"): "-4", ("spot", "USDC"): "4"},
        ),
        ({"type": "internalTransfer", "usdc": "7", "user": OTHER, "destination": ME, "fee": "1"}, {("", "USDC"): "7"}),
        (
            {"type": "internalTransfer", "usdc": "7", "user": ME.upper(), "destination": OTHER, "fee": "1"},
            {("", "USDC"): "-8"},
        ),
        ({"type": "subAccountTransfer", "usdc": "5", "user": ME, "destination": OTHER}, {("", "USDC"): "-5"}),
        (
            {"type": "spotTransfer", "token": "UBTC", "amount": "0.5", "user": OTHER, "destination": ME, "fee": "1.0"},
            {("spot", "UBTC"): "0.5"},
        ),
        (
            {
                "type": "spotTransfer",
                "token": "UBTC:0x8f25",
                "amount": "0.5",
                "user": ME,
                "destination": OTHER,
                "fee": "1.0",
                "nativeTokenFee": "0.01",
                "feeToken": "",
            },
            {("spot", "UBTC"): "-0.5", ("spot", "USDC"): "-1", ("spot", "HYPE"): "-0.01"},
        ),
        (
            {"type": "spotTransfer", "token": "USDC", "amount": "10.5", "user": ME, "destination": OTHER, "fee": "1.0"},
            {("spot", "USDC"): "-11.5"},
        ),
        (
            {
                "type": "send",
                "token": "USDC",
                "amount": "3",
                "user": ME,
                "destination": ME,
                "fee": "0.0",
                "sourceDex": "",
                "destinationDex": "xyz",
            },
            {("", "USDC"): "-3", ("xyz", "USDC"): "3"},
        ),
        ({"type": "spotGenesis", "token": "NEW", "amount": "12"}, {("spot", "NEW"): "12"}),
        ({"type": "rewardsClaim", "amount": "12"}, {("spot", "USDC"): "12"}),
        ({"type": "cStakingTransfer", "token": "HYPE", "amount": "5", "isDeposit": True}, {("spot", "HYPE"): "-5"}),
        ({"type": "cStakingTransfer", "token": "HYPE", "amount": "5", "isDeposit": False}, {("spot", "HYPE"): "5"}),
        ({"type": "vaultDeposit", "vault": OTHER, "usdc": "100"}, {("", "USDC"): "-100"}),
        ({"type": "vaultWithdraw", "requestedUsd": "9", "netWithdrawnUsd": "8.5"}, {("", "USDC"): "8.5"}),
        ({"type": "liquidation", "liquidatedNtlPos": "100"}, {}),
        ({"type": "somethingNew", "usdc": "1"}, {}),
        ({"type": "spotTransfer", "token": "UBTC", "amount": "1", "user": OTHER, "destination": OTHER}, {}),
    ],
)
def test_a_ledger_entry_moves_what_it_says(delta: dict[str, Any], expected: dict[tuple[str, str], str]) -> None:
    assert moves(**delta) == expected


def test_flows_of_one_entry_are_told_apart_and_say_what_the_venue_calls_them() -> None:
    delta = {"type": "accountClassTransfer", "usdc": "4.0", "toPerp": True}
    booked = flows.ledger({"time": AT, "hash": "0xfeed", "delta": delta}, ME)
    assert booked.time_ms == AT
    assert len({(flow.flow_id, flow.scope) for flow in booked.flows}) == 2
    assert {(flow.kind, flow.text) for flow in booked.flows} == {(FlowKind.TRANSFER, "accountClassTransfer")}


def test_two_entries_of_one_transaction_have_keys_of_their_own() -> None:
    rows = [
        {"time": AT, "hash": "0xfeed", "delta": {"type": "deposit", "usdc": amount}} for amount in ("1.0", "2.0", "1.0")
    ]
    keys = [flows.ledger(row, ME).key for row in rows]
    assert (keys[0] == keys[2], keys[0] == keys[1]) == (True, False)


@pytest.mark.parametrize(("coin", "scope"), [("SOL", ""), ("xyz:TSLA", "xyz")])
def test_funding_moves_the_collateral_of_its_dex(coin: str, scope: str) -> None:
    delta = {"type": "funding", "coin": coin, "usdc": "-75.635093", "szi": "7375.9", "fundingRate": "0.00004381"}
    booked = flows.funding({"time": AT, "hash": "0x0", "delta": delta})
    (flow,) = booked.flows
    assert (flow.kind, flow.scope, flow.symbol, flow.currency) == (FlowKind.FUNDING, scope, coin, "USDC")
    assert flow.amount == Decimal("-75.635093")
    assert booked.key != flows.funding({"time": AT + 1, "hash": "0x0", "delta": delta}).key


@pytest.mark.parametrize(
    ("delta", "error"),
    [
        ({"type": "deposit", "usdc": "NaN"}, "deposit usdc"),
        ({"type": "withdraw", "usdc": "1", "fee": "x"}, "withdraw fee"),
        ({"type": ""}, "ledger type"),
        ({"type": "spotTransfer", "amount": "1"}, "ledger token"),
    ],
)
def test_an_entry_that_breaks_the_format_is_refused(delta: dict[str, Any], error: str) -> None:
    with pytest.raises(VenueDataError, match=error):
        moves(**delta)
