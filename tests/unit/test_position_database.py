"""What is said of a database that cannot be reached: enough to mend it, and no password."""

from __future__ import annotations

from pathlib import Path

import pytest

from grpckit.run import StartupError
from position_service.database import connect


async def test_a_missing_authority_is_named_and_nothing_of_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    with pytest.raises(StartupError) as refused:
        await connect("postgresql://desk:hunter2@127.0.0.1:1/x?sslmode=verify-full")
    assert f'root certificate file "{tmp_path}/.postgresql/root.crt" does not exist' in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["hunter2", "hunter2://desk@127.0.0.1:1/x", "postgresql://desk:p@[hunter2@127.0.0.1:1/x"]
)
async def test_what_a_driver_says_of_a_url_is_not_repeated(url: str):
    with pytest.raises(StartupError, match="cannot reach the database") as refused:
        await connect(url)
    assert "hunter2" not in str(refused.value)
