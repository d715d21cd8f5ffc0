"""Which accounts a request names, found by its descriptor: every field called `account` or `accounts`, however deep.

Enforced for callers that are limited to some. What a request leaves out is for the services: there it means "all that
the caller may see", or an account that they know of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from grpckit.caller import accounts_in_sight, caller
from grpckit.errors import RpcError


class _OfAccount(Protocol):
    @property
    def account(self) -> str: ...


Row = TypeVar("Row", bound=_OfAccount)

_FIELDS = frozenset({"account", "accounts"})

Confine: TypeAlias = Callable[[Any, frozenset[str]], None]
_Descriptor: TypeAlias = Any
_Plan: TypeAlias = "list[tuple[str, bool, _Plan | None]]"  # field, whether it repeats, what to look for inside it


def confine(request_type: type[Message] | None) -> Confine:
    """Returns what raises ACCOUNT_FORBIDDEN for a request that names an account besides the caller's.

    Whether the account exists makes no difference: there is nothing to be learned from it.
    """
    plan = _plan(request_type.DESCRIPTOR, ()) if request_type is not None else []

    def check(request: Any, accounts: frozenset[str]) -> None:
        for name in _named(request, plan):
            if name and name not in accounts:
                raise account_forbidden(name)

    return check


def account_forbidden(account: str) -> RpcError:
    """Refuses a call because the caller's key does not cover an account; "*" stands for all of them."""
    what = "every account: the key covers some only" if account == "*" else f"the account {account}"
    message = f"the key does not cover {what}"
    return RpcError(grpc.StatusCode.PERMISSION_DENIED, "ACCOUNT_FORBIDDEN", message, {"account": account})


def require_account(account: str) -> None:
    """Raises ACCOUNT_FORBIDDEN unless who makes the current call may see and change the account."""
    accounts = caller().accounts
    if accounts is not None and account not in accounts:
        raise account_forbidden(account)


def require_every_account() -> None:
    """Raises ACCOUNT_FORBIDDEN for a caller that is limited to some: for what concerns all of them at once."""
    if caller().accounts is not None:
        raise account_forbidden("*")


def own(rows: Iterable[Row]) -> list[Row]:
    """The messages whose `account` who makes the current call may see."""
    accounts = accounts_in_sight()
    return [row for row in rows if accounts is None or row.account in accounts]


def _plan(descriptor: _Descriptor, above: tuple[str, ...]) -> _Plan:
    found: _Plan = []
    for field in descriptor.fields:
        inner = field.message_type
        if inner is None:
            if field.name in _FIELDS:
                found.append((field.name, field.is_repeated, None))
        elif inner.full_name not in above and not inner.GetOptions().map_entry:
            deeper = _plan(inner, (*above, descriptor.full_name))
            if deeper:
                found.append((field.name, field.is_repeated, deeper))
    return found


def _named(message: Any, plan: _Plan) -> Iterator[str]:
    for name, repeated, inner in plan:
        value = getattr(message, name)
        for one in value if repeated else (value,):
            if inner is None:
                yield one
            else:
                yield from _named(one, inner)
