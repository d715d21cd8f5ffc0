"""The error table: what each refusal of the domain and the ledger is on the wire."""

from __future__ import annotations

import grpc

from grpckit.errors import RpcError, Violation
from position_service.domain import errors as e
from position_service.domain.numbers import canonical
from position_service.ledger.committer import Overloaded
from position_service.ledger.line import StoreUnavailable

_Code = grpc.StatusCode
_RETRY_S = 1.0


def translate(error: Exception) -> RpcError | None:  # noqa: C901 - a table
    """The RpcError of an exception of this service; None for one that is not foreseen."""
    text = str(error)
    match error:
        case e.PositionNotFound(wanted=wanted, ended_id=ended_id):
            metadata = {"wanted": wanted} | ({"positionId": str(ended_id)} if ended_id else {})
            return RpcError(_Code.NOT_FOUND, "POSITION_NOT_FOUND", text, metadata)
        case e.DriftNotFound(drift_id=drift_id):
            return RpcError(_Code.NOT_FOUND, "DRIFT_NOT_FOUND", text, {"driftId": str(drift_id)})
        case e.AmbiguousAsset(candidates=candidates):
            return RpcError(_Code.FAILED_PRECONDITION, "AMBIGUOUS_ASSET", text, {"candidates": ", ".join(candidates)})
        case e.PositionAlreadyOpen(position_id=position_id):
            return RpcError(_Code.ALREADY_EXISTS, "POSITION_ALREADY_OPEN", text, {"positionId": str(position_id)})
        case e.IllegalTransition(state=state, allowed=allowed):
            metadata = {"state": state, "allowedStates": ", ".join(allowed)}
            return RpcError(_Code.FAILED_PRECONDITION, "ILLEGAL_TRANSITION", text, metadata)
        case e.SizeExceedsPosition(size=size, requested=requested):
            metadata = {"size": canonical(size), "requested": canonical(requested)}
            return RpcError(_Code.FAILED_PRECONDITION, "SIZE_EXCEEDS_POSITION", text, metadata)
        case e.StaleRevision(expected=expected, actual=actual, field=field):
            metadata = {"expectedRevision": str(expected), "actualRevision": str(actual)}
            metadata |= {"field": field} if field else {}
            return RpcError(_Code.ABORTED, "STALE_REVISION", text, metadata)
        case e.InvalidValue(field=field, problem=problem):
            violation = Violation(field, problem)
            return RpcError(_Code.INVALID_ARGUMENT, "INVALID_REQUEST", text, violations=[violation])
        case e.RequestIdReused(request_id=request_id, field=field):
            metadata = {"requestId": request_id, "field": field}
            return RpcError(_Code.ALREADY_EXISTS, "REQUEST_ID_REUSED", text, metadata)
        case StoreUnavailable():
            return RpcError(
                _Code.UNAVAILABLE,
                "STORE_UNAVAILABLE",
                "the database does not answer; a write may or may not have happened: repeat it with its request_id",
                retry_after_s=_RETRY_S,
            )
        case Overloaded():
            message = "too many writes are waiting"
            return RpcError(_Code.RESOURCE_EXHAUSTED, "OVERLOADED", message, retry_after_s=_RETRY_S)
        case _:
            return None


def revision_in_future(revision: int, head: int) -> RpcError:
    """OUT_OF_RANGE: nobody can resume after what has not happened."""
    message = f"revision {revision} has not happened: the head is at {head}"
    return RpcError(_Code.OUT_OF_RANGE, "REVISION_IN_FUTURE", message, {"headRevision": str(head)})


def revision_pruned(revision: int, oldest: int) -> RpcError:
    """OUT_OF_RANGE: the events after that revision are not all kept any more."""
    message = f"the events after revision {revision} are no longer kept: list what is, then watch from there"
    return RpcError(_Code.OUT_OF_RANGE, "REVISION_PRUNED", message, {"oldestRevision": str(oldest)})


def watcher_too_slow(revision: int) -> RpcError:
    """RESOURCE_EXHAUSTED: the subscriber did not read for too long."""
    message = f"too slow: nothing was read for a while; resume after revision {revision}"
    metadata = {"resumeAfterRevision": str(revision)}
    return RpcError(_Code.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW", message, metadata)


def run_not_found(run_id: str) -> RpcError:
    """NOT_FOUND: no such run."""
    return RpcError(_Code.NOT_FOUND, "RUN_NOT_FOUND", f"no run {run_id}", {"runId": run_id})
