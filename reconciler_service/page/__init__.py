"""The page at ``/``: positions, drifts and what to do about them, live. Static files; all it knows comes over HTTP."""

from __future__ import annotations

from pathlib import Path

from grpckit.rest.pages import Page, folder

FILES = Path(__file__).parent / "static"


def desk_page() -> dict[str, Page]:
    """Returns the page and its files by path, for an edge that serves any of the services: it hides what is not there."""
    return folder(FILES, "/page")
