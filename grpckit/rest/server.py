"""Listens for HTTP and stops in order."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from grpckit.config import Settings
from grpckit.errors import StartupError
from grpckit.listen import Listen, why_not
from grpckit.rest.edge import Edge
from grpckit.rest.limits import EdgeLimits
from grpckit.rest.metrics import EdgeMetrics
from grpckit.rest.origins import Origins
from grpckit.rest.pages import Health, Page, pages
from grpckit.rest.upstream import Upstream


def from_settings(
    settings: Settings,
    upstreams: Sequence[Upstream],
    *,
    title: str,
    insecure: bool = False,
    tls: ssl.SSLContext | None = None,
    own_pages: Mapping[str, Page] | None = None,
) -> HttpServer | None:
    """Makes the server that the settings ask for; None when they ask for none. Raises StartupError."""
    if not settings.http_listen:
        return None
    return HttpServer(
        settings.http_listen,
        upstreams,
        title=title,
        cors_origins=settings.cors_origins,
        hosts=settings.hosts,
        tls=tls,
        insecure=insecure,
        drain_wait_s=settings.drain_wait,
        own_pages=own_pages,
    )


class HttpServer:
    """Serves the services of some upstreams over HTTP.

    Raises StartupError when it would listen off loopback without TLS (`tls`) and `insecure` was not spelled out.
    `cors_origins` and `hosts` are for browsers: see grpckit.rest.origins. `drain_wait_s` is how long balancers get to
    see /healthz fail before it stops listening: none on loopback, otherwise 5 s unless given. `own_pages` are served by
    their path as well, in place of a page of the edge at the same one.
    """

    def __init__(
        self,
        listen: str,
        upstreams: Sequence[Upstream],
        *,
        title: str = "API",
        cors_origins: Iterable[str] = (),
        hosts: Iterable[str] = (),
        limits: EdgeLimits | None = None,
        tls: ssl.SSLContext | None = None,
        insecure: bool = False,
        drain_wait_s: float | None = None,
        metrics: EdgeMetrics | None = None,
        own_pages: Mapping[str, Page] | None = None,
    ) -> None:
        try:
            self._listen = Listen.parse(listen)
        except ValueError as error:
            raise StartupError(str(error)) from None
        loopback = self._listen.loopback
        if tls is None and not loopback and not insecure:
            raise StartupError(
                f"refusing to serve HTTP on {listen} without TLS: set a certificate, listen on 127.0.0.1, "
                "or spell out that it is to be insecure"
            )
        self._tls = tls
        self._upstreams = tuple(upstreams)
        self._limits = limits or EdgeLimits()
        self._drain_wait_s = (0.0 if loopback else 5.0) if drain_wait_s is None else drain_wait_s
        self._health = Health(self._upstreams, self._limits)
        self._edge = Edge(
            self._upstreams,
            pages(self._upstreams, self._health, title) | dict(own_pages or {}),
            origins=Origins(cors_origins, hosts, loopback=loopback),
            limits=self._limits,
            metrics=metrics,
        )
        self._runner: web.ServerRunner | None = None
        self._site: web.BaseSite | None = None

    async def start(self) -> int:
        """Binds and serves. Returns the port (0 for a unix socket).

        Raises StartupError that says what to do when the address cannot be bound.
        """
        if self._runner is not None:
            raise RuntimeError("the server was started before")
        for upstream in self._upstreams:
            upstream.open()
        runner = self._runner = web.ServerRunner(self._web_server(), shutdown_timeout=1.0)
        await runner.setup()
        problem = why_not(self._listen) if self._listen.path else ""  # or asyncio would take the socket away
        if not problem:
            self._site = self._make_site(runner)
            try:
                await self._site.start()
            except OSError as error:
                problem = why_not(self._listen) or error.strerror or str(error)
                self._site = None
        if problem:
            await self.stop(0)
            raise StartupError(f"cannot serve HTTP on {self._listen}: {problem}")
        return self._site.port if isinstance(self._site, web.TCPSite) else 0

    async def stop(self, grace_s: float) -> None:
        """Stops in order: /healthz fails, balancers get time, nobody new gets in, streams end, requests under way get
        `grace_s`.
        """
        self._health.leaving = True
        if self._site is not None:
            await asyncio.sleep(self._drain_wait_s)
            await self._site.stop()
            self._site = None
        self._edge.stopping.set()
        if self._runner is not None:
            try:
                async with asyncio.timeout(grace_s):
                    await self._edge.idle.wait()
            except TimeoutError:
                pass  # they have had their time
            await self._runner.cleanup()
            for upstream in self._upstreams:
                await upstream.close()
            self._runner = None

    def _web_server(self) -> web.Server:
        limits = self._limits

        def request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
            loop = asyncio.get_running_loop()
            return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=limits.body_bytes)

        return web.Server(
            self._edge.handle,
            request_factory=request,
            handler_cancellation=True,  # a client that goes away takes its call, its stream with it
            access_log=None,
            keepalive_timeout=limits.idle_s,
            max_line_size=limits.line_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.headers,
        )

    def _make_site(self, runner: web.ServerRunner) -> web.BaseSite:
        if self._listen.path:
            return web.UnixSite(runner, self._listen.path, ssl_context=self._tls)
        host = None if self._listen.host == "::" else self._listen.host  # asyncio's "::" would leave IPv4 out
        return web.TCPSite(runner, host, self._listen.port, ssl_context=self._tls)
