"""What of the ledger the current caller may see and change: rows of accounts that its key covers.

What it may not see does not exist for it. A position or a case of another account is not found, as one that never was,
and is in no list, stream or sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from trueup.types.v1 import drift_pb2

from grpckit.accounts import require_account, require_every_account
from grpckit.caller import caller
from position_service.domain import commands as c
from position_service.domain.book import Book
from position_service.domain.drift import Drift
from position_service.domain.errors import DriftNotFound, PositionNotFound
from position_service.domain.position import Position
from position_service.ledger.history import History

_FILTERS = ("account", "venue", "symbol", "asset")


def accounts() -> frozenset[str] | None:
    """The accounts of the current caller; None for all."""
    return caller().accounts


def sees(account: str) -> bool:
    """Whether the current caller may see what is of the account."""
    seen = accounts()
    return seen is None or account in seen


def matching(request: Any) -> Callable[[Position], bool]:
    """Whether a position passes a request's filter and is the caller's to see; empty parts of the filter match
    anything.
    """
    wanted = [(name, value) for name in _FILTERS if (value := getattr(request, name))]
    seen = accounts()

    def matches(position: Position) -> bool:
        return (seen is None or position.account in seen) and all(
            getattr(position, name) == value for name, value in wanted
        )

    return matches


async def require_command(command: c.Command, book: Book, history: History) -> None:
    """Raises for a command that is not the caller's to give: ACCOUNT_FORBIDDEN for an account that it names,
    PositionNotFound for an id. Marks are everybody's, and so for callers who may see everything.
    """
    if accounts() is None:
        return
    match command:
        case c.OnPosition(ref=ref):
            await require_position(ref, book, history)
        case c.Open() | c.RecordFills():
            require_account(command.account)
        case _:
            require_every_account()


async def require_position(ref: c.Ref, book: Book, history: History) -> None:
    """Raises PositionNotFound or ACCOUNT_FORBIDDEN for a position that is not the caller's."""
    if accounts() is None:
        return
    if ref.position_id is None:
        require_account(ref.account)
        return
    position = book.position(ref.position_id) or await history.position(ref.position_id)
    if position is None or not sees(position.account):
        raise PositionNotFound(str(ref))


def require_drift(drift_id: UUID, drift: Drift | None) -> Drift:
    """The case, when there is one and it is the caller's to see. Raises DriftNotFound."""
    if drift is None or not sees(drift.key.account):
        raise DriftNotFound(drift_id)
    return drift


def narrowed(run: drift_pb2.Run) -> drift_pb2.Run | None:
    """A run as the caller may see it; None when it read nothing of the caller's accounts.

    Its counts are over everything that was read: they are left out where some of that is not the caller's.
    """
    seen = accounts()
    if seen is None or all(check.account in seen for check in run.checks):
        return run
    mine = [check for check in run.checks if check.account in seen]
    if not mine:
        return None
    made = drift_pb2.Run()
    made.CopyFrom(run)
    for name in ("checks", "equity", "positions_compared", "confirmed", "suspected", "resolved"):
        made.ClearField(name)
    made.checks.extend(mine)
    made.equity.extend(one for one in run.equity if one.account in seen)
    return made
