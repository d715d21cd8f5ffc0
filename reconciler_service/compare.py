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
* Every rule says by how much, of how much, and what the tolerance was set for if it is not the general one.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from reconciler_service.tolerances import Tolerances
from reconciler_service.wording import percent, plain, short


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
        elif (worth := self._worth(actual)) is not None:
            rule = f"missing locally: the venue holds {plain(actual.size)}, the book nothing ({worth})"
            self._note(Kind.MISSING_LOCALLY, rule, scope, None, actual)

    def absent(self, local: BookPosition, scope: ScopeReading) -> None:
        if local.in_transit:
            self._overdue(local, None, scope)
        elif (worth := self._worth(local)) is not None:
            rule = f"missing at venue: the book holds {plain(local.size)}, the venue nothing ({worth})"
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
        delta, step, limits = abs(local.size - actual.size), actual.size_step, self._limits_of(actual.symbol)
        if delta < step:
            return ""
        size = max(local.size, actual.size)
        choices = [
            (step, "one size step"),
            (limits.size * size, _words(f"{percent(limits.size)} of {plain(size)}", limits.told("size"))),
        ]
        if price := self._price(actual.symbol, actual.mark_price, actual.entry_price or local.entry_price):
            words = _words(f"{plain(limits.usd)} USD at {plain(price)}", limits.told("usd"))
            choices.append((limits.usd / price, words))
        limit, words = max(choices)
        if delta > limit:
            return f"size: {plain(delta)} > {short(limit)} ({words})"
        return f"size: {plain(delta)} >= {short(limit)} ({words})" if delta == step == limit else ""

    def _entry_rule(self, local: BookPosition, actual: VenuePosition, entry: Decimal) -> str:
        limits = self._limits_of(actual.symbol)
        delta, share = abs(local.entry_price - entry), limits.price
        if delta <= share * entry:
            return ""
        price, size = max(local.entry_price, entry), max(local.size, actual.size)
        limit, words = max(
            (share * price, _words(f"{percent(share)} of {plain(price)}", limits.told("price"))),
            (limits.usd / size, _words(f"{plain(limits.usd)} USD on {plain(size)}", limits.told("usd"))),
        )
        return f"entry price: {plain(delta)} > {short(limit)} ({words})" if delta > limit else ""

    def _leverage_rule(self, local: BookPosition, actual: VenuePosition) -> str:
        if local.leverage is None or actual.leverage is None:
            return ""
        limits = self._limits_of(actual.symbol)
        delta, told = abs(local.leverage - actual.leverage), limits.told("leverage")
        if delta <= limits.leverage:
            return ""
        return f"leverage: {plain(delta)} > {plain(limits.leverage)}" + (f" ({told})" if told else "")

    def _liquidation_rule(self, price: Decimal, actual: VenuePosition) -> str:
        if actual.liquidation_price is None:
            return ""
        limits, isolated = self._limits_of(actual.symbol), actual.margin_mode is MarginMode.ISOLATED
        share = limits.liquidation_isolated if isolated else limits.liquidation_cross
        delta, price = abs(price - actual.liquidation_price), max(price, actual.liquidation_price)
        limit = share * price
        if delta <= limit:
            return ""
        mode = "isolated" if isolated else "cross"
        words = _words(f"{percent(share)} of {plain(price)}, {mode} margin", limits.told(f"liquidation_{mode}"))
        return f"liquidation price: {plain(delta)} > {short(limit)} ({words})"

    def _worth(self, held: BookPosition | VenuePosition) -> str | None:
        """What a whole position is worth, in words; None when it is dust."""
        limits, price = self._limits_of(held.symbol), self._price(held.symbol, held.mark_price, held.entry_price)
        if price is None:
            return "of unknown worth"
        if held.size * price < limits.usd:
            return None
        return f"worth {short(held.size * price)} >= {_words(f'{plain(limits.usd)} USD', limits.told('usd'))}"

    def _limits_of(self, symbol: str) -> Tolerances:
        return self._limits.of(self._snapshot.venue, symbol)

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


def _words(words: str, told: str) -> str:
    return f"{words}, {told}" if told else words
