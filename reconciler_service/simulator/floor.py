"""Spot trades and transfers of SIMULATED accounts. As with the exchange's own operations, a refusal changes nothing."""

from __future__ import annotations

from decimal import Decimal

from reconciler_service.simulator import spot
from reconciler_service.simulator.exchange import Exchange
from reconciler_service.simulator.execution import FIRST_OID
from reconciler_service.simulator.margin import view
from reconciler_service.simulator.records import (
    LARGEST,
    USD_STEP,
    ZERO,
    ExchangeError,
    Fill,
    InsufficientMarginError,
    Transfer,
    to_usd_step,
)
from reconciler_service.simulator.wire_history import NOBODY


class SpotFloor:
    """What may happen on spot. ``at`` (ms) back- or forward-dates; without it things happen now."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def trade(
        self,
        address: str,
        token: str,
        is_buy: bool,
        size: Decimal,
        price: Decimal | None = None,
        at: int | None = None,
    ) -> Fill:
        """Trade a token against USDC at a price (default: the mid)."""
        exchange = self._exchange
        account, listed = exchange.account(address), spot.token_of(token)
        price = exchange.spot.price(token, price)
        start = spot.held(account.spot, token).total
        balances, fee, fee_token = spot.traded(account.spot, listed, size, price, is_buy=is_buy)
        order, reference = exchange.book_event()
        fill = Fill(
            coin=listed.pair,
            price=price,
            size=size,
            is_buy=is_buy,
            time=self._time(at),
            start_position=start,
            direction="Buy" if is_buy else "Sell",
            closed_pnl=ZERO,
            oid=FIRST_OID + order,
            tid=exchange.next_tid(),
            hash=reference,
            fee=fee,
            fee_token=fee_token,
            recorded_at=exchange.now(),
        )
        account.spot = balances
        account.history.fills.append(fill)
        exchange.revision += 1
        return fill

    def transfer(self, address: str, token: str, amount: Decimal, at: int | None = None) -> None:
        """Tokens that come from somebody else, or go there when below zero."""
        exchange = self._exchange
        account = exchange.account(address)
        account.spot = spot.moved(account.spot, token, amount)
        worth = to_usd_step(abs(amount) * exchange.spot.mids.get(token, ZERO))
        _, reference = exchange.book_event()
        entry = spot.sent(token, amount, worth, account.address, NOBODY, self._time(at), reference)
        account.history.ledger.append(entry)
        exchange.revision += 1

    def between_classes(self, address: str, usdc: Decimal, *, to_perp: bool, at: int | None = None) -> None:
        """Move USDC between spot and the main dex."""
        exchange = self._exchange
        account = exchange.account(address)
        if not usdc.is_finite() or not 0 < usdc <= LARGEST or usdc % USD_STEP:
            raise ExchangeError(f"a transfer is above 0, at most {LARGEST}, in steps of {USD_STEP}; got {usdc}")
        wallet = account.wallet("").copy()
        wallet.cash += usdc if to_perp else -usdc
        if not to_perp and view(wallet, exchange.markets).free < 0:
            raise InsufficientMarginError(f"the free collateral does not carry {usdc}")
        account.spot = spot.moved(account.spot, spot.CASH, -usdc if to_perp else usdc)
        account.wallets[""] = wallet
        _, reference = exchange.book_event()
        told: dict[str, Decimal | str | bool | None] = {"usdc": usdc, "toPerp": to_perp}
        account.history.ledger.append(Transfer("accountClassTransfer", told, self._time(at), reference))
        exchange.revision += 1

    def _time(self, at: int | None) -> int:
        return self._exchange.now() if at is None else at
