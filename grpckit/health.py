"""grpc.health.v1, with a Watch that yields and that ends when the server drains, and with what services depend on.

"" is the process: it runs and answers, which is what a restart could mend. A service serves when, besides, what it
cannot do without is there. Dependencies are listed under their own names, also those that it can do without.

The package's own Watch holds a lock while it writes, so one client that does not read would block every change of
status, and it never ends: it would hold up each shutdown for the whole grace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"]

_LOOK_S = 0.5  # how often dependencies are looked at while there are watches: they are asked, they do not tell

_pb2: Any = health_pb2  # the type stubs are older than List
_Status = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """Knows the status of the server ("") and of each service. Starts as NOT_SERVING."""

    def __init__(self, services: Iterable[str]) -> None:
        self._serving = dict.fromkeys(("", *services), False)
        self._needed: dict[str, Callable[[], bool]] = {}
        self._watched: Callable[[], dict[str, bool]] = dict
        self._changed = asyncio.Event()
        self._final = False
        self._told: dict[str, bool] = {}  # of dependencies, what watchers were told last
        self._watchers = 0
        self._looking: asyncio.Task[None] | None = None

    def depends(self, on: str, is_there: Callable[[], bool]) -> None:
        """From now on no service serves unless `is_there` says so; it is listed under the name `on`."""
        self._needed[on] = is_there

    def watches(self, statuses: Callable[[], dict[str, bool]]) -> None:
        """Lists more by their names, which no service depends on."""
        self._watched = statuses

    def set_serving(self, serving: bool, service: str | None = None) -> None:
        """Sets the status of one service, or of all when none is named. Raises KeyError for an unknown one."""
        if self._final:
            return
        if service is None:
            self._serving = dict.fromkeys(self._serving, serving)
        else:
            if service not in self._serving:
                raise KeyError(service)
            self._serving[service] = serving
        self._wake()

    def finish(self) -> None:
        """Reports NOT_SERVING for good: the server drains."""
        self.set_serving(serving=False)
        self._final = True

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        """Answers now; NOT_FOUND for an unknown service, as the protocol says."""
        if self._status(request.service) is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self._response(request.service)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - as above
        """Sends the status now and after each change; SERVICE_UNKNOWN for an unknown service."""
        last = None
        with self._looked_after():
            while True:
                self._look()
                changed = self._changed
                now = self._response(request.service)
                if now != last:
                    yield now
                    last = now
                await changed.wait()

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
        """Answers with every status, the server's own under the empty name, dependencies under theirs."""
        names = [*self._serving, *self._needed, *self._watched()]
        return _pb2.HealthListResponse(statuses={name: self._response(name) for name in names})

    @contextmanager
    def _looked_after(self) -> Iterator[None]:
        """One look serves all who watch, however many they are."""
        self._watchers += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on(), name="health")
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self._look()

    def _look(self) -> None:
        now = {name: is_there() for name, is_there in self._needed.items()} | self._watched()
        if now != self._told:
            self._told = now
            self._wake()

    def _wake(self) -> None:
        # Watchers hold the old event: it wakes them, and they wait for the new one next.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _status(self, name: str) -> bool | None:
        """Whether it serves; None for what is not known."""
        if name in self._serving:
            needs = self._needed.values() if name else ()
            return self._serving[name] and all(is_there() for is_there in needs)
        if name in self._needed:
            return self._needed[name]()
        return self._watched().get(name)

    def _response(self, service: str) -> Any:
        serving = self._status(service)
        if serving is None:
            return _Status(status=_Status.SERVICE_UNKNOWN)
        return _Status(status=_Status.SERVING if serving else _Status.NOT_SERVING)
