"""Why book and venue disagree, and what exactly would mend the book. Pure: no I/O, no protobuf, no clock.

The venue's fills are the evidence, and where no fill accounts for it, what moved balances without one. Most of them are in the book already, so the question is which are not: the newest
run of fills that begins where the book stands and ends where the venue stands. When there is one, the correction is
those fills and its realised PnL is true; otherwise the correction adopts the venue's numbers and says it is estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from reconciler_service.findings import ZERO, Cause, Change, Evidence, Explanation, Finding, Kind
from reconciler_service.holding import EXACT, STEP, Holding, adopt, book_fills, holding_of
from reconciler_service.missed import base_fees, missed_fills, missed_net, transfers_behind
from reconciler_service.model import BookState, CashFlow, FlowKind, MarginMode, Product, VenueFill
from reconciler_service.wording import plain, signed, spaced

MOST_EVIDENCE = 20  # fills quoted one by one


@dataclass(frozen=True, slots=True)
class Trades:
    """The venue's fills of the instrument, oldest first, or why there are none to look at."""

    fills: Sequence[VenueFill] = ()
    since: datetime | None = None
    error: str = ""


def explain(finding: Finding, trades: Trades, quote: frozenset[str], flows: Sequence[CashFlow] = ()) -> Explanation:
    """Name the cause with its evidence and propose the correction.

    ``flows`` are what moved the account's balances without a trade, oldest first. ``quote`` are the currencies that count as the quote currency, e.g. USD and USDC: fees in them are realised.
    """
    match finding.kind:
        case Kind.LIQUIDATION_PRICE:
            return _explain_liquidation_price(finding, flows)
        case Kind.LEVERAGE | Kind.MARGIN_MODE:
            return _explain_setting(finding)
        case Kind.UNMAPPED:
            return Explanation(
                Cause.UNEXPLAINED,
                f"The venue's metadata does not name {finding.symbol}; give the book a position for it.",
            )
        case Kind.OVERDUE:
            return _explain_overdue(finding, trades, quote)
        case _:
            return _explain_exposure(finding, trades, quote, flows)


def fills_behind(finding: Finding, trades: Trades) -> Sequence[VenueFill]:
    """The fills that never reached the book and account for all that the finding shows; empty when none do."""
    local, actual = finding.local, finding.actual
    held = actual.signed_size if actual else ZERO
    entry = actual.entry_price if actual else None
    return missed_fills(holding_of(local), held, entry, trades.fills, local.updated_at if local else None)


def _explain_setting(finding: Finding) -> Explanation:
    local, actual = finding.local, finding.actual
    assert local is not None
    assert actual is not None
    if finding.kind is Kind.MARGIN_MODE:
        assert local.margin_mode is not None
        assert actual.margin_mode is not None
        field, before, after = "margin_mode", local.margin_mode.value, actual.margin_mode.value
    else:
        field, before, after = "leverage", shown(local.leverage), shown(actual.leverage)
    name = field.replace("_", " ")
    change = (Change(field, before, after),)
    fact = Evidence("setting", f"{name} {after} at the venue", time=finding.observed_at)
    text = f"The {name} was set to {after} at the venue; the book says {before}."
    return Explanation(Cause.SETTING_CHANGED, text, (fact,), change)


def _explain_liquidation_price(finding: Finding, flows: Sequence[CashFlow]) -> Explanation:
    """It follows the collateral behind the position: its own when isolated, else all of the dex."""
    local, actual = finding.local, finding.actual
    assert local is not None
    assert actual is not None
    before, after = shown(local.liquidation_price), shown(actual.liquidation_price)
    change = (Change("liquidation_price", before, after),)
    text = f"The venue liquidates at {after}, the book says {before}; "
    dex = finding.symbol.partition(":")[0] if ":" in finding.symbol else ""
    is_isolated = actual.margin_mode is MarginMode.ISOLATED
    moved = [flow for flow in flows if flow.symbol == finding.symbol or (not is_isolated and flow.scope == dex)]
    if not moved:
        return Explanation(Cause.UNEXPLAINED, text + "it moves with collateral, funding and leverage.", (), change)
    parts = []
    for kind, words in ((FlowKind.TRANSFER, "moved by transfers"), (FlowKind.FUNDING, "came as funding")):
        with localcontext(EXACT):
            if total := sum((flow.amount for flow in moved if flow.kind is kind), ZERO):
                parts.append(f"{signed(total)} {words}")
    cause = Cause.TRANSFER if any(flow.kind is FlowKind.TRANSFER for flow in moved) else Cause.FUNDING
    facts = " and ".join(parts) or "what came and went adds up to nothing"
    return Explanation(cause, f"{text}of the collateral behind it, {facts}.", _quote_flows(moved), change)


def _explain_exposure(
    finding: Finding, trades: Trades, quote: frozenset[str], flows: Sequence[CashFlow] = ()
) -> Explanation:
    local, actual = finding.local, finding.actual
    booked, held = holding_of(local), actual.signed_size if actual else ZERO
    entry = actual.entry_price if actual else None
    run = fills_behind(finding, trades)
    if run:
        return _from_fills(finding, booked, run, quote)
    if finding.product is Product.SPOT and (charged := base_fees(finding, trades.fills)):
        after = Holding(held, booked.cost, booked.realized)
        text = f"Fees of {plain(booked.size - held)} were taken from the bought asset itself."
        return Explanation(Cause.FEE_IN_BASE, text, _quote_fills(charged), diff(booked, after))
    if finding.product is Product.SPOT and (run := missed_net(finding, trades.fills)):
        made = _from_fills(finding, booked, run, quote)
        after = book_fills(booked, run, quote)
        text = f"{made.text} Fees were taken from the bought asset itself."
        return Explanation(made.cause, text, made.evidence, diff(booked, Holding(held, after.cost, after.realized)))
    if finding.product is Product.SPOT and (moved := transfers_behind(finding, flows)):
        after = adopt(booked, held, None, finding.mark)
        text = f"{_unit(finding)} were transferred {'in' if finding.size_delta > 0 else 'out'}, not traded."
        return Explanation(Cause.TRANSFER, text, _quote_flows(moved), diff(booked, after), estimated=True)
    after = adopt(booked, held, entry, finding.mark)
    return Explanation(Cause.UNEXPLAINED, _unexplained(trades), correction=diff(booked, after), estimated=True)


def _explain_overdue(finding: Finding, trades: Trades, quote: frozenset[str]) -> Explanation:
    local = finding.local
    assert local is not None
    held = finding.actual.signed_size if finding.actual else ZERO
    was = local.state.value
    if local.state is BookState.OPENING:
        if held == local.signed_size:
            text = "The venue holds all of it: it has opened and nobody confirmed it."
            return Explanation(Cause.MISSED_FILLS, text, correction=(Change("status", was, "OPEN"),))
        if not held:
            text = f"It never opened: the venue holds nothing. {_unexplained(trades)}"
            return Explanation(Cause.UNEXPLAINED, text, correction=(Change("status", was, "CLOSED"),))
        change = (Change("size", plain(local.size), plain(abs(held))), Change("status", was, "OPEN"))
        text = f"It opened at another size: the venue holds {plain(abs(held))} of {plain(local.size)}."
        return Explanation(Cause.UNEXPLAINED, text, correction=change, estimated=True)
    if held == local.signed_size:
        text = "The close was never executed: the venue holds all of it."
        return Explanation(Cause.UNEXPLAINED, text, correction=(Change("status", was, "OPEN"),))
    return _explain_exposure(finding, trades, quote)


def _from_fills(finding: Finding, booked: Holding, run: Sequence[VenueFill], quote: frozenset[str]) -> Explanation:
    after = book_fills(booked, run, quote)
    liquidated = [fill for fill in run if fill.liquidation]
    if liquidated:
        cause, text = Cause.LIQUIDATION, f"The venue liquidated {_in_words(liquidated, noun=False)}."
    elif finding.actual is None:
        cause, text = Cause.CLOSED_AT_VENUE, f"It was closed at the venue: {_in_words(run)} never reached the book."
    else:
        words = _in_words(run)
        cause, text = Cause.MISSED_FILLS, f"{words[0].upper()}{words[1:]} never reached the book."
    return Explanation(cause, text, _quote_fills(run), diff(booked, after))


def _in_words(fills: Sequence[VenueFill], *, noun: bool = True) -> str:
    """ "a buy of 0.1 at 42 150", "3 fills, net -0.4 at 42 150 on average"; without noun: "0.1 at 42 150"."""
    with localcontext(EXACT):
        size = sum((fill.size for fill in fills), ZERO)
        price = (sum((fill.size * fill.price for fill in fills), ZERO) / size).quantize(Decimal("0.000001"))
        net = sum((fill.signed_size for fill in fills), ZERO)
    amount = f"{plain(size)} at {spaced(price)}"
    if not noun:
        return amount
    if len(fills) == 1:
        return f"a {'buy' if fills[0].is_buy else 'sell'} of {amount}"
    if abs(net) == size:
        return f"{len(fills)} {'buys' if net > 0 else 'sells'} of {amount} on average"
    return f"{len(fills)} fills, net {plain(net)} at {spaced(price)} on average,"


def _quote_fills(fills: Sequence[VenueFill]) -> tuple[Evidence, ...]:
    quoted = [
        Evidence(
            kind="liquidation" if fill.liquidation else "fill",
            id=fill.fill_id,
            time=fill.time,
            text=f"{'bought' if fill.is_buy else 'sold'} {plain(fill.size)} {fill.symbol} at {plain(fill.price)}"
            + (f", fee {plain(fill.fee)} {fill.fee_currency}".rstrip() if fill.fee else ""),
        )
        for fill in fills[:MOST_EVIDENCE]
    ]
    if len(fills) > MOST_EVIDENCE:
        quoted.append(Evidence("fill", f"and {len(fills) - MOST_EVIDENCE} more"))
    return tuple(quoted)


def _quote_flows(flows: Sequence[CashFlow]) -> tuple[Evidence, ...]:
    """The newest ones, oldest first."""
    quoted = [
        Evidence(
            kind=flow.kind.value.lower(),
            id=flow.flow_id,
            time=flow.time,
            text=f"{signed(flow.amount)} {flow.currency}"
            + (f", {flow.text}" if flow.text else "")
            + (f" of {flow.symbol}" if flow.symbol else ""),
        )
        for flow in flows[-MOST_EVIDENCE:]
    ]
    if len(flows) > MOST_EVIDENCE:
        quoted.insert(0, Evidence("transfer", f"and {len(flows) - MOST_EVIDENCE} before"))
    return tuple(quoted)


def _unit(finding: Finding) -> str:
    return f"{plain(abs(finding.size_delta))} {finding.asset.partition('/')[0] or finding.symbol}"


def diff(before: Holding, after: Holding) -> tuple[Change, ...]:
    """What differs, in the order a person reads a position."""
    rows = (
        ("side", _side(before.size), _side(after.size) or _side(before.size)),
        ("size", shown(abs(before.size)), shown(abs(after.size))),
        ("entry_price", shown(before.entry), shown(after.entry if after.size else before.entry)),
        ("realized_pnl", shown(before.realized), shown(after.realized)),
    )
    return tuple(Change(*row) for row in rows if row[1] != row[2])


def _side(size: Decimal) -> str:
    if not size:
        return ""
    return "LONG" if size > 0 else "SHORT"


def shown(amount: Decimal | None) -> str:
    """Plain text of at most 18 fraction digits, rounded once, here."""
    if amount is None:
        return ""
    with localcontext(EXACT):
        return plain(amount.quantize(STEP))


def _unexplained(trades: Trades) -> str:
    if trades.error:
        return f"The venue's fills could not be read: {trades.error}."
    if trades.since is None:
        return "The venue's fills were not read."
    return f"No fill since {trades.since:%Y-%m-%d %H:%M:%S} UTC accounts for it."
