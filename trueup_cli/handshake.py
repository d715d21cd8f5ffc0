"""Whether a service wants TLS: to who calls it otherwise it seems to answer nothing."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

_PATIENCE_S = 3.0


async def mismatch(address: str, *, secured: bool) -> str:
    """What is wrong about calling an address with TLS, or without, and what to do; empty when that is not why."""
    speaks = await _speaks_tls(address)
    if speaks and not secured:
        return f"{address} speaks TLS: set TLS_CA_FILE to the CA of its certificate"
    if speaks is False and secured:
        return f"{address} does not speak TLS: call it without TLS_CA_FILE"
    return ""


async def _speaks_tls(address: str) -> bool | None:
    """Whether what listens at host:port takes part in a TLS handshake; None: nobody does. No certificate is judged."""
    where = urlsplit(f"//{address.removeprefix('dns:///')}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        if not where.port:
            return None  # a unix socket
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(where.hostname, where.port, ssl=context)
    except ssl.SSLError as error:
        return error.reason != "WRONG_VERSION_NUMBER"
    except (OSError, ValueError):  # nobody there, or not in time; no port
        return None
    writer.close()
    return True
