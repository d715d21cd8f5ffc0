"""What the edge serves besides the services' methods: /openapi.json, /docs, /metrics, /healthz, /livez."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from grpckit.json_form import dumps
from grpckit.rest.answer import HEADERS, json_response
from grpckit.rest.limits import EdgeLimits
from grpckit.rest.openapi import describe
from grpckit.rest.routes import Routes
from grpckit.rest.upstream import UNREACHABLE, Upstream

Page: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_FOLDER = Path(__file__).parent
# The page needs nothing from elsewhere, and so nothing from elsewhere gets in.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_DOCS = (
    ("/docs", "docs.html", "text/html"),
    ("/docs.js", "docs.js", "text/javascript"),
    ("/docs.css", "docs.css", "text/css"),
)


class Health:
    """The health of the services behind, and of the edge itself."""

    def __init__(self, upstreams: Sequence[Upstream], limits: EdgeLimits) -> None:
        self._upstreams = upstreams
        self._timeout_s = limits.health_s
        self.leaving = False  # says NOT_SERVING, so that balancers look elsewhere

    async def page(self, request: web.BaseRequest) -> web.Response:
        """Answers 200 when every service serves, else 503. Dependencies are for people: what counts, services know."""
        answers = await asyncio.gather(*(upstream.health(self._timeout_s) for upstream in self._upstreams))
        services = {name: state for answer, _ in answers for name, state in answer.items()}
        dependencies = {name: state for _, answer in answers for name, state in answer.items()}
        is_serving = not self.leaving and all(state == "SERVING" for state in services.values())
        status = "SERVING" if is_serving else "NOT_SERVING"
        body = {"status": status, "services": services, "dependencies": dependencies}
        return json_response(body, 200 if is_serving else 503)

    async def alive(self, request: web.BaseRequest) -> web.Response:
        """Answers 200 when every service answers, whatever it says of itself, else 503: what a restart could mend."""
        answers = await asyncio.gather(*(upstream.health(self._timeout_s) for upstream in self._upstreams))
        is_alive = all(state != UNREACHABLE for services, _ in answers for state in services.values())
        return json_response({"status": "ALIVE" if is_alive else UNREACHABLE}, 200 if is_alive else 503)


def pages(upstreams: Sequence[Upstream], health: Health, title: str) -> dict[str, Page]:
    """Returns the pages by path. They are made once."""
    routes = Routes(service for upstream in upstreams for service in upstream.services)
    found = {path: _fixed((_FOLDER / name).read_bytes(), kind) for path, name, kind in _DOCS}
    found["/openapi.json"] = _fixed(dumps(describe(routes, title)), "application/json")
    found["/healthz"], found["/livez"] = health.page, health.alive
    found["/metrics"] = _metrics
    found["/"] = _to_docs
    return found


def folder(root: Path, prefix: str) -> dict[str, Page]:
    """Returns the files of a folder as pages below a prefix, and its index.html as the page at "/".

    They are read once. Raises KeyError for a file of a kind that no page is made of.
    """
    found = {f"{prefix}/{file.name}": _fixed(file.read_bytes(), _KINDS[file.suffix]) for file in sorted(root.iterdir())}
    found["/"] = found.pop(f"{prefix}/index.html")
    return found


def _fixed(content: bytes, content_type: str) -> Page:
    async def page(request: web.BaseRequest) -> web.Response:
        headers = HEADERS | {"Content-Security-Policy": _POLICY}
        return web.Response(body=content, headers=headers, content_type=content_type, charset="utf-8")

    return page


async def _metrics(request: web.BaseRequest) -> web.Response:
    return web.Response(body=generate_latest(), headers=HEADERS | {"Content-Type": CONTENT_TYPE_LATEST})


async def _to_docs(request: web.BaseRequest) -> web.Response:
    return web.Response(status=302, headers=HEADERS | {"Location": "/docs"})
