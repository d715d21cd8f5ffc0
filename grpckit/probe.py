"""``python -m grpckit.probe HOST:PORT [SERVICE]``: whether a server, or one of its services, says that it serves.

For schedulers that can run a command but do not speak grpc.health.v1, or not over TLS. Where TLS_CA_FILE is set it asks
over TLS, with TLS_CLIENT_CERT_FILE and TLS_CLIENT_KEY_FILE if there are any: beside a service its settings do. Exit
code 0: it serves; 1: it does not, or nobody answers.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_SERVING = health_pb2.HealthCheckResponse.SERVING


def status(
    address: str,
    service: str = "",
    *,
    credentials: grpc.ChannelCredentials | None = None,
    name: str = "",
    timeout_s: float = 3.0,
) -> str:
    """Asks once. Returns the status, or the gRPC code of no answer. ``name`` is the certificate's."""
    options = [("grpc.ssl_target_name_override", name)] if name else []
    channel: Any
    if credentials is None:
        channel = grpc.insecure_channel(address, options)
    else:
        channel = grpc.secure_channel(address, credentials, options)
    with channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout_s)
        except grpc.RpcError as error:
            return str(error.code().name)  # type: ignore[attr-defined, unused-ignore]
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def _file(variable: str) -> Path | None:
    return Path(os.environ[variable]) if os.environ.get(variable) else None


def main() -> None:
    """The command. Raises SystemExit with its exit code."""
    parser = argparse.ArgumentParser(prog="python -m grpckit.probe", description=__doc__.partition("\n\n")[2])
    parser.add_argument("address")
    parser.add_argument("service", nargs="?", default="", help="Full name; the server itself when left out.")
    parser.add_argument("--ca", type=Path, default=_file("TLS_CA_FILE"), help="PEM of the CA: ask over TLS.")
    parser.add_argument("--cert", type=Path, default=_file("TLS_CLIENT_CERT_FILE"), help="A certificate to present.")
    parser.add_argument("--key", type=Path, default=_file("TLS_CLIENT_KEY_FILE"), help="Its private key.")
    parser.add_argument("--name", default="", help="The name in the certificate, where it is not the address's.")
    parser.add_argument("--timeout", type=float, default=3.0, help="Seconds.")
    given = parser.parse_args()
    credentials = None
    if given.ca:
        read = [file.read_bytes() if file else None for file in (given.ca, given.key, given.cert)]
        credentials = grpc.ssl_channel_credentials(*read)
    told = status(given.address, given.service, credentials=credentials, name=given.name, timeout_s=given.timeout)
    print(told)  # noqa: T201 - the answer
    sys.exit(told != health_pb2.HealthCheckResponse.ServingStatus.Name(_SERVING))


if __name__ == "__main__":
    main()
