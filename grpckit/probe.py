"""``python -m grpckit.probe HOST:PORT [SERVICE]``: whether a server, or one of its services, says that it serves.

For schedulers that can run a command but do not speak grpc.health.v1, or not over TLS. Exit code 0: it serves; 1: it
does not, or nobody answers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_SERVING = health_pb2.HealthCheckResponse.SERVING


def status(address: str, service: str = "", *, ca: bytes = b"", name: str = "", timeout_s: float = 3.0) -> str:
    """Asks once. Returns the status, or the gRPC code of no answer. ``ca`` turns TLS on; ``name`` is the certificate's."""
    options = [("grpc.ssl_target_name_override", name)] if name else []
    if ca:
        channel: Any = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca), options)
    else:
        channel = grpc.insecure_channel(address, options)
    with channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
        except grpc.RpcError as error:
            return str(error.code().name)  # type: ignore[attr-defined, unused-ignore]
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def main() -> None:
    """The command. Raises SystemExit with its exit code."""
    parser = argparse.ArgumentParser(prog="python -m grpckit.probe", description=__doc__.partition("\n\n")[2])
    parser.add_argument("address")
    parser.add_argument("service", nargs="?", default="", help="Full name; the server itself when left out.")
    parser.add_argument("--ca", type=Path, help="PEM of the CA: ask over TLS.")
    parser.add_argument("--name", default="", help="The name in the certificate, where it is not the address's.")
    parser.add_argument("--timeout", type=float, default=3.0, help="Seconds.")
    given = parser.parse_args()
    ca = given.ca.read_bytes() if given.ca else b""
    told = status(given.address, given.service, ca=ca, name=given.name, timeout_s=given.timeout)
    print(told)  # noqa: T201 - the answer
    sys.exit(told != health_pb2.HealthCheckResponse.ServingStatus.Name(_SERVING))


if __name__ == "__main__":
    main()
