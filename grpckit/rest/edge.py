"""One HTTP request: found its route, read, called, answered. Every error is a google.rpc.Status in JSON."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter

import grpc
import structlog
from aiohttp import web
from google.protobuf.message import Message

from grpckit import tracing
from grpckit.call import REQUEST_ID
from grpckit.channel import watch
from grpckit.errors import RpcError, invalid, to_status
from grpckit.json_form import to_json
from grpckit.rest import request as requests
from grpckit.rest.answer import (
    HEADERS,
    Refusal,
    error_response,
    json_response,
    request_id_of,
    status_json,
    status_of,
)
from grpckit.rest.limits import EdgeLimits
from grpckit.rest.metrics import EdgeMetrics, default_edge_metrics
from grpckit.rest.origins import Origins
from grpckit.rest.pages import Page
from grpckit.rest.routes import NotRouted, Route, Routes
from grpckit.rest.streams import Events, Form, Lines, Pump, headers_of, resume, wants_events
from grpckit.rest.upstream import Metadata, Upstream
from grpckit.tracing import TRACEPARENT

_FORWARDED = ("x-api-key", "authorization", REQUEST_ID, TRACEPARENT)


class Edge:
    """Answers requests for the services of some upstreams, and for `pages` by their path.

    Raises StartupError for contracts that it could not serve.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        pages: Mapping[str, Page],
        *,
        origins: Origins | None = None,
        limits: EdgeLimits | None = None,
        metrics: EdgeMetrics | None = None,
    ) -> None:
        self.limits = limits or EdgeLimits()
        self.stopping = asyncio.Event()  # streams end
        self.idle = asyncio.Event()  # no request is under way
        self.idle.set()
        self.routes = Routes(service for upstream in upstreams for service in upstream.services)
        self._upstreams = {service.full_name: upstream for upstream in upstreams for service in upstream.services}
        self._pages = pages
        self._origins = origins or Origins()
        self._metrics = metrics or default_edge_metrics()
        self._streams = 0
        self._busy = 0
        self._log = structlog.get_logger("grpckit").bind()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request. Raises only CancelledError: the client has gone."""
        started, label = perf_counter(), _Label()
        with self._under_way():
            try:
                response = await self._answer(request, label)
            except Exception as error:  # noqa: BLE001 - the catch-all: whatever it is, the client gets a status
                response = self._explain(request, error)
        if not response.prepared:
            response.headers.update(self._origins.headers(request))
        seconds = perf_counter() - started
        self._metrics.answered(request.method, label.route, response.status, seconds, streamed=response.prepared)
        self._log.debug(
            "request", verb=request.method, route=label.route, code=response.status, ms=round(seconds * 1e3, 3)
        )
        return response

    async def _answer(self, request: web.BaseRequest, label: _Label) -> web.StreamResponse:
        self._origins.check(request)
        path = requests.path_of(request.raw_path)
        page = self._pages.get(path)
        if request.method == "OPTIONS":
            return self._options(request, frozenset({"GET", "HEAD", "OPTIONS"}) if page else self.routes.allowed(path))
        if page is not None:
            label.route = path
            if request.method not in {"GET", "HEAD"}:
                raise NotRouted(frozenset({"GET", "HEAD", "OPTIONS"}))
            return await page(request)
        route, variables = self.routes.find(request.method, path)
        label.route = route.template.text
        message = await requests.read(request, route, variables, self.limits)
        metadata = forwarded(request, self.limits.credential_bytes)
        if route.streams:
            return await self._stream(request, route, message, metadata)
        if tracing.active is not None:
            with tracing.active.server(f"{request.method} {route.template.text}", metadata):
                without = tuple(pair for pair in metadata if pair[0] != TRACEPARENT)
                return await self._call(route, message, (*without, *tracing.active.carried()))
        return await self._call(route, message, metadata)

    def _options(self, request: web.BaseRequest, verbs: frozenset[str]) -> web.Response:
        if not verbs:
            raise NotRouted(verbs)
        allow = ", ".join(sorted(verbs))
        headers = HEADERS | {"Allow": allow} | self._origins.preflight(request, allow)
        return web.Response(status=204, headers=headers)

    async def _call(self, route: Route, message: Message, metadata: Metadata) -> web.Response:
        call = self._upstreams[route.service].call(route, message, metadata, self.limits.unary_s)
        try:
            response = await call
        except grpc.aio.AioRpcError as error:
            headers = request_id_of(error.trailing_metadata())
            return error_response(status_of(error, route.service), headers=headers)
        return json_response(to_json(response), headers=request_id_of(await call.trailing_metadata()))

    async def _stream(
        self, request: web.BaseRequest, route: Route, message: Message, metadata: Metadata
    ) -> web.StreamResponse:
        as_events = wants_events(request.headers.get("Accept", ""))
        form: Form = Events(self.limits.retry_s) if as_events else Lines()
        response = web.StreamResponse(headers=headers_of(form) | self._origins.headers(request))
        if request.method == "HEAD":
            return web.Response(headers=response.headers)
        if self._streams >= self.limits.streams:
            full = f"{self._streams} streams are open"
            raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", full, retry_after_s=1.0)
        if as_events:
            resume(message, request.headers.get("Last-Event-ID", ""))
        self._streams += 1
        self._metrics.streams.inc()
        try:
            upstream = self._upstreams[route.service]
            async with watch(upstream.stream(route, message, metadata)) as stream:
                pump = Pump(stream, form, self.stopping, self.limits.heartbeat_s)
                try:
                    return await self._pump(request, response, route, pump, form)
                finally:
                    await pump.close()
        finally:
            self._streams -= 1
            self._metrics.streams.dec()

    async def _pump(
        self, request: web.BaseRequest, response: web.StreamResponse, route: Route, pump: Pump, form: Form
    ) -> web.StreamResponse:
        async def write(data: bytes) -> None:
            if data:
                async with asyncio.timeout(self.limits.stalled_s):
                    await response.write(data)

        try:
            await pump.first(self.limits.first_message_s)
        except grpc.aio.AioRpcError as error:
            headers = request_id_of(error.trailing_metadata())
            return error_response(status_of(error, route.service), headers=headers)
        try:
            await response.prepare(request)
            try:
                if not await pump.run(write):
                    await write(form.error(status_json(to_status(_draining()))))
            except grpc.aio.AioRpcError as error:
                await write(form.error(status_json(status_of(error, route.service))))
            await response.write_eof()
        except (TimeoutError, ConnectionError):  # it does not read, or has gone
            if request.transport is not None:
                request.transport.abort()
        return response

    def _explain(self, request: web.BaseRequest, error: Exception) -> web.Response:
        if isinstance(error, Refusal):
            response = error_response(to_status(error.error), error.status, error.headers)
            if error.close:
                response.force_close()
            return response
        if isinstance(error, NotRouted):
            return _not_routed(request, error)
        if isinstance(error, UnicodeDecodeError):
            return error_response(to_status(invalid("the path is not UTF-8")))
        if isinstance(error, RpcError):
            return error_response(to_status(error))
        correlation_id = secrets.token_hex(8)
        self._log.error("request failed", verb=request.method, correlation_id=correlation_id, exc_info=error)
        text = f"an internal error; the log knows it as {correlation_id}"
        known = RpcError(grpc.StatusCode.INTERNAL, "INTERNAL", text, {"correlationId": correlation_id})
        return error_response(to_status(known))

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        self._busy += 1
        self.idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self.idle.set()


class _Label:
    """What the metrics call the request."""

    route = "none"


def forwarded(request: web.BaseRequest, most_bytes: int) -> Metadata:
    """Returns the headers that the services are to see. Raises RpcError for bytes that gRPC could not carry."""
    found = []
    for name in _FORWARDED:
        for value in request.headers.getall(name, ()):
            if not value.isascii() or not value.isprintable():
                raise invalid(f"the header {name} has characters that are not printable ASCII")
            if len(value) > most_bytes:
                raise invalid(f"the header {name} is too long")
            found.append((name, value))
    if all(name != REQUEST_ID for name, _ in found):
        found.append((REQUEST_ID, secrets.token_hex(8)))  # one that every log line about it bears, in every service
    return tuple(found)


def _not_routed(request: web.BaseRequest, error: NotRouted) -> web.Response:
    verb, path = request.method[:16], requests.path_of(request.raw_path)[:200]
    if not error.allowed:
        text = f"there is nothing at {path}: see /docs or /openapi.json"
        return error_response(to_status(RpcError(grpc.StatusCode.NOT_FOUND, "PATH_NOT_FOUND", text)))
    allow = ", ".join(sorted(error.allowed))
    text = f"{path} does not answer {verb}, only {allow}"
    known = RpcError(grpc.StatusCode.UNIMPLEMENTED, "VERB_NOT_ALLOWED", text, {"allow": allow})
    return error_response(to_status(known), 405, {"Allow": allow})


def _draining() -> RpcError:
    text = "the server is shutting down"
    return RpcError(grpc.StatusCode.UNAVAILABLE, "DRAINING", text, retry_after_s=1.0)
