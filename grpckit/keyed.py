"""A channel that presents an API key with every call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import grpc


def keyed(channel: grpc.aio.Channel, key: str | Callable[[], str]) -> grpc.aio.Channel:
    """The channel, with `authorization: Bearer KEY` on what is called through it; as it is without a key.

    A key that may be replaced meanwhile is given as what tells it; each call asks. No interceptors: those of grpc.aio
    wrap every call in a task and every stream in another stream.
    """
    ask = partial(str, key) if isinstance(key, str) else key
    return cast("grpc.aio.Channel", _Keyed(channel, ask)) if ask() else channel


class _Keyed:
    """Stands in for the channel towards generated code."""

    def __init__(self, channel: grpc.aio.Channel, key: Callable[[], str]) -> None:
        self._channel: Any = channel
        self._key = key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    async def __aenter__(self) -> Any:
        await self._channel.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._channel.__aexit__(*error)

    def unary_unary(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """Calls with the key."""
        return self._with_key(self._channel.unary_unary(*arguments, **options))

    def unary_stream(self, *arguments: Any, **options: Any) -> Callable[..., Any]:
        """Streams with the key."""
        return self._with_key(self._channel.unary_stream(*arguments, **options))

    def _with_key(self, method: Any) -> Callable[..., Any]:
        key = self._key

        def call(request: Any, *, metadata: Any = None, **options: Any) -> Any:
            header = ("authorization", f"Bearer {key()}")
            return method(request, metadata=(*(metadata or ()), header), **options)

        return call
