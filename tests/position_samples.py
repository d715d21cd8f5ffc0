"""A book of positions in memory, and values to fill it with: the domain as tests drive it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from position_service.domain import commands as c
from position_service.domain.algebra import NO_FEE, Fee
from position_service.domain.book import Book, Draft, FillKey, PaymentKey
from position_service.domain.decide import decide
from position_service.domain.drift import DriftKey, Finding
from position_service.domain.events import Check, Event, Funding
from position_service.domain.funding import asks_for_ended
from position_service.domain.position import Instrument, Mark, Position, Product, Side, Status
from position_service.domain.steps import Context

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BTC = Instrument("hyperliquid", "BTC")


class Desk:
    """Decides commands one after the other and commits each to its book, a second apart."""

    def __init__(self) -> None:
        self.book = Book()
        self.now = NOW
        self.events: list[Event] = []
        self.known_fills: set[FillKey] = set()
        self.known_payments: set[PaymentKey] = set()
        self._ids = (UUID(int=n) for n in itertools.count(1))

    def context(self) -> Context:
        return Context(self.now, "tester", "request", "because", lambda: next(self._ids))

    def decide(self, command: c.Command) -> Draft:
        """What the command would do, without doing it."""
        view = Draft(self.book, ended=self.looked_up(command))
        return decide(view, command, self.context(), self.known_fills, self.known_payments)

    def looked_up(self, command: c.Command) -> list[Position]:
        """The final positions that the store would find for the command."""
        found = []
        for key, at in asks_for_ended(self.book, command) if isinstance(command, c.RecordFills) else ():
            ended = [p for p in self.final().values() if p.key == key and p.peak and p.closed_at and p.closed_at >= at]
            found += sorted(ended, key=lambda p: (p.closed_at, p.position_id))[:1]
        return found

    def do(self, command: c.Command) -> list[Event]:
        """Decide, commit; the events."""
        draft = self.decide(command)
        self.commit(draft)
        return draft.events

    def commit(self, draft: Draft) -> None:
        for event in draft.events:
            self.book.apply(event)
        for drift in draft.drifts.values():
            self.book.put_drift(drift)
        for check in draft.checks.values():
            self.book.put_check(check)
        self.book.marks.update(draft.marks)
        self.book.liquidation_prices.update(draft.liquidation_prices)
        self.known_fills |= set(draft.fills)
        self.known_payments |= set(draft.payments)
        self.events += draft.events
        self.now += timedelta(seconds=1)

    def change(self, command: c.Command) -> Position:
        """Do a command that is about one position; the position after it."""
        after = self.do(command)[-1].after
        assert after is not None
        return after

    def open(self, size: str = "0.5", price: str = "42000", **values: object) -> Position:
        return self.change(open_(size, price, **values))

    def mark(self, price: str, instrument: Instrument = BTC) -> list[Event]:
        return self.do(c.UpdatePrices(((instrument, Mark(Decimal(price), self.now)),)))

    def final(self) -> dict[UUID, Position]:
        """Every position as its last event left it."""
        return {e.subject: e.after for e in self.events if e.after is not None}


def open_(size: str = "0.5", price: str = "42000", **values: object) -> c.Open:
    command = c.Open(
        account="main",
        venue="hyperliquid",
        symbol="BTC",
        asset="BTC/USD",
        product=Product.PERPETUAL,
        side=Side.LONG,
        size=Decimal(size),
        price=Decimal(price),
    )
    return replace(command, **values)


def position(size: str = "0.5", price: str = "42000", **values: object) -> Position:
    """A live position as a value."""
    made = Position(
        position_id=UUID(int=7),
        account="main",
        venue="hyperliquid",
        symbol="BTC",
        asset="BTC/USD",
        product=Product.PERPETUAL,
        side=Side.LONG,
        size=Decimal(size),
        cost=Decimal(size) * Decimal(price),
        status=Status.OPEN,
        leverage=Decimal(1),
        margin_mode=None,
        liquidation_price=None,
        realized=Decimal(0),
        peak=Decimal(size),
        opened_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **values)


def fill(number: int, signed_size: str | Decimal, price: str | Decimal, fee: Fee = NO_FEE, **values: object) -> c.Fill:
    """A purchase for a positive size, a sale for a negative one; a second after the fill numbered before it."""
    size = Decimal(signed_size)
    made = c.Fill(
        venue="hyperliquid",
        symbol="BTC",
        asset="BTC/USD",
        product=Product.PERPETUAL,
        fill_id=f"f{number}",
        is_buy=size > 0,
        size=abs(size),
        price=Decimal(price),
        executed_at=NOW + timedelta(seconds=number),
        fee=fee,
    )
    return replace(made, **values)


def fills(*made: c.Fill, paid: Iterable[c.FundingPayment] = ()) -> c.RecordFills:
    return c.RecordFills("main", made, tuple(paid))


def payment(number: int, amount: str = "-1.5", currency: str = "", **values: object) -> c.FundingPayment:
    """A funding payment of BTC; as many seconds after NOW as it is numbered."""
    funding = Funding(f"p{number}", Decimal(amount), currency)
    made = c.FundingPayment("hyperliquid", "BTC", funding, NOW + timedelta(seconds=number))
    return replace(made, **values)


def finding(substance: str = "0.5", *, symbol: str = "BTC", kind: str = "SIZE", seen: datetime = NOW) -> Finding:
    key = DriftKey("main", "hyperliquid", symbol, kind)
    return Finding(key=key, content=f'{{"of":"{substance}"}}', substance=substance, seen_at=seen, first_seen=NOW)


def run(
    number: int, findings: Iterable[Finding] = (), resolved: Iterable[UUID] = (), checks: Iterable[Check] = ()
) -> c.RecordRun:
    return c.RecordRun(UUID(int=number), NOW, "{}", tuple(checks), tuple(findings), tuple(resolved))


def check(scope: str = "main", *, prefix: str = "", ok: bool = True, at: datetime = NOW, **values: object) -> Check:
    made = Check("main", "hyperliquid", scope, "PERPETUAL", prefix, ok, at, None)
    return replace(made, **values)
