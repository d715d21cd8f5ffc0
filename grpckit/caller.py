"""Who is calling, for as long as the call runs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TypeAlias

from trueup.types.v1 import rules_pb2

ON_BEHALF_OF = "x-on-behalf-of"
FOR_ACCOUNTS = "x-for-accounts"

_NAME = re.compile(r"[!-~]{1,128}")

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified identity. `actor` stands in what the call changes; `scopes` are values of trueup.types.v1.Scope;
    `client` is what limits count and what is revoked: a key's id, empty for who has none. `generation` says which of
    the key's secrets was presented.
    """

    actor: str
    scopes: frozenset[int] | None = None  # None: every scope
    accounts: frozenset[str] | None = None  # None: every account
    client: str = ""
    generation: int = 0


# Names the caller, by the call's metadata and its peer, at once, or promises to: a credential that is seen for the first
# time may have to be looked up.
Authenticate: TypeAlias = Callable[[Metadata, str], Caller | Awaitable[Caller]]

ANONYMOUS = Caller("anonymous")

_caller: ContextVar[Caller] = ContextVar("grpckit_caller")
_request_id: ContextVar[str] = ContextVar("grpckit_request_id", default="")
_trace_id: ContextVar[str] = ContextVar("grpckit_trace_id", default="")


def anonymous(metadata: Metadata, peer: str = "") -> Caller:
    """Lets everybody in, namelessly."""
    return ANONYMOUS


def caller() -> Caller:
    """Returns who makes the current call. Raises LookupError outside of a call: there is nobody to name."""
    return _caller.get()


def accounts_in_sight() -> frozenset[str] | None:
    """Returns the accounts that who makes the current call may see. None: all, as for what we do by ourselves."""
    return _caller.get(ANONYMOUS).accounts


def request_id() -> str:
    """Returns the x-request-id of the current call, to be passed on; empty when it brought none."""
    return _request_id.get()


def trace_id() -> str:
    """Returns the id of the trace that this work is part of, 32 hexadecimal digits; empty when it is not traced."""
    return _trace_id.get()


def traced_as(identifier: str) -> None:
    """Sets the id of the trace that what runs in this task is part of."""
    _trace_id.set(identifier)


def enter(who: Caller) -> None:
    """Names the caller of the call that runs in this task."""
    _caller.set(who)


def tag(identifier: str) -> None:
    """Sets the request id of the call that runs in this task."""
    _request_id.set(identifier)


def on_behalf(actor: str = "") -> tuple[tuple[str, str], ...]:
    """Makes the metadata that says for whom a call to another service is: ``actor``, or who makes the current call.

    A caller who may see some accounts only sees no others through us either; what is done for an ``actor`` is our own.
    """
    who = _caller.get(ANONYMOUS)
    name = actor or who.actor
    named = ((ON_BEHALF_OF, name),) if name != ANONYMOUS.actor and _NAME.fullmatch(name) else ()
    return named if actor or who.accounts is None else (*named, (FOR_ACCOUNTS, ",".join(sorted(who.accounts))))


def speaking_for(who: Caller, metadata: Metadata) -> Caller:
    """Returns the caller under the name it speaks for, if it may do everything: then the name says more than its own.

    From others the name is not taken, nor one that cannot stand in a log line. The accounts that a caller names are
    those it is content with: a service passes on what its own caller may see.
    """
    trusted = who.scopes is None or rules_pb2.SCOPE_ADMIN in who.scopes
    actor, accounts = who.actor, who.accounts
    for key, value in metadata:
        if key == ON_BEHALF_OF and trusted and isinstance(value, str) and _NAME.fullmatch(value):
            actor = value
        elif key == FOR_ACCOUNTS and isinstance(value, str):
            named = frozenset(value.split(",")) - {""}
            accounts = named if accounts is None else accounts & named
    return who if actor is who.actor and accounts is who.accounts else replace(who, actor=actor, accounts=accounts)
