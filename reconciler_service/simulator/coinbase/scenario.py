"""SIMULATED desks to begin with: a whole one, and a small one that holds a coin for the demonstration."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from reconciler_service.simulator.coinbase.portfolio import Portfolio
from reconciler_service.simulator.coinbase.records import FUTURE, Market

DATED = "BIT-28NOV26-CDE"
PERPETUAL = "BIP-20DEC30-CDE"
COINS = (("BTC", "0.3", "41800"),)  # of the small desk: coin, size, what the book says it was bought at


def new_portfolio(now: Callable[[], int]) -> Portfolio:
    """Markets and a desk's holdings: 1.5 BTC (0.5 in a vault), 10 ETH, long 20 dated, short 5 perpetual contracts."""
    portfolio = Portfolio(now)
    fine, nano = Decimal("0.00000001"), Decimal("0.01")
    for base, price in (("BTC", "91000"), ("ETH", "3100.5"), ("SOL", "140.25"), ("DOGE", "0.19")):
        step = Decimal("0.1") if base == "DOGE" else fine
        for quote in ("USD", "USDC"):
            portfolio.list_market(Market(f"{base}-{quote}", base, quote, step, Decimal(price)))
    one = Decimal(1)
    portfolio.list_market(Market(DATED, "BTC", "USD", one, Decimal(91200), FUTURE, nano, expiry="2026-11-28T16:00:00Z"))
    portfolio.list_market(
        Market(
            PERPETUAL, "BTC", "USD", one, Decimal(91050), FUTURE, nano, "2030-12-20T16:00:00Z", funding_rate="0.000012"
        )
    )
    for currency, amount in (("USD", "250000"), ("USDC", "5000"), ("BTC", "1"), ("ETH", "10"), ("SOL", "0")):
        portfolio.deposit(currency, Decimal(amount))
    portfolio.open_wallet("BTC", Decimal("0.5"), "ACCOUNT_TYPE_VAULT")
    portfolio.set_contracts(DATED, Decimal(20), Decimal(90000))
    portfolio.set_contracts(PERPETUAL, Decimal(-5), Decimal(92000))
    return portfolio


def coins_only(now: Callable[[], int]) -> Portfolio:
    """The small desk: COINS and some cash, priced as the other venue's demonstration begins."""
    portfolio = Portfolio(now)
    for quote in ("USD", "USDC"):
        portfolio.list_market(Market(f"BTC-{quote}", "BTC", quote, Decimal("0.00000001"), Decimal(42_500)))
    portfolio.deposit("USD", Decimal(2_500))
    for coin, size, _ in COINS:
        portfolio.deposit(coin, Decimal(size))
    return portfolio
