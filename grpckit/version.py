"""Which version runs. The project's metadata is the one place that has it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

_PACKAGE = "trueup"


def own_version() -> str:
    """Returns the version that is installed; "unknown" where it runs without being installed."""
    try:
        return version(_PACKAGE)
    except PackageNotFoundError:
        return "unknown"
