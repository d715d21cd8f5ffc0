"""The state: what is live now. ``Book`` is what is committed, ``Draft`` what a command would make of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from position_service.domain.drift import Drift, DriftKey, DriftStatus
from position_service.domain.events import Check, Event
from position_service.domain.position import Instrument, Key, LiquidationPrice, Mark, Position

# Why positions and names are indexed by hand: a command must find its position in constant time among 100 000.
FillKey = tuple[str, str, str]  # account, venue, fill id
PaymentKey = tuple[str, str, str]  # account, venue, payment id
CheckKey = tuple[str, str, str]  # account, venue, scope


class View(Protocol):
    """What a decision may look at."""

    @property
    def revision(self) -> int: ...
    def position(self, position_id: UUID) -> Position | None: ...
    def held(self, key: Key) -> Position | None: ...
    def named(self, account: str, name: str) -> Iterable[UUID]: ...
    def holders(self, instrument: Instrument) -> Iterable[UUID]: ...
    def owing(self, key: Key) -> Iterable[Position]: ...
    def ended(self, key: Key) -> Iterable[Position]: ...
    def mark(self, instrument: Instrument) -> Mark | None: ...
    def liquidation_price(self, position_id: UUID) -> LiquidationPrice | None: ...
    def drift(self, drift_id: UUID) -> Drift | None: ...
    def open_drift(self, key: DriftKey) -> Drift | None: ...
    def drifts_on(self, key: Key) -> Iterable[UUID]: ...
    def asleep(self) -> Iterable[UUID]: ...
    def check(self, key: CheckKey) -> Check | None: ...
    def checks_of(self, account: str, venue: str) -> Iterable[Check]: ...
    def knows_fill(self, key: FillKey) -> bool: ...
    def knows_payment(self, key: PaymentKey) -> bool: ...


@dataclass(slots=True)
class Book:
    """What is committed at ``revision``: live positions, marks, open drifts, the newest checks.

    Of final positions it knows those with outstanding estimates, which fills may still restate.
    """

    revision: int = 0
    time: datetime | None = None
    positions: dict[UUID, Position] = field(default_factory=dict)
    marks: dict[Instrument, Mark] = field(default_factory=dict)
    liquidation_prices: dict[UUID, LiquidationPrice] = field(default_factory=dict)  # of live positions, as venues say
    drifts: dict[UUID, Drift] = field(default_factory=dict)
    _by_age: list[UUID] = field(default_factory=list)  # ascending; ended positions are left in it for a while
    _by_key: dict[Key, UUID] = field(default_factory=dict)
    _by_name: dict[tuple[str, str], set[UUID]] = field(default_factory=dict)
    _by_instrument: dict[Instrument, set[UUID]] = field(default_factory=dict)
    _owing: dict[Key, dict[UUID, Position]] = field(default_factory=dict)
    _by_drift_key: dict[DriftKey, UUID] = field(default_factory=dict)
    _drifts_on: dict[Key, set[UUID]] = field(default_factory=dict)
    _asleep: set[UUID] = field(default_factory=set)
    _checks_of: dict[tuple[str, str], dict[str, Check]] = field(default_factory=dict)

    def position(self, position_id: UUID) -> Position | None:
        return self.positions.get(position_id)

    def held(self, key: Key) -> Position | None:
        position_id = self._by_key.get(key)
        return self.positions[position_id] if position_id else None

    def opened_after(self, position_id: UUID | None) -> Iterator[Position]:
        """The live positions in the order they were opened, which is the order of their ids; None: from the first."""
        start = 0 if position_id is None else bisect_right(self._by_age, position_id)
        for place in range(start, len(self._by_age)):
            if position := self.positions.get(self._by_age[place]):
                yield position

    def named(self, account: str, name: str) -> Iterable[UUID]:
        return self._by_name.get((account, name), ())

    def holders(self, instrument: Instrument) -> Iterable[UUID]:
        return self._by_instrument.get(instrument, ())

    def owing(self, key: Key) -> Iterable[Position]:
        """The positions of a key with outstanding estimates, live or final."""
        return self._owing[key].values() if key in self._owing else ()

    def ended(self, key: Key) -> Iterable[Position]:
        return ()  # the final positions of all time are the store's to know; see Draft

    def mark(self, instrument: Instrument) -> Mark | None:
        return self.marks.get(instrument)

    def liquidation_price(self, position_id: UUID) -> LiquidationPrice | None:
        return self.liquidation_prices.get(position_id)

    def drift(self, drift_id: UUID) -> Drift | None:
        return self.drifts.get(drift_id)

    def open_drift(self, key: DriftKey) -> Drift | None:
        drift_id = self._by_drift_key.get(key)
        return self.drifts[drift_id] if drift_id else None

    def drifts_on(self, key: Key) -> Iterable[UUID]:
        return self._drifts_on.get(key, ())

    def asleep(self) -> Iterable[UUID]:
        """The cases that are snoozed."""
        return self._asleep

    def check(self, key: CheckKey) -> Check | None:
        return self._checks_of.get(key[:2], {}).get(key[2])

    def checks_of(self, account: str, venue: str) -> Iterable[Check]:
        return self._checks_of.get((account, venue), {}).values()

    def knows_fill(self, key: FillKey) -> bool:
        return False  # the fills of all time are the store's to know; see Draft.known_fills

    def knows_payment(self, key: PaymentKey) -> bool:
        return False

    def take(self, draft: Draft) -> None:
        """evolve, all at once: become what a draft made of this book, once it is committed."""
        for position in draft.positions.values():
            self.put(position)
        for drift in draft.drifts.values():
            self.put_drift(drift)
        self.marks.update(draft.marks)
        for position_id, seen in draft.liquidation_prices.items():
            if position_id in self.positions:
                self.liquidation_prices[position_id] = seen
        for check in draft.checks.values():
            self.put_check(check)
        if draft.events:
            self.revision, self.time = draft.revision, draft.events[-1].time

    def apply(self, event: Event) -> None:
        """evolve: take the state the event leads to."""
        if event.after is not None:
            self.put(event.after)
        else:
            assert event.drift is not None
            self.put_drift(event.drift)
        self.revision = event.revision
        self.time = event.time

    def put(self, position: Position) -> None:
        """Make a position what it is now; a final one leaves the book, but for the estimates it owes."""
        position_id, key = position.position_id, position.key
        if position.estimates:
            self._owing.setdefault(key, {})[position_id] = position
        elif key in self._owing:
            self._owing[key].pop(position_id, None)
        if position.status.is_final:
            if self.positions.pop(position_id, None) is not None:
                self._unindex(position)
                self.liquidation_prices.pop(position_id, None)
            return
        if position_id not in self.positions:
            self._age(position_id)
            self._by_key[key] = position_id
            for name in {position.asset, position.symbol}:
                self._by_name.setdefault((position.account, name), set()).add(position_id)
            self._by_instrument.setdefault(position.instrument, set()).add(position_id)
        self.positions[position_id] = position

    def _age(self, position_id: UUID) -> None:
        """Put an id where it belongs: nearly always at the end."""
        by_age = self._by_age
        if len(by_age) > 2 * len(self.positions) + 1_000:
            by_age[:] = [one for one in by_age if one in self.positions]
        if not by_age or by_age[-1] < position_id:
            by_age.append(position_id)
        elif by_age[place := bisect_left(by_age, position_id)] != position_id:
            by_age.insert(place, position_id)

    def _unindex(self, position: Position) -> None:
        position_id = position.position_id
        if self._by_key.get(position.key) == position_id:
            del self._by_key[position.key]
        for name in {position.asset, position.symbol}:
            self._by_name[position.account, name].discard(position_id)
        self._by_instrument[position.instrument].discard(position_id)

    def put_drift(self, drift: Drift) -> None:
        """Make a case what it is now; a resolved one leaves the book."""
        drift_id, instrument = drift.drift_id, Key(*drift.key[:3])
        (self._asleep.add if drift.status is DriftStatus.SNOOZED else self._asleep.discard)(drift_id)
        if drift.is_open:
            self.drifts[drift_id] = drift
            self._by_drift_key[drift.key] = drift_id
            self._drifts_on.setdefault(instrument, set()).add(drift_id)
        elif self.drifts.pop(drift_id, None) is not None:
            self._drifts_on[instrument].discard(drift_id)
            if self._by_drift_key[drift.key] == drift_id:
                del self._by_drift_key[drift.key]

    def put_check(self, check: Check) -> None:
        """Make a scope's check the newest."""
        self._checks_of.setdefault((check.account, check.venue), {})[check.scope] = check


class Draft:
    """What one command, or a batch of them, would change: an overlay over a View that stays as it is."""

    def __init__(
        self,
        base: View,
        known_fills: Iterable[FillKey] = (),
        known_payments: Iterable[PaymentKey] = (),
        ended: Iterable[Position] = (),
    ) -> None:
        self.base = base
        self.events: list[Event] = []
        self.marks: dict[Instrument, Mark] = {}
        self.liquidation_prices: dict[UUID, LiquidationPrice] = {}
        self.checks: dict[CheckKey, Check] = {}
        self.positions: dict[UUID, Position] = {}
        self.drifts: dict[UUID, Drift] = {}
        self.fills: dict[FillKey, int] = {}  # to the revision that booked them
        self.known_fills = set(known_fills)
        self.payments: dict[PaymentKey, int] = {}
        self.known_payments = set(known_payments)
        self._owing: dict[Key, dict[UUID, Position]] = {}  # those that owe or owed estimates when they changed
        self._ended: dict[Key, dict[UUID, Position]] = {}  # final positions that were looked up, or changed here
        self._new = Book()  # what is opened here and still live, with its indexes
        for position in ended:
            self._ended.setdefault(position.key, {})[position.position_id] = position

    @property
    def revision(self) -> int:
        return self.base.revision if not self.events else self.events[-1].revision

    def position(self, position_id: UUID) -> Position | None:
        changed = self.positions.get(position_id) if self.positions else None
        if changed is None:
            return self.base.position(position_id)
        return None if changed.status.is_final else changed

    def held(self, key: Key) -> Position | None:
        if opened := self._new.held(key):
            return opened
        held = self.base.held(key)
        return self.position(held.position_id) if held else None

    def named(self, account: str, name: str) -> Iterable[UUID]:
        below, opened = self.base.named(account, name), self._new.named(account, name)
        return (*below, *opened) if opened else below

    def holders(self, instrument: Instrument) -> Iterable[UUID]:
        below, opened = self.base.holders(instrument), self._new.holders(instrument)
        return (*below, *opened) if opened else below

    def owing(self, key: Key) -> Iterable[Position]:
        below, changed = self.base.owing(key), self._owing.get(key)
        return below if changed is None else [p for p in _newest(below, changed) if p.estimates]

    def ended(self, key: Key) -> Iterable[Position]:
        below, changed = self.base.ended(key), self._ended.get(key)
        return below if changed is None else _newest(below, changed)

    def mark(self, instrument: Instrument) -> Mark | None:
        return self.marks.get(instrument) or self.base.mark(instrument)

    def liquidation_price(self, position_id: UUID) -> LiquidationPrice | None:
        return self.liquidation_prices.get(position_id) or self.base.liquidation_price(position_id)

    def drift(self, drift_id: UUID) -> Drift | None:
        changed = self.drifts.get(drift_id)
        if changed is None:
            return self.base.drift(drift_id)
        return changed if changed.is_open else None

    def open_drift(self, key: DriftKey) -> Drift | None:
        if changed := self._new.open_drift(key):
            return changed
        drift = self.base.open_drift(key)
        return drift if drift and drift.drift_id not in self.drifts else None

    def drifts_on(self, key: Key) -> Iterable[UUID]:
        if not self.drifts:
            return self.base.drifts_on(key)
        on_base = [drift_id for drift_id in self.base.drifts_on(key) if drift_id not in self.drifts]
        return [*on_base, *self._new.drifts_on(key)]

    def asleep(self) -> Iterable[UUID]:
        if not self.drifts:
            return self.base.asleep()
        on_base = [drift_id for drift_id in self.base.asleep() if drift_id not in self.drifts]
        return [*on_base, *self._new.asleep()]

    def check(self, key: CheckKey) -> Check | None:
        return self.checks.get(key) or self.base.check(key)

    def checks_of(self, account: str, venue: str) -> Iterable[Check]:
        if not self.checks:
            return self.base.checks_of(account, venue)
        newer = {k: check for k, check in self.checks.items() if k[:2] == (account, venue)}
        return ({(c.account, c.venue, c.scope): c for c in self.base.checks_of(account, venue)} | newer).values()

    def knows_fill(self, key: FillKey) -> bool:
        return key in self.fills or key in self.known_fills or self.base.knows_fill(key)

    def knows_payment(self, key: PaymentKey) -> bool:
        return key in self.payments or key in self.known_payments or self.base.knows_payment(key)

    def append(self, event: Event) -> None:
        """Take the event into the draft."""
        self.events.append(event)
        if event.after is not None:
            if event.before is None or event.subject in self._new.positions:
                self._new.put(event.after)
            self.positions[event.subject] = event.after
            self._index(event.after, event.before)
        else:
            assert event.drift is not None
            self.put_drift(event.drift)

    def _index(self, after: Position, before: Position | None) -> None:
        if after.estimates or (before is not None and before.estimates):
            self._owing.setdefault(after.key, {})[after.position_id] = after
        if after.status.is_final:
            self._ended.setdefault(after.key, {})[after.position_id] = after

    def put_drift(self, drift: Drift) -> None:
        """Make a case what it is now; counters may move without an event."""
        self.drifts[drift.drift_id] = drift
        self._new.put_drift(drift)

    def absorb(self, other: Draft) -> None:
        """Take over what another draft, made on top of this one, would change: by position, not event by event."""
        self.events += other.events
        for position in other.positions.values():
            if position.position_id in self._new.positions or position.position_id in other._new.positions:
                self._new.put(position)
        self.positions.update(other.positions)
        for mine, theirs in ((self._owing, other._owing), (self._ended, other._ended)):
            for key, changed in theirs.items():
                mine.setdefault(key, {}).update(changed)
        for drift in other.drifts.values():
            self.put_drift(drift)
        self.marks.update(other.marks)
        self.liquidation_prices.update(other.liquidation_prices)
        self.checks.update(other.checks)
        self.fills.update(other.fills)
        self.payments.update(other.payments)


def _newest(below: Iterable[Position], changed: dict[UUID, Position]) -> Iterable[Position]:
    return ({position.position_id: position for position in below} | changed).values()
