"""decide(view, command, context) -> Draft: what a command does, or a DomainError that says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from position_service.domain import adjust, fills, lifecycle, watching
from position_service.domain import commands as c
from position_service.domain.book import Draft, FillKey, PaymentKey, View
from position_service.domain.steps import Context
from position_service.domain.transitions import Move

RULES: dict[type, Callable[[Any, Draft, Context], None]] = {
    c.Open: lifecycle.open_,
    c.ConfirmOpen: lifecycle.confirm_open,
    c.CancelOpen: lifecycle.cancel_open,
    c.Increase: lifecycle.increase_,
    c.Reduce: lifecycle.reduce_,
    c.Close: lifecycle.close,
    c.ConfirmClose: lifecycle.confirm_close,
    c.CancelClose: lifecycle.cancel_close,
    c.Liquidate: lifecycle.liquidate,
    c.Update: lifecycle.update,
    c.Adjust: adjust.adjust,
    c.RecordFills: fills.record_fills,
    c.UpdatePrices: watching.update_prices,
    c.RecordLiquidationPrices: watching.record_liquidation_prices,
    c.RecordRun: watching.record_run,
    c.TransitionDrift: watching.transition,
}

MOVES: dict[type, Move] = {
    c.ConfirmOpen: Move.CONFIRM_OPEN,
    c.CancelOpen: Move.CANCEL_OPEN,
    c.Increase: Move.INCREASE,
    c.Reduce: Move.REDUCE,
    c.Close: Move.CLOSE,
    c.ConfirmClose: Move.CONFIRM_CLOSE,
    c.CancelClose: Move.CANCEL_CLOSE,
    c.Liquidate: Move.LIQUIDATE,
    c.Update: Move.UPDATE,
    c.Adjust: Move.ADJUST,
}


def decide(
    view: View,
    command: c.Command,
    context: Context,
    known_fills: Iterable[FillKey] = (),
    known_payments: Iterable[PaymentKey] = (),
) -> Draft:
    """Decide a command. Raises DomainError; the view is never changed."""
    draft = Draft(view, known_fills, known_payments)
    RULES[type(command)](command, draft, context)
    return draft
