"""Where a book and a snapshot disagree. Pure: no I/O, no protobuf, no clock.

One finding per fact, over the union of both sides' instruments, and only inside scopes that were read completely.
Decisions a reader should know:

* A size disagrees from one whole size step on; what is less is dust. The relative and the USD tolerance are exceeded
  only by more. A whole position worth less than the USD floor is dust, too.
* SIDE stands for SIZE, and either of them for ENTRY_PRICE: the average follows from what was traded. An entry price
  that is wrong by itself is found as soon as the sizes agree.
* Settings are compared where both sides have a value. A liquidation price hardly moves under isolated margin; under
  cross margin it follows every mark of the account, so there the tolerance is wide.
* Announced positions (OPENING, CLOSING) are in transit: nothing about them is wrong before their deadline, and after
  it the one finding is OVERDUE.
* A scope that is only compared where the book keeps its product is left alone where the book does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from reconciler_service.findings import Finding, Kind
from reconciler_service.model import (
    BookPosition,
    BookState,
    MarginMode,
    Outcome,
    Product,
    ScopeReading,
    Snapshot,
    VenuePosition,
)
from reconciler_service.wording import percent, plain, short


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far book and venue may be apart. Shares are of the larger value, 0.01 is 1 %."""

    size: Decimal = Decimal(0)  # share of the size; one size step is always tolerated
    price: Decimal = Decimal("0.0001")  # share of the entry price: venues show five significant digits
    usd: Decimal = Decimal(1)  # in quote currency: differences worth less are dust
    leverage: Decimal = Decimal("0.01")  # absolute
    liquidation_isolated: Decimal = Decimal("0.01")  # share of the liquidation price
    liquidation_cross: Decimal = Decimal("0.1")


def compare(book: Sequence[BookPosition], snapshot: Snapshot, tolerances: Tolerances) -> list[Finding]:
    """Find every disagreement between live positions of the book and one snapshot.

    Positions of other accounts and venues are passed over. Costs about one dictionary of the rows plus one pass.
    """
    venue, account = snapshot.venue, snapshot.account
    unseen = {held.symbol: held for held in book if held.venue == venue and held.account == account}
    scribe = _Scribe(snapshot, tolerances)
    take = unseen.pop
    ok, opened, reduced = Outcome.OK, BookState.OPEN, BookState.REDUCED
    for scope in snapshot.scopes:
        if scope.outcome is not ok or scope.if_booked:
            continue
        for actual in scope.positions:
            if not actual.size:
                continue
            local = take(actual.symbol, None)
            if local is None:
                scribe.unbooked(actual, scope)
            elif (
                # The cheap path: most rows are equal in everything.
                local.size == actual.size
                and local.side is actual.side
                and local.entry_price == actual.entry_price
                and local.leverage == actual.leverage
                and local.margin_mode is actual.margin_mode
                and ((liquidation := local.liquidation_price) is None or liquidation == actual.liquidation_price)
                and ((state := local.state) is opened or state is reduced)
            ):
                continue
            else:
                scribe.both(local, actual, scope)
    for local in unseen.values():
        owner = scope_of(snapshot, local.product, local.symbol)
        if owner is not None and owner.outcome is ok:
            scribe.absent(local, owner)
    return scribe.findings


def scope_of(snapshot: Snapshot, product: Product | None, symbol: str) -> ScopeReading | None:
    """The scope an instrument belongs to: same product, longest matching prefix; None: it was not asked for.

    A scope without a prefix does not own names of a namespace ("xyz:TSLA"): when the scope of that namespace is not
    among the readings, nothing is known of it.
    """
    owner: ScopeReading | None = None
    for scope in snapshot.scopes:
        if scope.product is not product or (owner and len(owner.symbol_prefix) >= len(scope.symbol_prefix)):
            continue
        if symbol.startswith(scope.symbol_prefix) if scope.symbol_prefix else ":" not in symbol:
            owner = scope
    return owner


class _Scribe:
    """Decides about the rows that are not equal at first sight, and writes the findings."""

    def __init__(self, snapshot: Snapshot, tolerances: Tolerances) -> None:
        self.findings: list[Finding] = []
        self._snapshot = snapshot
        self._limits = tolerances
        self._marks: dict[str, Decimal] | None = None

    def unbooked(self, actual: VenuePosition, scope: ScopeReading) -> None:
        if actual.asset is None:
            rule = f"unmapped: the venue's metadata does not name {actual.symbol}"
            self._note(Kind.UNMAPPED, rule, scope, None, actual)
        elif not self._is_dust(actual):
            rule = f"missing locally: the venue holds {plain(actual.size)}, the book nothing"
            self._note(Kind.MISSING_LOCALLY, rule, scope, None, actual)

    def absent(self, local: BookPosition, scope: ScopeReading) -> None:
        if local.in_transit:
            self._overdue(local, None, scope)
        elif not self._is_dust(local):
            rule = f"missing at venue: the book holds {plain(local.size)}, the venue nothing"
            self._note(Kind.MISSING_AT_VENUE, rule, scope, local, None)

    def both(self, local: BookPosition, actual: VenuePosition, scope: ScopeReading) -> None:
        if local.in_transit:
            self._overdue(local, actual, scope)
            return
        rules: list[tuple[Kind, str]] = []
        if local.side is not actual.side:
            rules.append((Kind.SIDE, f"side: {actual.side.value} is not {local.side.value}"))
        elif local.size != actual.size and (rule := self._size_rule(local, actual)):
            rules.append((Kind.SIZE, rule))
        elif actual.entry_price is not None and (rule := self._entry_rule(local, actual, actual.entry_price)):
            rules.append((Kind.ENTRY_PRICE, rule))
        if local.leverage != actual.leverage and (rule := self._leverage_rule(local, actual)):
            rules.append((Kind.LEVERAGE, rule))
        if local.margin_mode is not actual.margin_mode and local.margin_mode and actual.margin_mode:
            words = f"margin mode: {actual.margin_mode.value} is not {local.margin_mode.value}"
            rules.append((Kind.MARGIN_MODE, words))
        if local.liquidation_price is not None and (rule := self._liquidation_rule(local.liquidation_price, actual)):
            rules.append((Kind.LIQUIDATION_PRICE, rule))
        for kind, rule in rules:
            self._note(kind, rule, scope, local, actual)

    def _overdue(self, local: BookPosition, actual: VenuePosition | None, scope: ScopeReading) -> None:
        late = self._snapshot.requested_at
        if local.deadline is not None and local.deadline < late:
            seconds = int((late - local.deadline).total_seconds())
            rule = f"overdue: {local.state.value} {seconds} s past its deadline"
            self._note(Kind.OVERDUE, rule, scope, local, actual)

    def _size_rule(self, local: BookPosition, actual: VenuePosition) -> str:
        delta, step = abs(local.size - actual.size), actual.size_step
        if delta < step:
            return ""
        size = max(local.size, actual.size)
        choices = [
            (step, "one size step"),
            (self._limits.size * size, f"{percent(self._limits.size)} of {plain(size)}"),
        ]
        if price := self._price(actual.symbol, actual.mark_price, actual.entry_price or local.entry_price):
            choices.append((self._limits.usd / price, f"{plain(self._limits.usd)} USD at {plain(price)}"))
        limit, words = max(choices)
        if delta > limit:
            return f"size: {plain(delta)} > {short(limit)} ({words})"
        return f"size: {plain(delta)} >= {short(limit)} ({words})" if delta == step == limit else ""

    def _entry_rule(self, local: BookPosition, actual: VenuePosition, entry: Decimal) -> str:
        delta, share = abs(local.entry_price - entry), self._limits.price
        if delta <= share * entry:
            return ""
        price, size = max(local.entry_price, entry), max(local.size, actual.size)
        limit, words = max(
            (share * price, f"{percent(share)} of {plain(price)}"),
            (self._limits.usd / size, f"{plain(self._limits.usd)} USD on {plain(size)}"),
        )
        return f"entry price: {plain(delta)} > {short(limit)} ({words})" if delta > limit else ""

    def _leverage_rule(self, local: BookPosition, actual: VenuePosition) -> str:
        if local.leverage is None or actual.leverage is None:
            return ""
        delta, limit = abs(local.leverage - actual.leverage), self._limits.leverage
        return f"leverage: {plain(delta)} > {plain(limit)}" if delta > limit else ""

    def _liquidation_rule(self, price: Decimal, actual: VenuePosition) -> str:
        if actual.liquidation_price is None:
            return ""
        isolated = actual.margin_mode is MarginMode.ISOLATED
        share = self._limits.liquidation_isolated if isolated else self._limits.liquidation_cross
        delta, price = abs(price - actual.liquidation_price), max(price, actual.liquidation_price)
        limit = share * price
        if delta <= limit:
            return ""
        words = f"{percent(share)} of {plain(price)}, {'isolated' if isolated else 'cross'} margin"
        return f"liquidation price: {plain(delta)} > {short(limit)} ({words})"

    def _is_dust(self, held: BookPosition | VenuePosition) -> bool:
        price = self._price(held.symbol, held.mark_price, held.entry_price)
        return price is not None and held.size * price < self._limits.usd

    def _price(self, symbol: str, mark: Decimal | None, otherwise: Decimal | None) -> Decimal | None:
        if mark is None:
            if self._marks is None:
                self._marks = dict(self._snapshot.marks)
            mark = self._marks.get(symbol)
        return mark or otherwise

    def _note(
        self, kind: Kind, rule: str, scope: ScopeReading, local: BookPosition | None, actual: VenuePosition | None
    ) -> None:
        snapshot, held = self._snapshot, actual or local
        assert held is not None
        self.findings.append(
            Finding(
                kind=kind,
                account=snapshot.account,
                venue=snapshot.venue,
                symbol=held.symbol,
                source=snapshot.source,
                requested_at=snapshot.requested_at,
                rule=rule,
                local=local,
                actual=actual,
                mark=self._price(held.symbol, held.mark_price, None),
                observed_at=scope.observed_at,
            )
        )
