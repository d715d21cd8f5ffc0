"""How a drift reads in one line, and how much it matters. Pure."""

from __future__ import annotations

from decimal import Decimal

from reconciler_service.findings import Cause, Explanation, Finding, Kind, Severity
from reconciler_service.model import Side
from reconciler_service.wording import plain, signed, spaced

SMALL_USD = Decimal(10)  # a disagreement worth less is INFO, whatever it is about
HOME = "main"  # the account that needs no mention

_EXPOSURE = {
    Kind.MISSING_LOCALLY: Severity.CRITICAL,
    Kind.MISSING_AT_VENUE: Severity.CRITICAL,
    Kind.SIDE: Severity.CRITICAL,
    Kind.SIZE: Severity.WARNING,
}
_OTHERS = {Kind.UNMAPPED: Severity.WARNING, Kind.OVERDUE: Severity.WARNING}


def severity(finding: Finding, explanation: Explanation) -> Severity:
    """A liquidation and a whole position are critical, a wrong exposure is a warning, the rest and small change info."""
    if explanation.cause is Cause.LIQUIDATION:
        return Severity.CRITICAL
    if finding.kind not in _EXPOSURE:
        return _OTHERS.get(finding.kind, Severity.INFO)
    notional = finding.notional_delta
    if notional is not None and notional < SMALL_USD:
        return Severity.INFO
    return _EXPOSURE[finding.kind]


def summary(finding: Finding, explanation: Explanation, note: str = "") -> str:
    """One line: which position, what each side says, how much it is, what happened, why no policy mended it."""
    told = f" {note[0].upper()}{note[1:]}." if note else ""
    return f"{_subject(finding)}: {_facts(finding)}. {explanation.text}{told}"


def _subject(finding: Finding) -> str:
    held = finding.local or finding.actual
    assert held is not None
    place = finding.venue if finding.account == HOME else f"{finding.venue} ({finding.account})"
    side = "" if finding.kind is Kind.SIDE else f" {_word(held.side)}"
    return f"{finding.symbol}{side} on {place}"


def _facts(finding: Finding) -> str:
    local, actual = finding.local, finding.actual
    if local is None:
        assert actual is not None
        unnamed = ", an instrument without a canonical name" if finding.kind is Kind.UNMAPPED else ""
        return f"venue holds {plain(actual.size)}, book says nothing ({_amount(finding)}){unnamed}"
    if finding.kind is Kind.OVERDUE:
        holds = plain(actual.size) if actual else "nothing"
        return f"{local.state.value} past its deadline, book says {plain(local.size)}, venue holds {holds}"
    if actual is None:
        return f"venue holds nothing, book says {plain(local.size)} ({_amount(finding)})"
    match finding.kind:
        case Kind.SIDE:
            here, there = f"{_word(local.side)} {plain(local.size)}", f"{_word(actual.side)} {plain(actual.size)}"
            return f"venue is {there}, book says {here} ({_amount(finding)})"
        case Kind.ENTRY_PRICE:
            return _two("entry price", actual.entry_price, local.entry_price)
        case Kind.LEVERAGE:
            return _two("leverage", actual.leverage, local.leverage)
        case Kind.LIQUIDATION_PRICE:
            return _two("liquidation price", actual.liquidation_price, local.liquidation_price)
        case Kind.MARGIN_MODE:
            here, there = (
                mode.value.lower() if mode else "unknown" for mode in (local.margin_mode, actual.margin_mode)
            )
            return f"margin mode at the venue is {there}, book says {here}"
        case _:
            return f"venue holds {plain(actual.size)}, book says {plain(local.size)} ({_amount(finding)})"


def _two(name: str, there: Decimal | None, here: Decimal | None) -> str:
    return f"{name} at the venue is {spaced(there or Decimal(0))}, book says {spaced(here or Decimal(0))}"


def _amount(finding: Finding) -> str:
    """ "+0.1 BTC, about 4 215 USD"."""
    unit = finding.asset.partition("/")[0] or finding.symbol
    notional = finding.notional_delta
    if notional is None:
        return f"{signed(finding.size_delta)} {unit}"
    worth = spaced(notional.quantize(Decimal(1) if notional >= SMALL_USD else Decimal("0.01")))
    return f"{signed(finding.size_delta)} {unit}, about {worth} USD"


def _word(side: Side) -> str:
    return side.value.lower()
