"""AccessService: parse, call, convert."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from trueup.position.v1 import access_service_pb2 as svc
from trueup.position.v1 import access_service_pb2_grpc as rpc

from grpckit.access import Access
from grpckit.accounts import require_every_account
from grpckit.caller import caller
from position_service import convert_access as convert
from position_service import page
from position_service.keys.keeper import Keeper
from position_service.keys.key import Key


class AccessServicer(rpc.AccessServiceServicer):
    """Keys are for those whose own key covers every account: others could make one that does."""

    def __init__(self, keeper: Keeper, access: Access) -> None:
        self._keeper = keeper
        self._access = access

    async def CreateKey(self, request: svc.CreateKeyRequest, context: Any) -> svc.CreateKeyResponse:
        require_every_account()
        made, secret = await self._keeper.create(convert.terms(request, datetime.now(UTC)), caller().actor)
        return svc.CreateKeyResponse(api_key=convert.api_key(made), key=secret.text)

    async def ListKeys(self, request: svc.ListKeysRequest, context: Any) -> svc.ListKeysResponse:
        require_every_account()
        size, after = page.size(request), page.start(request)
        keys = await self._keeper.listed(ended=request.include_ended)
        first = next((at for at, key in enumerate(keys) if _place(key) > after), len(keys)) if after else 0
        shown = keys[first : first + size]
        more = page.token(_place(shown[-1])) if len(keys) > first + size else ""
        return svc.ListKeysResponse(api_keys=[convert.api_key(key) for key in shown], next_page_token=more)

    async def RotateKey(self, request: svc.RotateKeyRequest, context: Any) -> svc.RotateKeyResponse:
        require_every_account()
        overlap = timedelta(milliseconds=request.overlap_ms)
        changed, secret = await self._keeper.rotate(request.key_id, overlap, caller().actor)
        await self._access.refresh()
        return svc.RotateKeyResponse(api_key=convert.api_key(changed), key=secret.text)

    async def RevokeKey(self, request: svc.RevokeKeyRequest, context: Any) -> svc.RevokeKeyResponse:
        require_every_account()
        changed = await self._keeper.revoke(request.key_id, caller().actor)
        await self._access.refresh()
        return svc.RevokeKeyResponse(api_key=convert.api_key(changed))

    async def AuthenticateKey(self, request: svc.AuthenticateKeyRequest, context: Any) -> svc.AuthenticateKeyResponse:
        require_every_account()
        found = await self._keeper.identify(request.key)
        if found is None:
            return svc.AuthenticateKeyResponse()
        return svc.AuthenticateKeyResponse(api_key=convert.granted(found.grant), generation=found.generation)


def _place(key: Key) -> str:
    """Where a key stands in the list: it keeps its place, whatever becomes of it."""
    return f"{key.created_at.isoformat(timespec='microseconds')} {key.key_id}"
