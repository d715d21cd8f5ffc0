"""`trueup positions open|reduce|close`: what is booked by hand."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from trueup.position.v1 import position_service_pb2 as pb

from trueup_cli import options, position_tables
from trueup_cli.failures import USAGE, Failure
from trueup_cli.options import (
    ExpectedRevision,
    Fee,
    FeeCurrency,
    MarginMode,
    OfAccount,
    OfVenue,
    Reason,
    Ref,
    RequestId,
    Side,
)
from trueup_cli.session import Session, talks

# No venue names anything like that, but people do.
_PAIR_WITHOUT_SLASH = re.compile(r"([A-Za-z0-9]{2,}?)(USD|USDC|USDT)")


def _show(session: Session, position: Any) -> None:
    session.out.json(position) if session.out.is_json else position_tables.one(session.out, position)


@talks
async def open_(
    session: Session,
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="BTC/USD, or the venue's symbol.")],
    size: Annotated[str, typer.Argument(help="In base units.")],
    entry_price: Annotated[str, typer.Argument(help="In quote currency a unit.")],
    side: Annotated[Side, typer.Option("--side")] = Side.LONG,
    venue: Annotated[str, typer.Option("--venue", help="hyperliquid when left out.")] = "",
    account: OfAccount = "",
    symbol: Annotated[str, typer.Option("--symbol", help="The venue's name, where it is not the usual one.")] = "",
    leverage: Annotated[str, typer.Option("--leverage", help="1 when left out.")] = "",
    margin_mode: Annotated[MarginMode | None, typer.Option("--margin-mode")] = None,
    liquidation_price: Annotated[str, typer.Option("--liquidation-price")] = "",
    label: Annotated[list[str] | None, typer.Option("--label", help="name=value; may be given again.")] = None,
    fee: Fee = "",
    fee_currency: FeeCurrency = "",
    reason: Reason = "",
    request_id: RequestId = "",
) -> None:
    """Open a position.

    Example: trueup positions open ARB/USD 1000 0.95 --leverage 5
    """
    if pair := _PAIR_WITHOUT_SLASH.fullmatch(asset):
        raise Failure(f"{asset!r} is no pair: write {pair[1]}/{pair[2]}", USAGE)
    named = options.reference(asset, venue, account)
    if symbol:
        named["symbol"] = symbol
    request = pb.OpenPositionRequest(
        size=size,
        entry_price=entry_price,
        side=f"SIDE_{side.name}",
        leverage=leverage,
        margin_mode=f"MARGIN_MODE_{margin_mode.name}" if margin_mode else None,
        liquidation_price=liquidation_price,
        labels=dict(_pair(text) for text in label or ()),
        fee=fee,
        fee_currency=fee_currency,
        reason=reason,
        request_id=session.writes(request_id),
        **named,
    )
    _show(session, (await session.client.positions.OpenPosition(request)).position)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"--label: {text!r} is not name=value")
    return name, value


@talks
async def reduce(
    session: Session,
    position: Ref,
    size: Annotated[str, typer.Argument(help="How much to close, in base units.")],
    price: Annotated[str, typer.Argument(help="In quote currency a unit.")],
    venue: OfVenue = "",
    account: OfAccount = "",
    fee: Fee = "",
    fee_currency: FeeCurrency = "",
    reason: Reason = "",
    expected_revision: ExpectedRevision = 0,
    request_id: RequestId = "",
) -> None:
    """Close a part of a position at a price; the whole size closes it.

    Example: trueup positions reduce ARB/USD 400 1.02
    """
    request = pb.ReducePositionRequest(
        size=size,
        price=price,
        fee=fee,
        fee_currency=fee_currency,
        reason=reason,
        expected_revision=expected_revision,
        request_id=session.writes(request_id),
        **options.reference(position, venue, account),
    )
    _show(session, (await session.client.positions.ReducePosition(request)).position)


@talks
async def close(
    session: Session,
    position: Ref,
    price: Annotated[str, typer.Argument(help="Closed now at this price; without one the close is announced.")] = "",
    venue: OfVenue = "",
    account: OfAccount = "",
    fee: Fee = "",
    fee_currency: FeeCurrency = "",
    reason: Reason = "",
    expected_revision: ExpectedRevision = 0,
    request_id: RequestId = "",
) -> None:
    """Close a position.

    Example: trueup positions close ARB/USD 1.04
    """
    request = pb.ClosePositionRequest(
        close_price=price,
        fee=fee,
        fee_currency=fee_currency,
        reason=reason,
        expected_revision=expected_revision,
        request_id=session.writes(request_id),
        **options.reference(position, venue, account),
    )
    _show(session, (await session.client.positions.ClosePosition(request)).position)
