"""Responses and errors as JSON over HTTP; `grpckit.json_form` says how messages are written."""

from __future__ import annotations

import math
from typing import Any

import grpc
from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from grpckit.call import REQUEST_ID
from grpckit.errors import DETAILS_KEY, RpcError, to_status
from grpckit.json_form import dumps

_CODES = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}
_BY_NUMBER = {code.value[0]: status for code, status in _CODES.items()}

# No answer may be kept: each is true at its revision only. No browser may guess another type.
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Refusal(Exception):
    """An error of HTTP itself, which no gRPC code stands for. `close`: what is left of the request is not read."""

    def __init__(
        self, status: int, error: RpcError, headers: dict[str, str] | None = None, *, close: bool = False
    ) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.headers = headers or {}
        self.close = close


def json_response(value: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Makes a JSON response; it ends with a newline, for people with a terminal."""
    return web.Response(
        body=dumps(value) + b"\n",
        status=status,
        headers=HEADERS | (headers or {}),
        content_type="application/json",
        charset="utf-8",
    )


def error_response(
    status: status_pb2.Status, http_status: int = 0, headers: dict[str, str] | None = None
) -> web.Response:
    """Makes the response that carries a google.rpc.Status: {code, message, details}."""
    http_status = http_status or _BY_NUMBER.get(status.code, 500)
    extra = dict(headers or {})
    wait_s = retry_after_s(status)
    if wait_s is not None:
        extra["Retry-After"] = str(max(1, math.ceil(wait_s)))
    if http_status == 401:
        extra["WWW-Authenticate"] = "Bearer"
    return json_response(status_json(status), http_status, extra)


def status_json(status: status_pb2.Status) -> dict[str, Any]:
    """Returns a status as JSON. Details of types that nobody here knows are left out."""
    details = []
    for packed in status.details:
        try:
            details.append(json_format.MessageToDict(packed, preserving_proto_field_name=True))
        except (TypeError, DecodeError, json_format.SerializeToJsonError):
            continue
    return {"code": status.code, "message": status.message, "details": details}


def retry_after_s(status: status_pb2.Status) -> float | None:
    """Returns what RetryInfo says, seconds."""
    retry = error_details_pb2.RetryInfo()
    for packed in status.details:
        if packed.Unpack(retry):
            return float(retry.retry_delay.ToNanoseconds()) / 1e9
    return None


def status_of(error: grpc.aio.AioRpcError, service: str) -> status_pb2.Status:
    """Returns the status that a service sent, or the one that stands for its silence."""
    sent: Any = error.trailing_metadata()
    for key, value in sent or ():
        if key == DETAILS_KEY:
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    code = error.code()
    if code is grpc.StatusCode.UNAVAILABLE:
        # gRPC's own text names sockets and system calls; that is for the log.
        return to_status(RpcError(code, "STORE_UNAVAILABLE", f"{service} does not answer", retry_after_s=1.0))
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"{service} did not answer in time; repeat a write with the same request_id"
        return to_status(RpcError(code, "DEADLINE_EXCEEDED", message))
    return status_pb2.Status(code=code.value[0], message=error.details() or "")


def request_id_of(metadata: Any) -> dict[str, str]:
    """Returns the x-request-id of a call's trailing metadata, as a header."""
    found = [str(value) for key, value in metadata or () if key == REQUEST_ID]
    return {"X-Request-Id": found[0]} if found else {}
