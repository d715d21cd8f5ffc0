"""From the commands of a correction to requests of the Position service."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from trueup.position.v1 import position_service_pb2 as pb
from trueup.types.v1 import types_pb2

from reconciler_service import correct as c
from reconciler_service.convert import decimal_text, stamp
from reconciler_service.findings import Finding
from reconciler_service.model import MarginMode, Side, VenueFill

REASON_CODE = "ADOPT_VENUE"
_DIGITS = 32  # of a digest: a request id has at most 128 characters

Correction = (
    pb.RecordFillsRequest
    | pb.OpenPositionRequest
    | pb.ConfirmOpenRequest
    | pb.CancelOpenRequest
    | pb.CancelCloseRequest
    | pb.AdjustPositionRequest
    | pb.UpdatePositionRequest
)


def request(
    command: c.Command, finding: Finding, *, prefix: str, revision: int, reason: str, evidence: str
) -> Correction:
    """The request of one command. ``revision`` is that of the position it is decided on; 0 when there is none.

    Its id is ``prefix`` and what the request says: the same correction is the same request, and another one, of another
    look at the venue, is not taken for it. Of several that were decided on one revision the position takes the first.
    """
    made = _request(command, finding, revision, reason, evidence)
    digest = hashlib.sha256(made.SerializeToString(deterministic=True)).hexdigest()
    made.request_id = f"{prefix}{revision}:{digest[:_DIGITS]}"
    return made


def _request(command: c.Command, finding: Finding, revision: int, reason: str, evidence: str) -> Correction:
    common: Any = {"account": finding.account, "reason": reason}
    if isinstance(command, c.BookFills):
        seen = pb.ExpectedRevision(venue=finding.venue, symbol=finding.symbol, revision=revision)
        fills = [_fill(one, command, finding) for one in command.fills]
        return pb.RecordFillsRequest(fills=fills, expected_revisions=[seen], **common)
    common |= {"venue": finding.venue, "symbol": finding.symbol}
    guess: Any = {"estimated": True, "as_of": stamp(finding.observed_at or finding.requested_at)}
    if isinstance(command, c.Open):
        return pb.OpenPositionRequest(
            asset=finding.asset,
            product=getattr(types_pb2, f"PRODUCT_{finding.product.value}"),
            side=_side(command.side),
            size=decimal_text(command.size),
            entry_price=decimal_text(command.price),
            leverage=decimal_text(command.leverage),
            margin_mode=_mode(command.margin_mode),
            **guess,
            **common,
        )
    common["expected_revision"] = revision
    match command:
        case c.ConfirmOpen(size, price):
            return pb.ConfirmOpenRequest(size=decimal_text(size), entry_price=decimal_text(price), **guess, **common)
        case c.CancelOpen():
            return pb.CancelOpenRequest(**common)
        case c.CancelClose():
            return pb.CancelCloseRequest(**common)
        case c.Update():
            return pb.UpdatePositionRequest(
                leverage=decimal_text(command.leverage),
                margin_mode=_mode(command.margin_mode),
                liquidation_price=decimal_text(command.liquidation_price),
                **common,
            )
        case c.Adjust():
            return pb.AdjustPositionRequest(
                side=_side(command.side),
                size=decimal_text(command.size),
                entry_price=decimal_text(command.entry_price),
                close_price=decimal_text(command.close_price),
                reason_code=REASON_CODE,
                evidence=evidence,
                **guess,
                **common,
            )


def assumed_price(commands: Iterable[c.Command]) -> str:
    """What is assumed to have been paid for what a correction closes; empty when it assumes nothing."""
    guessed = (one.close_price for one in commands if isinstance(one, c.Adjust) and one.close_price is not None)
    return decimal_text(next(guessed, None))


def _fill(one: VenueFill, command: c.BookFills, finding: Finding) -> pb.Fill:
    return pb.Fill(
        venue=finding.venue,
        symbol=finding.symbol,
        asset=finding.asset,
        product=getattr(types_pb2, f"PRODUCT_{finding.product.value}"),
        fill_id=one.fill_id,
        is_buy=one.is_buy,
        size=decimal_text(one.size),
        price=decimal_text(one.price),
        fee=decimal_text(one.fee) if one.fee else "",
        fee_currency=one.fee_currency if one.fee else "",
        executed_at=stamp(one.time),
        leverage=decimal_text(command.leverage),
        liquidation=one.liquidation,
    )


def _side(side: Side) -> types_pb2.Side:
    made: types_pb2.Side = getattr(types_pb2, f"SIDE_{side.value}")
    return made


def _mode(mode: MarginMode | None) -> types_pb2.MarginMode:
    name = f"MARGIN_MODE_{mode.value if mode else 'UNSPECIFIED'}"
    made: types_pb2.MarginMode = getattr(types_pb2, name)
    return made
