"""Every call of the contract is built; what is not in it answers so, with a reason."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf import message_factory
from trueup.position.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    position_service_pb2,
    position_service_pb2_grpc,
    reconciliation_log_service_pb2,
    reconciliation_log_service_pb2_grpc,
)
from trueup.reconciler.v1 import reconciler_service_pb2, reconciler_service_pb2_grpc

from grpckit.channel import connect
from grpckit.errors import REASONS, from_rpc
from position_service.access_servicer import AccessServicer
from position_service.log_servicer import ReconciliationLogServicer
from position_service.servicer import PositionServicer
from reconciler_service.app import ReconcilerApp
from reconciler_service.servicer import ReconcilerServicer
from reconciler_service.settings import ReconcilerSettings


class Contract(NamedTuple):
    """A service: its descriptor, what implements it, and what that extends."""

    descriptor: Any
    servicer: type
    generated: type


CONTRACTS = (
    Contract(
        position_service_pb2.DESCRIPTOR.services_by_name["PositionService"],
        PositionServicer,
        position_service_pb2_grpc.PositionServiceServicer,
    ),
    Contract(
        reconciliation_log_service_pb2.DESCRIPTOR.services_by_name["ReconciliationLogService"],
        ReconciliationLogServicer,
        reconciliation_log_service_pb2_grpc.ReconciliationLogServiceServicer,
    ),
    Contract(
        access_service_pb2.DESCRIPTOR.services_by_name["AccessService"],
        AccessServicer,
        access_service_pb2_grpc.AccessServiceServicer,
    ),
    Contract(
        reconciler_service_pb2.DESCRIPTOR.services_by_name["ReconcilerService"],
        ReconcilerServicer,
        reconciler_service_pb2_grpc.ReconcilerServiceServicer,
    ),
)
ALL = [(contract, method) for contract in CONTRACTS for method in contract.descriptor.methods]


def is_built(contract: Contract, name: str) -> bool:
    return getattr(contract.servicer, name) is not getattr(contract.generated, name)


BUILT = [pytest.param(each, id=each[1].full_name) for each in ALL if is_built(each[0], each[1].name)]
NOT_BUILT = [method.full_name for contract, method in ALL if not is_built(contract, method.name)]


@pytest.fixture
async def channel_to(start_position: Any) -> AsyncIterator[Callable[[str], grpc.aio.Channel]]:
    """Channels to both services, by the full name of a service."""
    position = await start_position(watch_progress_interval=0.1)
    settings = ReconcilerSettings(reconciler_listen="127.0.0.1:0", position_address=position.address, drain_grace=1.0)
    app = ReconcilerApp(settings)
    channel = connect(f"127.0.0.1:{await app.start()}")
    yield lambda service: channel if "reconciler" in service else position.channel
    await channel.close()
    await app.stop()


async def called(channel: grpc.aio.Channel, method: Any, request: Any) -> grpc.aio.AioRpcError | None:
    """Call a method, whatever its kind, until its first answer; the error it ended with."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    serialize, parse = type(request).SerializeToString, message_factory.GetMessageClass(method.output_type).FromString
    try:
        if method.server_streaming:
            call = channel.unary_stream(path, serialize, parse)(request, timeout=30)
            try:
                await call.read()
            finally:
                call.cancel()
        else:
            await channel.unary_unary(path, serialize, parse)(request, timeout=30)
    except grpc.aio.AioRpcError as error:
        return error
    return None


def test_every_call_of_the_contract_is_built():
    assert not NOT_BUILT


async def test_what_is_built_answers_with_documented_reasons_only(channel_to: Callable[[str], grpc.aio.Channel]):
    """An empty request: an answer, or an error of the contract. Never UNIMPLEMENTED, UNKNOWN or INTERNAL."""
    documented = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}
    refused = 0
    for _, method in (param.values[0] for param in BUILT):
        request = message_factory.GetMessageClass(method.input_type)()
        error = await called(channel_to(method.containing_service.full_name), method, request)
        if error is not None:
            refused += 1
            assert error.code() in documented, f"{method.full_name}: {error.code()} {error.details()}"
            assert from_rpc(error).reason in REASONS, method.full_name
    assert refused > 10


@pytest.mark.parametrize("path", ["/trueup.position.v1.PositionService/Nope", "/nobody.Knows/It"])
async def test_unknown_calls_are_not_implemented_either(channel_to: Callable[[str], grpc.aio.Channel], path: str):
    for service in ("trueup.position.v1", "trueup.reconciler.v1"):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel_to(service).unary_unary(path)(b"", timeout=30)
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert from_rpc(raised.value).reason == "NOT_IMPLEMENTED"
