"""Where the real Prometheus is: on the path, or where `make tools` unpacks Debian's without installing a server."""

from __future__ import annotations

import shutil

from tests.e2e.processes import ROOT

UNPACKED = ROOT / "build" / "prometheus" / "usr" / "bin"
MISSING = "no Prometheus: make tools"


def tool(name: str) -> str:
    """The path of prometheus or promtool, empty when it is not here."""
    return shutil.which(name) or shutil.which(name, path=str(UNPACKED)) or ""
