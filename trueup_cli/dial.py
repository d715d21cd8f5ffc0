"""Connections to the services as the settings say: with TLS, with a key."""

from __future__ import annotations

import grpc

from grpckit.channel import connect
from grpckit.keyed import keyed
from trueup_cli.calling import api_key, tls_files


def dial(address: str, *, key: str = "") -> grpc.aio.Channel:
    """A channel with the settings' credentials, and their key unless another one is given. Raises StartupError."""
    files = tls_files()
    return keyed(connect(address, credentials=None if files is None else files.credentials), key or api_key())
