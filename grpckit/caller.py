"""Who is calling, for as long as the call runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified identity. `actor` stands in what the call changes; `scopes` are values of trueup.types.v1.Scope."""

    actor: str
    scopes: frozenset[int] | None = None  # None: every scope


Authenticate: TypeAlias = Callable[[Metadata], Caller]

ANONYMOUS = Caller("anonymous")

_caller: ContextVar[Caller] = ContextVar("grpckit_caller")
_request_id: ContextVar[str] = ContextVar("grpckit_request_id", default="")


def anonymous(metadata: Metadata) -> Caller:
    """Lets everybody in, namelessly."""
    return ANONYMOUS


def caller() -> Caller:
    """Returns who makes the current call. Raises LookupError outside of a call: there is nobody to name."""
    return _caller.get()


def request_id() -> str:
    """Returns the x-request-id of the current call, to be passed on; empty when it brought none."""
    return _request_id.get()


def enter(who: Caller) -> None:
    """Names the caller of the call that runs in this task."""
    _caller.set(who)


def tag(identifier: str) -> None:
    """Sets the request id of the call that runs in this task."""
    _request_id.set(identifier)
