"""A service as its callers meet it: gRPC, and HTTP/JSON where the settings say so, with one certificate for both."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from grpckit.config import Settings
from grpckit.guard import Guard
from grpckit.health import Health
from grpckit.listen import Listen, private_socket
from grpckit.methods import service_named
from grpckit.server import Server, Service, may_listen
from grpckit.tls import Certificate, certificate, http_context, server_credentials

if TYPE_CHECKING:
    from grpckit.gauges import Gauges
    from grpckit.rest.pages import Page
    from grpckit.rest.server import HttpServer


def servable(settings: Settings, listen: str) -> Certificate | None:
    """The certificate to serve with; None without one. Raises StartupError for what a Front refuses: who starts other
    things first asks here before that.
    """
    found = certificate(settings)
    for one in filter(None, (listen, settings.http_listen)):
        may_listen(one, secured=found is not None, insecure=settings.insecure)
    return found


class Front:
    """Raises StartupError, here and from ``start``, for what the settings ask for and cannot be."""

    def __init__(
        self,
        settings: Settings,
        listen: str,
        services: Sequence[Service],
        guard: Guard,
        *,
        title: str,
        own_pages: Mapping[str, Page] | None = None,
    ) -> None:
        self.http_port = 0
        self._settings, self._listen, self._title, self._own_pages = settings, listen, title, own_pages
        self._services = tuple(service_named(service.descriptor) for service in services)
        self._certificate = servable(settings, listen)
        self._cleanup = contextlib.ExitStack()
        # The two servers talk over a socket of their own: what name a certificate bears, and whom it lets in, is for
        # those outside.
        inside = self._certificate is not None and settings.http_listen
        self._inside = self._cleanup.enter_context(private_socket()) if inside else ""
        self._http: HttpServer | None = None
        self._expiry: Gauges | None = None
        self._server = Server(
            listen,
            services,
            guard,
            limits=settings.limits,
            credentials=server_credentials(self._certificate),
            insecure=settings.insecure,
            reflect=settings.reflect,
            drain_wait_s=settings.drain_wait,
            inside=self._inside,
        )

    @property
    def health(self) -> Health:
        """What answers for the services' health."""
        return self._server.health

    async def start(self) -> int:
        """Serves. Returns the port of gRPC."""
        port = await self._server.start()
        if self._settings.http_listen:
            # Imported only here: without HTTP, a third of the time to start would go into what it needs.
            from grpckit.expiry import expiry  # noqa: PLC0415
            from grpckit.rest.server import from_settings  # noqa: PLC0415
            from grpckit.rest.upstream import Upstream  # noqa: PLC0415

            here = Upstream(self._inside or Listen.parse(self._listen).dial(port), self._services)
            self._http = from_settings(
                self._settings,
                [here],
                title=self._title,
                insecure=self._settings.insecure,
                tls=http_context(self._certificate),
                own_pages=self._own_pages,
            )
            if self._http is not None:
                self.http_port = await self._http.start()
            self._expiry = expiry(self._settings, self._certificate)
            self._expiry.open()
        return port

    async def stop_http(self, grace_s: float) -> None:
        """First: who comes over HTTP needs the other one until it is done."""
        if self._expiry is not None:
            self._expiry.close()
        if self._http is not None:
            await self._http.stop(grace_s)

    async def stop(self, grace_s: float) -> None:
        """Then: no new calls, streams end, calls under way finish."""
        await self._server.drain(grace_s)
        self._cleanup.close()
