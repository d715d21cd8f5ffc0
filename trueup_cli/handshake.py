"""Why a service that is called cannot be talked to: to who calls it otherwise it seems to answer nothing."""

from __future__ import annotations

import asyncio
import re
import ssl
from enum import Enum

from trueup_cli.addresses import host_and_port

_PATIENCE_S = 3.0
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([^:]+)")
# What gRPC says of a call that found no connection to take. Any other has, and may have reached somebody.
_NEVER_CONNECTED = ("connections to all backends failing", "errors resolving")
_UNHEALTHY = "backend unhealthy"  # connected, and told by its health that it does not serve
_NOBODY = "Failed to connect to remote host"  # refused, or no way there: who is there by now did not hang up


class _Peer(Enum):
    """What takes part in a handshake. No certificate is judged."""

    PLAIN = "speaks no TLS"
    TLS = "speaks TLS"
    CHOOSY = "speaks TLS, and hangs up on who shows no certificate"


async def mismatch(address: str, said: str, *, secured: bool) -> str:
    """What keeps calls to an address from reaching anybody, and what to do; empty when there is only silence.

    ``said`` is what gRPC says of the call, which has reached nobody when something is wrong.
    """
    if not said.startswith(_NEVER_CONNECTED):
        return ""
    if "errors resolving" in said:
        return f"{address} cannot be resolved here: check its address, or the name server"
    if _UNHEALTHY in said:
        return f"{address} answers, but does not serve: it starts or drains, or misses what it depends on"
    if "Hostname Verification Check failed" in said:
        return f"the certificate of {address} is for other names: call it by one of them, or make it one for this name"
    if why := _UNTRUSTED.search(said):
        return (
            f"the certificate of {address} is not to be trusted ({why[1].strip()}): set TLS_CA_FILE to the CA that signed "
            "it, or renew it there"
        )
    peer = await _peer(address)
    if peer in (_Peer.TLS, _Peer.CHOOSY) and not secured:
        return f"{address} speaks TLS: set TLS_CA_FILE to the CA of its certificate"
    if peer is _Peer.PLAIN and secured:
        return f"{address} does not speak TLS: call it without TLS_CA_FILE"
    if peer is _Peer.CHOOSY and _NOBODY not in said:  # to who has one, too: this look shows none
        return (
            f"{address} hangs up after the handshake, as on who has no certificate of its client CA: set "
            "TLS_CLIENT_CERT_FILE and TLS_CLIENT_KEY_FILE to one that it signed"
        )
    return ""


async def _peer(address: str) -> _Peer | None:
    """What listens at an address; None: nobody does, or not in time, or it has no host and port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        if (where := host_and_port(address)) is None:
            return None
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_connection(*where, ssl=context)
    except ssl.SSLError as error:
        return _Peer.PLAIN if error.reason == "WRONG_VERSION_NUMBER" else _Peer.TLS
    except (OSError, ValueError):  # nobody there, or not in time; no address, or no name
        return None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return _Peer.TLS if await reader.read(1) else _Peer.CHOOSY  # a server of HTTP/2 speaks first
    except TimeoutError:
        return _Peer.TLS
    except OSError:  # an alert, or no more than a reset
        return _Peer.CHOOSY
    finally:
        writer.close()
