"""Every call as somebody without rights might make it: made from the descriptors, so that no call is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message
from trueup.position.v1 import access_service_pb2, position_service_pb2, reconciliation_log_service_pb2
from trueup.reconciler.v1 import reconciler_service_pb2
from trueup.types.v1 import rules_pb2

from grpckit.channel import watch
from grpckit.errors import RpcError, from_rpc
from tests.contract.test_bad_input import valid

POSITION = [
    position_service_pb2.DESCRIPTOR.services_by_name["PositionService"],
    reconciliation_log_service_pb2.DESCRIPTOR.services_by_name["ReconciliationLogService"],
    access_service_pb2.DESCRIPTOR.services_by_name["AccessService"],
]
RECONCILER = [reconciler_service_pb2.DESCRIPTOR.services_by_name["ReconcilerService"]]
SCOPES = {
    name.removeprefix("SCOPE_").lower(): number
    for name, number in rules_pb2.Scope.items()
    if name != "SCOPE_UNSPECIFIED"
}
# About the whole ledger, or about all accounts at once: not for keys of some accounts.
WHOLE = {
    "UpdatePrices",
    "VerifyHistory",
    "PurgeClosedPositions",
    "RecordRun",
    "AcquireLease",
    "CreateKey",
    "ListKeys",
    "RotateKey",
    "RevokeKey",
    "AuthenticateKey",
}
IDS = ("position_id", "drift_id", "run_id")


def scope_of(method: Any) -> str:
    number = method.GetOptions().Extensions[rules_pb2.scope]
    return next(name for name, value in SCOPES.items() if value == number)


def request_of(method: Any, **fields: Any) -> Any:
    """The smallest request that the contract allows, with those of the fields that it has."""
    made: Any = valid(method.input_type)
    if method.name == "CreateKey":
        made.every_account = True
    if method.name == "UpdatePrices" and not made.prices:
        made.prices.add(venue="hyperliquid", symbol="X", price="1")
    known = method.input_type.fields_by_name
    if getattr(made, "account", ""):  # one that is required: the own one, unless another is meant
        made.account = "main"
    if "position_id" in known and "position_id" in fields and "symbol" in known:
        made.ClearField("symbol")
    for name, value in fields.items():
        if name == "account" and "accounts" in known and method.name == "Reconcile":
            made.accounts.append(value)
        elif name in known:
            setattr(made, name, value)
    return made


async def answer(channel: grpc.aio.Channel, method: Any, request: Message, key: str) -> RpcError | list[Any]:
    """What a call says: its error, or its first messages; of a stream those until it has nothing more to say."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    serialize, parse = type(request).SerializeToString, message_factory.GetMessageClass(method.output_type).FromString
    metadata = (("x-api-key", key),) if key else ()
    try:
        if not method.server_streaming:
            return [await channel.unary_unary(path, serialize, parse)(request, timeout=30, metadata=metadata)]
        call: Any = channel.unary_stream(path, serialize, parse)(request, timeout=30, metadata=metadata)
        async with watch(call) as messages:
            return await until_quiet(messages)
    except grpc.aio.AioRpcError as error:
        return from_rpc(error)


async def until_quiet(messages: Any) -> list[Any]:
    """What a stream sends until it says that it has sent everything, or the whole snapshot."""
    seen: list[Any] = []
    async for message in messages:
        seen.append(message)
        is_quiet = not message.events and not getattr(message, "positions", ())
        if message.snapshot_end or (is_quiet and message.revision):
            break
    return seen


def accounts_in(message: Any) -> Iterator[str]:
    """Every account that stands anywhere in a message."""
    for field, value in message.ListFields():
        for one in value if field.is_repeated else (value,):
            if field.message_type is not None:
                if not field.message_type.GetOptions().map_entry:
                    yield from accounts_in(one)
            elif field.name == "account":
                yield one
