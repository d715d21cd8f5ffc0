"""What browsers may do.

A page of any site can make its visitor's browser send requests to this machine, and a POST with its parameters in the
URL needs no permission. So whatever changes something is refused when another site's page asks for it, and an edge on
loopback answers to loopback names only: a site may point its own name at 127.0.0.1.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

import grpc
from aiohttp import web

from grpckit.errors import RpcError
from grpckit.rest.answer import Refusal

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_ALLOWED_HEADERS = "authorization, content-type, last-event-id, x-api-key, x-request-id"
_EXPOSED_HEADERS = "retry-after, x-request-id"
_PREFLIGHT_S = "600"


class Origins:
    """`allowed` are origins that may do everything, e.g. https://desk.example.com, or "*". `hosts` are names that the
    edge answers to besides loopback ones; any when it is empty and the edge does not listen on loopback.
    """

    def __init__(self, allowed: Iterable[str] = (), hosts: Iterable[str] = (), *, loopback: bool = True) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._loopback = loopback

    def check(self, request: web.BaseRequest) -> None:
        """Raises Refusal for a request that a page of another site made."""
        host = request.headers.get("Host", "")
        if host and not self._answers_to(host):
            raise _forbidden(421, f"this is not {host[:100]}: name it in HTTP_HOSTS if it is")
        if request.method in _SAFE or self.headers(request):
            return
        origin = request.headers.get("Origin")
        if origin is None:
            if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
                raise _forbidden(403, "pages of other sites may not do this")
        elif urlsplit(origin).netloc.lower() != host.lower():
            raise _forbidden(403, f"pages of {origin[:100]} may not do this: name it in HTTP_CORS_ORIGINS if they may")

    def headers(self, request: web.BaseRequest) -> dict[str, str]:
        """Returns the headers by which a page of an allowed origin may read the answer."""
        origin = request.headers.get("Origin", "")
        if not origin or not ("*" in self._allowed or origin.lower() in self._allowed):
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _EXPOSED_HEADERS,
            "Vary": "Origin",
        }

    def preflight(self, request: web.BaseRequest, verbs: str) -> dict[str, str]:
        """Returns what to answer to OPTIONS in addition."""
        granted = self.headers(request)
        if not granted or "Access-Control-Request-Method" not in request.headers:
            return granted
        return granted | {
            "Access-Control-Allow-Methods": verbs,
            "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
            "Access-Control-Max-Age": _PREFLIGHT_S,
        }

    def _answers_to(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._hosts or _is_loopback(name):
            return True
        return not (self._loopback or self._hosts)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _forbidden(status: int, message: str) -> Refusal:
    return Refusal(status, RpcError(grpc.StatusCode.PERMISSION_DENIED, "ORIGIN_FORBIDDEN", message))
