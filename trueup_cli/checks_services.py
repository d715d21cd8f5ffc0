"""What `trueup doctor` finds where a service is called: it, another one, or nobody."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grpckit.channel import connect
from grpckit.listen import Listen, why_not
from trueup_cli.addresses import host_and_port
from trueup_cli.checks import Finding, Level
from trueup_cli.handshake import mismatch

_ANSWER_S = 5.0
# What is said by who is somebody else, and what to do.
_ANOTHER = {
    grpc.StatusCode.NOT_FOUND: "set its address, or free the port",
    grpc.StatusCode.UNIMPLEMENTED: (
        "set its address, free the port, or call it directly: a proxy may let no health check through"
    ),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A service: how it is called, its name in the contract, the setting that says where it is, what it depends on."""

    what: str
    full_name: str
    variable: str
    needs: str


POSITION = Kind("Position service", "trueup.position.v1.PositionService", "POSITION_ADDRESS", "its database")
RECONCILER = Kind("Reconciler", "trueup.reconciler.v1.ReconcilerService", "RECONCILER_ADDRESS", "its Position service")


async def service(kind: Kind, address: str, listen: str, credentials: grpc.ChannelCredentials | None = None) -> Finding:
    """Whether a service answers and serves; if not, whether it does where it would listen, or that is to be had."""
    try:
        status = await _status(address, kind.full_name, credentials)
    except grpc.aio.AioRpcError as error:
        if todo := await mismatch(address, error.details() or "", secured=credentials is not None):
            return Finding(Level.PROBLEM, kind.what, f"cannot be called at {address}", todo)
        if todo := _ANOTHER.get(error.code(), ""):
            return Finding(Level.PROBLEM, kind.what, f"what answers at {address} is not it", todo)
        return await _silent(kind, address, Listen.parse(listen), credentials)
    if status == health_pb2.HealthCheckResponse.SERVING:
        says = f"serves at {address}, {'without' if credentials is None else 'with'} TLS"
        return Finding(Level.OK, kind.what, says, answers=True)
    todo = f"it starts or drains, or misses what it depends on: {kind.needs}; look again, then its log"
    return Finding(Level.PROBLEM, kind.what, f"at {address} is not serving", todo, answers=True)


async def _silent(kind: Kind, address: str, listen: Listen, credentials: grpc.ChannelCredentials | None) -> Finding:
    says = f"nothing answers at {address}"
    if _is_at(address, listen):
        if problem := why_not(listen):
            return Finding(Level.PROBLEM, kind.what, f"{says}; it could not listen on {listen}", problem)
    else:
        with suppress(grpc.aio.AioRpcError):
            await _status(here := listen.dial(), kind.full_name, credentials)
            return Finding(Level.PROBLEM, kind.what, f"{says}; one is at {here}", f"set {kind.variable} to that")
    return Finding(Level.PROBLEM, kind.what, says, f"start it with `trueup up`, or set {kind.variable}")


def _is_at(address: str, listen: Listen) -> bool:
    """Whether an address is that of who listens there."""
    where = host_and_port(address)
    if where is None:
        return address == str(listen)
    reached_within = Listen.parse(listen.dial()).loopback  # by who calls from this machine
    return where[1] == listen.port and (where[0] == listen.host or (reached_within and Listen(host=where[0]).loopback))


async def _status(address: str, name: str, credentials: grpc.ChannelCredentials | None) -> int:
    """What is said of the health of a service. That of the process would say nothing of what the service depends on."""
    async with connect(address, credentials=credentials) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)  # its stubs are for the other kind of channel
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=_ANSWER_S)
    return int(answer.status)
