"""Errors as the wire carries them: a status code, a reason to branch on, and google.rpc details.

    Exception
    +-- RpcError             a status with ErrorInfo: what a caller sees
    |   +-- Pruned           OUT_OF_RANGE, client side: list afresh, then go on from there (channel.follow)
    +-- StartupError         the process cannot start; one line for a person, no traceback

    code                 reason                                    details besides ErrorInfo   raised by
    INVALID_ARGUMENT     INVALID_REQUEST                           BadRequest, a field each    guard, services
    NOT_FOUND            ..._NOT_FOUND                             -                           services
    ALREADY_EXISTS       POSITION_ALREADY_OPEN, REQUEST_ID_REUSED  -                           services
    ALREADY_EXISTS       KEY_NAME_TAKEN                            -                           services
    ABORTED              STALE_REVISION                            -                           services
    FAILED_PRECONDITION  ILLEGAL_TRANSITION, NOT_CORRECTABLE ...   -                           services
    FAILED_PRECONDITION  KEYS_UNCONFIGURED                         -                           services
    OUT_OF_RANGE         REVISION_PRUNED, REVISION_IN_FUTURE       -                           services
    RESOURCE_EXHAUSTED   OVERLOADED, RATE_LIMITED                  RetryInfo                   guard
    RESOURCE_EXHAUSTED   WATCHER_TOO_SLOW                          -                           services
    UNAVAILABLE          DRAINING                                  RetryInfo                   guard
    UNAVAILABLE          STORE_UNAVAILABLE, VENUE_UNREACHABLE      RetryInfo                   services
    UNAUTHENTICATED      NO_CREDENTIALS                            -                           authenticate
    PERMISSION_DENIED    SCOPE_MISSING, ACCOUNT_FORBIDDEN          -                           guard, services
    PERMISSION_DENIED    ORIGIN_FORBIDDEN                          -                           rest
    DEADLINE_EXCEEDED    DEADLINE_EXCEEDED                         -                           guard
    UNIMPLEMENTED        NOT_IMPLEMENTED                           -                           guard
    NOT_FOUND            PATH_NOT_FOUND                            -                           rest
    UNIMPLEMENTED        VERB_NOT_ALLOWED                          - (metadata: allow)         rest
    INTERNAL             INTERNAL                                  - (metadata: correlationId) guard

The reasons and their metadata are documented in trueup/types/v1/errors.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn
from urllib.parse import quote

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from trueup.types.v1 import errors_pb2

DOMAIN = "trueup"
DETAILS_KEY = "grpc-status-details-bin"
REASONS = frozenset(name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()[1:])

# A header block is limited to 8 KiB by default, and some proxies count the base64 form, 4/3 of these bytes. The
# message travels twice: in the details and, percent-encoded, as grpc-message.
_DETAILS_BYTES = 4_600
_MESSAGE_BYTES = 1_000
_VALUE_BYTES = 400
_METADATA_ENTRIES = 8
_VIOLATION_BYTES = 400


class Violation(NamedTuple):
    """One invalid field: its path, e.g. `items[3].size`, and what is wrong with it."""

    field: str
    description: str


class RpcError(Exception):
    """An error as a caller sees it.

    `reason` is a name of trueup.types.v1.ErrorReason without its prefix; `metadata` is what that reason documents;
    `retry_after_s` is sent as RetryInfo, seconds.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata: Mapping[str, str] = {key: str(value) for key, value in (metadata or {}).items()}
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.code.name} {self.reason}: {self.message}"


class Pruned(RpcError):
    """The revision to resume after is no longer (or not yet) known to the server: list, then follow from there."""

    @property
    def oldest_revision(self) -> int | None:
        """The oldest revision the server still streams, where it says so."""
        return revision_in(self.metadata, "oldestRevision")


class StartupError(Exception):
    """The process cannot start, for a reason its operator can mend. The message says what to do."""


def invalid(message: str, *violations: Violation) -> RpcError:
    """Builds the INVALID_ARGUMENT error that names fields."""
    return RpcError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", message, violations=violations)


def to_status(error: RpcError) -> status_pb2.Status:
    """Converts to google.rpc.Status, small enough for the header limit; what is left out is counted.

    Raises ValueError when the reason is not part of the contract: a typing error must not reach callers.
    """
    if error.reason not in REASONS:
        raise ValueError(f"unknown error reason {error.reason!r}")
    status = status_pb2.Status(code=error.code.value[0], message=clip_message(error.message))
    metadata = {
        _clip(key, 64): _clip(value, _VALUE_BYTES) for key, value in list(error.metadata.items())[:_METADATA_ENTRIES]
    }
    _add(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after_s * 1e9))
        _add(status, retry)
    if error.violations:
        _add(status, _bad_request(error.violations, _DETAILS_BYTES - status.ByteSize()))
    return status


def _bad_request(violations: Sequence[Violation], room: int) -> error_details_pb2.BadRequest:
    bad = error_details_pb2.BadRequest()
    room -= 160  # the note below and the envelope
    for index, violation in enumerate(violations):
        entry = bad.field_violations.add(
            field=_clip(violation.field, _VIOLATION_BYTES), description=_clip(violation.description, _VIOLATION_BYTES)
        )
        room -= entry.ByteSize() + 3
        if room < 0:
            del bad.field_violations[-1]
            bad.field_violations.add(description=f"{len(violations) - index} more violations are left out")
            break
    return bad


def _add(status: status_pb2.Status, detail: Any) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def clip_message(text: str) -> str:
    """Cuts a message to what fits a header once it is percent-encoded."""
    text = _clip(text, _MESSAGE_BYTES)
    while len(quote(text, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}~")) > _MESSAGE_BYTES:
        text = text[: len(text) * 3 // 4] + "…"
    return text


def _clip(text: str, size: int) -> str:
    raw = text.encode("utf-8", "replace")  # lone surrogates cannot travel
    if len(raw) <= size:
        return raw.decode()
    return raw[: size - 3].decode("utf-8", "ignore") + "…"


async def abort(context: Any, error: RpcError, trailing_metadata: tuple[tuple[str, str | bytes], ...] = ()) -> NoReturn:
    """Ends a server call with the error. Raises grpc.aio.AbortError, as context.abort does."""
    status = to_status(error)
    details = (DETAILS_KEY, status.SerializeToString())
    await context.abort(error.code, status.message, (*trailing_metadata, details))
    raise AssertionError("abort returned")  # pragma: no cover


def from_rpc(error: grpc.aio.AioRpcError) -> RpcError:
    """Reads an error back on the client side. The reason is empty when the server sent no ErrorInfo of this domain."""
    read = RpcError(error.code(), "", error.details() or "")
    trailing: Any = error.trailing_metadata()
    for key, value in trailing or ():
        if key == DETAILS_KEY:
            # Bytes that make no sense come from somebody else, and the code still counts.
            with suppress(DecodeError):
                for packed in status_pb2.Status.FromString(value).details:
                    _read_detail(read, packed)
    return read


def _read_detail(error: RpcError, packed: any_pb2.Any) -> None:
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    if packed.Unpack(info):
        if info.domain == DOMAIN:
            error.reason, error.metadata = info.reason, dict(info.metadata)
    elif packed.Unpack(bad):
        error.violations = tuple(Violation(each.field, each.description) for each in bad.field_violations)
    elif packed.Unpack(retry):
        error.retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9


def revision_in(metadata: Mapping[str, str], key: str) -> int | None:
    """Reads a revision from an error's metadata; None when it is not there or makes no sense."""
    text = metadata.get(key, "")
    return int(text) if text.isdecimal() and len(text) < 20 else None
