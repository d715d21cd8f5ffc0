"""Options and arguments that several commands share."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from typer.core import TyperCommand

from trueup_cli.failures import USAGE, Failure

Account = Annotated[str, typer.Option("--account", help="Only this account.")]
Venue = Annotated[str, typer.Option("--venue", help="Only this venue, e.g. hyperliquid.")]
Symbol = Annotated[str, typer.Option("--symbol", help="Only this instrument, by the venue's name, e.g. BTC-USD.")]
Asset = Annotated[str, typer.Option("--asset", help="Only this pair, e.g. BTC/USD.")]
Limit = Annotated[int, typer.Option("--limit", min=0, help="At most so many; 0: all.")]
FindingIsExit4 = Annotated[bool, typer.Option("--exit-code", help="Exit with 4 when something was found.")]
AfterRevision = Annotated[
    int | None, typer.Option("--after-revision", min=0, help="Go on after this revision; 0: from the first one.")
]

# Of a position that is meant, not filtered.
Ref = Annotated[str, typer.Argument(metavar="POSITION", help="BTC/USD, the venue's symbol, or a position id.")]
OfVenue = Annotated[str, typer.Option("--venue", help="Its venue, where several hold the asset.")]
OfAccount = Annotated[str, typer.Option("--account", help="Its account; main when left out.")]
AsOf = Annotated[str, typer.Option("--as-of", help="As it was at a revision, or at a time: 2026-03-01T12:00.")]

Reason = Annotated[str, typer.Option("--reason", help="Why, for the history.")]
RequestId = Annotated[
    str, typer.Option("--request-id", help="Makes repeating safe: the same id happens once. Made up when left out.")
]
ExpectedRevision = Annotated[
    int, typer.Option("--expected-revision", min=0, help="Only if nothing has changed since this revision.")
]
Fee = Annotated[str, typer.Option("--fee", help="Fee, negative when a rebate.")]
FeeCurrency = Annotated[str, typer.Option("--fee-currency", help="Its currency; the quote currency when left out.")]


_BELOW_ZERO = re.compile(r"-[0-9][0-9.]*")


class TakesAmounts(TyperCommand):
    """A command with amounts among its arguments: -1 is one of them, to be refused by who knows what it stands for.

    Any other command would call it an option that does not exist.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.ignore_unknown_options = any(map(_BELOW_ZERO.fullmatch, args))
        return super().parse_args(ctx, args)


class Side(StrEnum):
    """Direction of a position."""

    LONG = "long"
    SHORT = "short"


class MarginMode(StrEnum):
    """Which collateral backs a position."""

    CROSS = "cross"
    ISOLATED = "isolated"


def reference(text: str, venue: str = "", account: str = "") -> dict[str, Any]:
    """The fields of a request that name one position: by its id, as a pair, or by the venue's symbol."""
    try:
        return {"position_id": str(UUID(text))}
    except ValueError:
        name = "asset" if "/" in text else "symbol"
        return {name: text, "venue": venue, "account": account}


def as_of(text: str) -> dict[str, Any]:
    """The fields of a request that ask for the past. Raises Failure for what is neither a revision nor a time."""
    if not text:
        return {}
    if text.isdecimal():
        return {"as_of_revision": int(text)}
    return {"as_of_time": timestamp(text, "--as-of")}


def timestamp(text: str, option: str) -> Timestamp:
    """A time; UTC when it names no zone. Raises Failure."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"{option}: {text!r} is not a time, e.g. 2026-03-01T12:00:00Z", USAGE) from None
    found = Timestamp()
    found.FromDatetime(at if at.tzinfo else at.replace(tzinfo=UTC))
    return found
