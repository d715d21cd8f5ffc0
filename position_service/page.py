"""Pages: size and token of list requests."""

from __future__ import annotations

import base64
import binascii
from typing import Protocol
from uuid import UUID

from position_service.domain.errors import InvalidValue

DEFAULT_SIZE = 100
_MOST = 2**63 - 1  # what a revision can be


class Paged(Protocol):
    page_size: int
    page_token: str


def size(request: Paged) -> int:
    """Rows a page."""
    return request.page_size or DEFAULT_SIZE


def token(last: str) -> str:
    """A token that leads to what comes after ``last``; opaque to callers."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def revision(start: str) -> int:
    """The revision a page comes after. Raises InvalidValue."""
    if not start.isdecimal() or int(start) > _MOST:
        raise InvalidValue("page_token", "is not a next_page_token")
    return int(start)


def uuid(start: str) -> UUID:
    """The id a page comes after. Raises InvalidValue."""
    try:
        return UUID(start)
    except ValueError:
        raise InvalidValue("page_token", "is not a next_page_token") from None


def start(request: Paged) -> str:
    """What the page comes after; "" for the first. Raises InvalidValue for a token that is not ours."""
    try:
        return base64.b64decode(request.page_token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidValue("page_token", "is not a next_page_token") from None
