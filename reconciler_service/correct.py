"""What would mend the book: a finding and the fills it misses, in; commands for the Position service, out. Pure.

Decisions a reader should know:

* APPLY_FILLS books the missed fills and nothing else, so the realised PnL is true. ADOPT_VENUE makes the book say what
  the venue says: by the missed fills as well where they add up, so that who tells them later finds them known. Where they
  are not known it is a guess, which the fills that come restate: what it closes is priced by the mark, else the entry
  price, what it opens or adds by the venue's entry price, else the mark.
* A wrong setting is corrected by itself: exposure that is wrong as well is another case with a decision of its own.
  Wrong exposure brings the settings along, because a position that was traded has other ones.
* What a venue does not say (no entry price, no liquidation price) stays as the book has it.
* The venue's liquidation price is an observation of every cycle and no part of the book, which would keep it when the
  next trade moves it. One that somebody has given is corrected.
* A position the fills open anew takes its settings from the venue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum

from reconciler_service.explain import diff, shown
from reconciler_service.findings import ZERO, Change, Finding, Kind
from reconciler_service.holding import EXACT, STEP, Holding, book_fills, holding_of, trade
from reconciler_service.missed import PRICE_NOISE
from reconciler_service.model import BookPosition, BookState, MarginMode, Side, VenueFill, VenuePosition

_SETTING_FIELDS = frozenset({"leverage", "margin_mode", "liquidation_price"})
SETTINGS = frozenset({Kind.LEVERAGE, Kind.MARGIN_MODE, Kind.LIQUIDATION_PRICE})


class Action(Enum):
    ADOPT_VENUE = "ADOPT_VENUE"
    APPLY_FILLS = "APPLY_FILLS"


class NotCorrectable(Exception):
    """The finding cannot be corrected that way. The text says what can be done instead."""


@dataclass(frozen=True, slots=True)
class BookFills:
    """Book executions. ``leverage`` is for a position they open."""

    fills: tuple[VenueFill, ...]
    leverage: Decimal | None


@dataclass(frozen=True, slots=True)
class Open:
    side: Side
    size: Decimal
    price: Decimal
    leverage: Decimal | None
    margin_mode: MarginMode | None


@dataclass(frozen=True, slots=True)
class ConfirmOpen:
    size: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class CancelOpen: ...


@dataclass(frozen=True, slots=True)
class CancelClose: ...


@dataclass(frozen=True, slots=True)
class Adjust:
    """None leaves a price as it is. The prices of what it closes or adds are estimated."""

    side: Side
    size: Decimal
    entry_price: Decimal | None
    close_price: Decimal | None


@dataclass(frozen=True, slots=True)
class Update:
    """None leaves a setting as it is."""

    leverage: Decimal | None = None
    margin_mode: MarginMode | None = None
    liquidation_price: Decimal | None = None


Command = BookFills | Open | ConfirmOpen | CancelOpen | CancelClose | Adjust | Update


@dataclass(frozen=True, slots=True)
class Plan:
    """Commands in their order, what they change, and whether the realised PnL of that is a guess."""

    commands: tuple[Command, ...] = ()
    correction: tuple[Change, ...] = ()
    estimated: bool = False


def plan(action: Action, finding: Finding, missed: Sequence[VenueFill], quote: frozenset[str]) -> Plan:
    """How to mend what was found. ``missed`` are the fills that account for all of it; empty when none do.

    Raises NotCorrectable.
    """
    if finding.kind is Kind.UNMAPPED:
        raise NotCorrectable(f"{finding.symbol} has no canonical name: open a position for it under the name you want")
    if action is Action.APPLY_FILLS:
        return _apply(finding, missed, quote)
    if finding.kind in SETTINGS:
        assert finding.local is not None
        assert finding.actual is not None
        update, changes = _settings(finding.local, finding.actual)
        return Plan((update,), changes)
    return _adopt(finding, missed, quote)


def _apply(finding: Finding, missed: Sequence[VenueFill], quote: frozenset[str]) -> Plan:
    local, actual = finding.local, finding.actual
    if not missed or finding.kind in SETTINGS:
        raise NotCorrectable("no fills at the venue account for it: ADOPT_VENUE takes over what the venue says")
    if local is not None and not _takes(local, missed):
        raise NotCorrectable(
            f"a position that is {local.state.value} cannot book these fills: ADOPT_VENUE takes over what the venue says"
        )
    booked = holding_of(local)
    commands: tuple[Command, ...] = (BookFills(tuple(missed), actual.leverage if actual else None),)
    correction = diff(booked, book_fills(booked, missed, quote))
    if actual is not None and _opens_anew(booked, missed):
        opened = Update(margin_mode=actual.margin_mode)
        commands += (opened,) if opened != Update() else ()
        correction += _changes(local, replace(opened, leverage=actual.leverage))
    return Plan(commands, correction)


def _takes(local: BookPosition, missed: Sequence[VenueFill]) -> bool:
    """Whether the state allows the fills: nothing is traded on before it opens, nothing is added while it closes."""
    if local.state is BookState.CLOSING:
        return all(fill.is_buy is not (local.side is Side.LONG) for fill in missed)
    return local.state is not BookState.OPENING


def _opens_anew(booked: Holding, missed: Sequence[VenueFill]) -> bool:
    """Whether the fills open a position that was not there, or pass through flat on their way."""
    size = booked.size
    for fill in missed:
        before, size = size, size + fill.signed_size
        if size and before * size <= 0:
            return True
    return False


def _adopt(finding: Finding, missed: Sequence[VenueFill], quote: frozenset[str]) -> Plan:
    local, actual = finding.local, finding.actual
    if missed and (local is None or _takes(local, missed)):
        return _adopt_by_fills(finding, missed, quote)
    if local is None:
        return _open(finding, Holding())
    if local.state is BookState.OPENING:
        return _settle_opening(finding, local)
    if actual is None:
        return _close(finding, local, missed)
    commands: tuple[Command, ...] = ()
    correction: tuple[Change, ...] = ()
    if local.state is BookState.CLOSING:
        commands, correction = (CancelClose(),), (Change("status", "CLOSING", "OPEN"),)
    booked, price = holding_of(local), _closing_price(finding, local, missed)
    entry = actual.entry_price
    if local.side is not actual.side:
        known = (entry, finding.mark, local.entry_price)
        entry = next(one for one in known if one is not None)
    elif finding.kind is not Kind.ENTRY_PRICE and entry is not None and _is_rounded(local.entry_price, entry):
        entry = None
    after = _adjusted(booked, actual.signed_size, entry, price)
    if after != booked:
        closes = local.side is not actual.side or actual.size < local.size
        commands += (Adjust(actual.side, actual.size, entry, price if closes else None),)
    update, changes = _settings(local, actual)
    commands += (update,) if update != Update() else ()
    return Plan(commands, diff(booked, after) + changes + correction, estimated=after != booked)


def _adopt_by_fills(finding: Finding, missed: Sequence[VenueFill], quote: frozenset[str]) -> Plan:
    """The fills lead to the venue's size. Only an entry price that is another one is taken over as well."""
    local, actual, booked = finding.local, finding.actual, holding_of(finding.local)
    made = _apply(finding, missed, quote)
    if actual is None:
        return made
    commands, after, entry = made.commands, book_fills(booked, missed, quote), actual.entry_price
    correction = made.correction
    assert after.entry is not None  # they lead to what the venue holds
    is_wrong = entry is not None and not _is_rounded(after.entry, entry)
    if entry is not None and is_wrong:
        corrected = replace(after, cost=EXACT.multiply(entry, actual.size))
        commands += (Adjust(actual.side, actual.size, entry, None),)
        changes = diff(booked, corrected)
        correction = changes + tuple(one for one in correction if one.field in _SETTING_FIELDS)
    if local is not None and not _opens_anew(booked, missed):
        update, changes = _settings(local, actual)
        commands += (update,) if update != Update() else ()
        correction += changes
    return Plan(commands, correction, estimated=is_wrong)


def _is_rounded(price: Decimal, shown_price: Decimal) -> bool:
    """Whether a venue's average price may be the book's own, rounded: then the basis stays as it is, with all its digits."""
    return abs(price - shown_price) <= EXACT.multiply(PRICE_NOISE, shown_price)


def _open(finding: Finding, booked: Holding, otherwise: Decimal | None = None) -> Plan:
    """A new position as the venue has it, at its entry price, else the mark, else at ``otherwise``."""
    actual = finding.actual
    assert actual is not None
    price = next((one for one in (actual.entry_price, finding.mark, otherwise) if one is not None), None)
    if price is None:
        raise NotCorrectable("the venue names neither an entry price nor a mark: open the position with a price")
    settings = Update(actual.leverage, actual.margin_mode)
    opening = Open(actual.side, actual.size, price, settings.leverage, settings.margin_mode)
    after = Holding(actual.signed_size, EXACT.multiply(price, actual.size))
    return Plan((opening,), diff(booked, after) + _changes(None, settings), estimated=True)


def _settle_opening(finding: Finding, local: BookPosition) -> Plan:
    """An announced position: it opened, at another size perhaps, or it never did."""
    actual = finding.actual
    if actual is None:
        return Plan((CancelOpen(),), (Change("status", "OPENING", "CLOSED"),))
    if actual.side is not local.side:
        opened = _open(finding, holding_of(local), local.entry_price)
        return replace(opened, commands=(CancelOpen(), *opened.commands))
    price = local.entry_price if actual.entry_price is None else actual.entry_price
    booked = holding_of(local)
    after = replace(booked, size=actual.signed_size, cost=EXACT.multiply(price, actual.size))
    update, changes = _settings(local, actual)
    commands: tuple[Command, ...] = (ConfirmOpen(actual.size, price),)
    commands += (update,) if update != Update() else ()
    correction = (*diff(booked, after), *changes, Change("status", "OPENING", "OPEN"))
    return Plan(commands, correction, estimated=after != booked)


def _close(finding: Finding, local: BookPosition, missed: Sequence[VenueFill]) -> Plan:
    """The venue holds nothing, and no fills that can be booked say how it came to that."""
    booked, price = holding_of(local), _closing_price(finding, local, missed)
    after = trade(booked, -booked.size, price)
    return Plan((Adjust(local.side, ZERO, None, price),), diff(booked, after), estimated=True)


def _closing_price(finding: Finding, local: BookPosition, missed: Sequence[VenueFill]) -> Decimal:
    closing = [fill for fill in missed if fill.is_buy is not (local.side is Side.LONG)]
    if closing:
        paid = sum((EXACT.multiply(fill.price, fill.size) for fill in closing), ZERO)
        return EXACT.divide(paid, sum((fill.size for fill in closing), ZERO)).quantize(STEP, context=EXACT)
    return local.entry_price if finding.mark is None else finding.mark


def _adjusted(booked: Holding, size: Decimal, entry: Decimal | None, price: Decimal) -> Holding:
    """The holding once it is said to be ``size`` at ``entry``; None keeps the average. What closes does so at a price."""
    turns = booked.size * size < 0
    closed = abs(booked.size) if turns else max(abs(booked.size) - abs(size), ZERO)
    after = trade(booked, -closed if booked.size > 0 else closed, price)
    if entry is not None:
        cost = EXACT.multiply(entry, abs(size))
    elif abs(size) <= abs(booked.size):
        cost = after.cost
    else:
        grown = EXACT.divide(EXACT.multiply(booked.cost, abs(size)), abs(booked.size))
        cost = grown.quantize(STEP, context=EXACT)
    return Holding(size, cost, after.realized)


def _settings(local: BookPosition, actual: VenuePosition) -> tuple[Update, tuple[Change, ...]]:
    """The settings that the venue names and the book has otherwise."""
    given = local.liquidation_price
    update = Update(
        leverage=None if actual.leverage == local.leverage else actual.leverage,
        margin_mode=None if actual.margin_mode is local.margin_mode else actual.margin_mode,
        liquidation_price=None if given is None or actual.liquidation_price == given else actual.liquidation_price,
    )
    return update, _changes(local, update)


def _changes(local: BookPosition | None, update: Update) -> tuple[Change, ...]:
    rows = (
        ("leverage", shown(local.leverage if local else None), shown(update.leverage)),
        ("margin_mode", _mode(local.margin_mode if local else None), _mode(update.margin_mode)),
        ("liquidation_price", shown(local.liquidation_price if local else None), shown(update.liquidation_price)),
    )
    return tuple(Change(*row) for row in rows if row[2] and row[1] != row[2])


def _mode(mode: MarginMode | None) -> str:
    return mode.value if mode else ""
