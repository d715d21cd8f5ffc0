"""The services as children of `trueup up`: real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.processes import free_port
from trueup_cli.children import Child


async def test_nothing_is_imported_from_the_folder_it_is_started_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("grpckit", "reconciler_service", "structlog"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stray module')")
    monkeypatch.chdir(tmp_path)
    address = f"127.0.0.1:{free_port()}"
    child = Child("reconciler_service", address, tmp_path)
    try:
        await child.start({"RECONCILER_LISTEN": address, "POSITION_ADDRESS": "127.0.0.1:9", "HTTP_LISTEN": "off"})
    finally:
        await child.stop()
    assert "stray" not in child.log_file.read_text()
