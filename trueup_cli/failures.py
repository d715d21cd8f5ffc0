"""What went wrong, in one line that says what to do, and the exit code that goes with it.

0    done
1    refused: the service said no, or a check failed
2    wrong usage
3    nobody answers, or not in time: a write may have happened, repeat it with its request id
4    with --exit-code: something was found
130  interrupted
"""

from __future__ import annotations

import grpc

from grpckit.errors import RpcError
from trueup_cli.client import Unreachable

DONE, REFUSED, USAGE, UNREACHABLE, FOUND = range(5)

_UNKNOWN_OUTCOME = frozenset({
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
})  # fmt: skip
HINTS = {
    "AMBIGUOUS_ASSET": "say which with --venue or --account",
    "POSITION_NOT_FOUND": "trueup positions list shows what is live; of what is closed, give the position id",
    "DRIFT_NOT_FOUND": "trueup drifts list shows the open cases",
    "STALE_REVISION": "it has moved since: look again, then decide again",
    "REQUEST_ID_REUSED": "leave --request-id out to make a new request",
    "VENUE_UNCONFIGURED": "trueup doctor says what is missing",
    "OVERLOADED": "try again in a moment",
    "RATE_LIMITED": "try again in a moment",
    "NO_CREDENTIALS": (
        "set TRUEUP_KEY_FILE to the file of a key; `trueup keys create` makes one, the first with the root key: "
        "ROOT_KEY_FILE of the Position service, or root.key in its DB_PATH"
    ),
    "SCOPE_MISSING": (
        "set TRUEUP_KEY_FILE to a key that `trueup keys create --scopes` gave it, or to the root key, which has every scope"
    ),
    "ACCOUNT_FORBIDDEN": (
        "set TRUEUP_KEY_FILE to a key that `trueup keys create --accounts` gave it; '*' stands for every account"
    ),
    "KEY_NOT_FOUND": "trueup keys list shows them",
}


class Failure(Exception):
    """Found out on this side. The text says what to do."""

    def __init__(self, text: str, code: int = REFUSED) -> None:
        super().__init__(text)
        self.code = code


def exit_code(error: RpcError) -> int:
    """The exit code that an error of a service stands for."""
    unanswered = error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    return UNREACHABLE if unanswered else REFUSED


def describe(error: RpcError, *, variable: str, request_id: str = "") -> str:
    """The error as one line; ``variable`` names the setting of the address, ``request_id`` is that of a write."""
    if isinstance(error, Unreachable):
        if error.mismatch:
            return error.mismatch
        text = f"{error.message}: start it with `trueup up` or set {variable}"
    else:
        text = error.message or error.code.name
        if hint := HINTS.get(error.reason):
            text = f"{text}; {hint}"
    if not request_id:
        return text
    if error.code in _UNKNOWN_OUTCOME:
        return f"{text}. It may have happened: repeat it with --request-id {request_id}, and it happens once"
    return f"{text} (request id {request_id})"
