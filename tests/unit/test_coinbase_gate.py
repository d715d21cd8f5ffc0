"""The SIMULATED Coinbase takes no token that the real one would refuse; its books balance."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from reconciler_service.simulator.coinbase import scenario, wire
from reconciler_service.simulator.coinbase.gate import ApiKey, Gate
from reconciler_service.simulator.coinbase.portfolio import COMMISSION, Portfolio
from reconciler_service.simulator.coinbase.records import Wallet
from reconciler_service.simulator.coinbase.scenario import DATED
from reconciler_service.simulator.records import ExchangeError, InsufficientMarginError, UnknownMarketError
from tests.coinbase_samples import EC, ED, KEY_ID, KEY_NAME

NOW_S = 1_795_356_000
PATH = "/api/v3/brokerage/accounts"
CLAIMS = {
    "iss": "cdp",
    "sub": KEY_NAME,
    "nbf": NOW_S,
    "exp": NOW_S + 120,
    "uri": f"GET api.coinbase.com{PATH}",
}
HEADER = {"kid": KEY_NAME, "nonce": "n"}


@pytest.fixture
def gate() -> Gate:
    return Gate([ApiKey(KEY_NAME, EC.public_key()), ApiKey(KEY_ID, ED.public_key(), "EdDSA")], lambda: NOW_S * 1000)


def bearer(
    claims: dict[str, Any] | None = None,
    header: dict[str, Any] | None = None,
    private: Any = EC,
    algorithm: str = "ES256",
) -> str:
    return "Bearer " + jwt.encode(CLAIMS | (claims or {}), private, algorithm, HEADER | (header or {}))


def test_a_good_token_passes_once(gate: Gate) -> None:
    token = bearer()
    key = gate.admit(token, "GET", PATH)
    assert key is not None
    assert key.name == KEY_NAME
    assert gate.admit(token, "GET", PATH) is None
    assert gate.admit(bearer({"sub": KEY_ID}, {"kid": KEY_ID}, ED, "EdDSA"), "GET", PATH) is None  # the same nonce
    assert gate.admit(bearer({"sub": KEY_ID}, {"kid": KEY_ID, "nonce": "m"}, ED, "EdDSA"), "GET", PATH) is not None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "Bearer",
        "Bearer x.y.z",
        bearer().replace("Bearer", "Basic"),
        bearer()[:-2],
        bearer(private=ec.generate_private_key(ec.SECP256R1())),
        bearer(header={"kid": KEY_ID}),
        bearer(header={"kid": "nobody"}),
        bearer(header={"typ": "X"}),
        bearer(header={"nonce": ""}),
        bearer({"iss": "coinbase-cloud"}),
        bearer({"sub": KEY_ID}),
        bearer({"nbf": NOW_S + 1}),
        bearer({"exp": NOW_S}),
        bearer({"exp": NOW_S + 121}),
        bearer({"uri": f"GET api.coinbase.com{PATH}?limit=250"}),
        bearer({"uri": f"POST api.coinbase.com{PATH}"}),
        bearer({"uri": f"GET https://api.coinbase.com{PATH}"}),
        "Bearer " + jwt.encode(CLAIMS, "a" * 32, "HS256", HEADER),
        "Bearer " + jwt.encode({k: v for k, v in CLAIMS.items() if k != "uri"}, EC, "ES256", HEADER),
    ],
)
def test_a_token_that_the_venue_refuses(gate: Gate, token: str) -> None:
    assert gate.admit(token, "GET", PATH) is None
    assert len(gate.refused) == 1
    assert gate.admit(bearer(), "GET", PATH) is not None


def test_the_venues_clock_decides(gate: Gate) -> None:
    assert gate.admit(bearer(), "GET", PATH, skew_ms=-1) is None
    assert gate.admit(bearer(), "GET", PATH, skew_ms=120_000) is None
    assert gate.admit(bearer(), "GET", PATH, skew_ms=119_000) is not None


@pytest.fixture
def portfolio() -> Portfolio:
    return scenario.new_portfolio(lambda: NOW_S * 1000)


def test_a_spot_trade_loses_nothing_but_the_commission(portfolio: Portfolio) -> None:
    before = {name: portfolio.wallet(name).available for name in ("BTC", "USD")}
    size, price = Decimal("0.12345678"), Decimal("91000.55")
    portfolio.trade("BTC-USD", True, size, price)
    portfolio.trade("BTC-USD", False, size, price)
    assert portfolio.wallet("BTC").available == before["BTC"]
    assert portfolio.wallet("USD").available == before["USD"] - 2 * size * price * COMMISSION


def test_contracts_realise_what_they_close(portfolio: Portfolio) -> None:
    portfolio.trade(DATED, False, Decimal(25), Decimal(91000))  # 20 long at 90 000 are closed, 5 short opened
    held = portfolio.contracts[DATED]
    assert (held.count, held.cost, held.realized) == (Decimal(-5), Decimal(-4550), Decimal(200))
    portfolio.trade(DATED, True, Decimal(5), Decimal(90000))
    assert (held.count, held.cost, held.realized) == (Decimal(0), Decimal(0), Decimal(250))


def test_what_the_venue_would_not_do_changes_nothing(portfolio: Portfolio) -> None:
    before = portfolio.revision
    for error, what in (
        (UnknownMarketError, lambda: portfolio.trade("NO-USD", True, Decimal(1))),
        (UnknownMarketError, lambda: portfolio.set_contracts("BTC-USD", Decimal(1), Decimal(1))),
        (ExchangeError, lambda: portfolio.trade("BTC-USD", True, Decimal("0.000000001"))),
        (ExchangeError, lambda: portfolio.trade("BTC-USD", True, Decimal("NaN"))),
        (ExchangeError, lambda: portfolio.set_contracts(DATED, Decimal("1.5"), Decimal(1))),
        (InsufficientMarginError, lambda: portfolio.trade("BTC-USD", False, Decimal(2))),
        (InsufficientMarginError, lambda: portfolio.deposit("BTC", Decimal(-2))),
        (InsufficientMarginError, lambda: portfolio.set_hold("BTC", Decimal(2))),
    ):
        with pytest.raises(error):
            what()
    assert portfolio.revision == before


def test_a_frozen_portfolio_stays_as_it_is(portfolio: Portfolio) -> None:
    frozen = portfolio.freeze()
    portfolio.trade("BTC-USD", True, Decimal(1))
    assert (frozen.last_tid, frozen.wallet("BTC").available, portfolio.last_tid) == (0, 1, 1)


def test_how_numbers_and_times_are_spelled() -> None:
    wallet = Wallet("u", "ETH", Decimal("0.1234567890123456789"), 0)
    row = wire.account(wallet, scenario.new_portfolio(lambda: 0))
    assert row["available_balance"]["value"] == "0.1234567890123456789"
    assert row["hold"]["value"] == "0.0000000000000000"
    assert (wire.stamp(0), wire.stamp(1500), wire.stamp(1, 90)) == (
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:01.5Z",
        "1970-01-01T00:00:00.00100009Z",
    )


def test_a_token_for_a_subscription_names_no_request(gate: Gate) -> None:
    bare = {name: value for name, value in CLAIMS.items() if name != "uri"}
    token = jwt.encode(bare, EC, "ES256", HEADER)
    assert gate.admit_socket(token) is not None
    assert gate.admit_socket(token) is None, "sent before"
    assert gate.admit_socket(bearer(header={"nonce": "m"}).removeprefix("Bearer ")) is None
    assert gate.admit("Bearer " + jwt.encode(bare, EC, "ES256", HEADER | {"nonce": "o"}), "GET", PATH) is None
    for wrong in ("", "x", token[:-2]):
        assert gate.admit_socket(wrong) is None
