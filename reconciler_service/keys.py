"""API keys as the Position service keeps them: asked about once, then known for as long as it stands by them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import grpc
from trueup.position.v1 import access_service_pb2, access_service_pb2_grpc

from grpckit.access import Grant, Identified

_ASK_S = 5.0
_AT_ONCE = 16  # strangers must not fill the way to the Position service
_PAGE = 1_000


class Keeper:
    """Raises grpc.aio.AioRpcError when the Position service does not answer, or not to us."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._access = access_service_pb2_grpc.AccessServiceStub(channel)
        self._asking = asyncio.Semaphore(_AT_ONCE)

    async def identify(self, key: str) -> Identified | None:
        """Whose a key is; None for nobody's."""
        if not key.isprintable():
            return None
        async with self._asking:
            asked = access_service_pb2.AuthenticateKeyRequest(key=key)
            answer = await self._access.AuthenticateKey(asked, timeout=_ASK_S)
        return Identified(_grant(answer.api_key), answer.generation) if answer.HasField("api_key") else None

    async def grants(self) -> Mapping[str, Grant]:
        """Every key that is valid now, by its id."""
        found: dict[str, Grant] = {}
        request = access_service_pb2.ListKeysRequest(page_size=_PAGE)
        while True:
            page = await self._access.ListKeys(request, timeout=_ASK_S)
            found |= {key.key_id: _grant(key) for key in page.api_keys}
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token


def _grant(key: access_service_pb2.ApiKey) -> Grant:
    return Grant(
        key.key_id,
        key.name,
        frozenset(key.scopes),
        None if key.every_account else frozenset(key.accounts),
        key.expires_at.ToNanoseconds() / 1e9 if key.HasField("expires_at") else float("inf"),
        key.generation,
        key.previous_until.ToNanoseconds() / 1e9 if key.HasField("previous_until") else 0.0,
    )
