"""What Coinbase says when it refuses, in any of its five shapes, as one line. Pure.

text/plain                                              401, and some gateways
{"error", "error_details", "message"}                   403, 404
{"error", "code": int, "message", "details": [...]}     the documented default of its gRPC gateway
{"errors": [{"id", "message"}, ...]}                    429, 5xx, and 401 of the old kind
{"error", "error_description"}                          400, in the manner of OAuth
"""

from __future__ import annotations

import json

from reconciler_service.venues import VenueRefused

_LONGEST = 200
_DETAILS = ("error_description", "error_details", "message")


def reason(content_type: str, body: bytes) -> str:
    """The venue's words, without control characters; empty where there are none that we know how to read."""
    text = body.decode("utf-8", "replace")
    if content_type == "text/plain":
        return _line(text)
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return said(parsed)


def said(answer: object) -> str:
    """The venue's words in a parsed answer; empty if it is no error."""
    if not isinstance(answer, dict):
        return ""
    listed = answer.get("errors")
    if isinstance(listed, list):
        return _line("; ".join(_words(one, "id") for one in listed if isinstance(one, dict)))
    return _line(_words(answer, "error")) if isinstance(answer.get("error"), str) else ""


def refuse(answer: object) -> object:
    """Pass an answer on, unless it is an error that came with status 200: VenueRefused with the venue's words."""
    if words := said(answer):
        raise VenueRefused(f"coinbase says: {words}")
    return answer


def means_not_enrolled(status: int, content_type: str, body: bytes) -> bool:
    """Whether the venue itself says that an account has no futures: 403 or 404 with an error of its own making.

    A key without the scope says nothing of the account, and a page of some proxy in between says nothing at all.
    """
    if status not in (403, 404) or content_type != "application/json":
        return False
    words = reason(content_type, body)
    return bool(words) and "scope" not in words.lower()


def _words(answer: dict[str, object], code: str) -> str:
    """ "code: details", without saying one thing twice."""
    kind = str(answer.get(code) or "")
    detail = next((str(answer[key]) for key in _DETAILS if answer.get(key)), "")
    return f"{kind}: {detail}" if kind and detail and kind != detail else kind or detail


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST]).strip()
