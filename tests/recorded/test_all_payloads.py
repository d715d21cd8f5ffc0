"""No recorded payload is forgotten: every file beside the repository is read by the tests of one venue, or is the index."""

from __future__ import annotations

import pytest

from tests.conftest import RECORDED
from tests.recorded import test_coinbase, test_hyperliquid

VENUES = {"hyperliquid": test_hyperliquid, "coinbase": test_coinbase}
NO_PAYLOADS = {"INDEX.md"}


def test_every_file_is_read_by_the_tests_of_its_venue() -> None:
    if not RECORDED.is_dir():
        pytest.skip("no recorded payloads beside the repository: ../shared/recorded")
    there = {path.relative_to(RECORDED).as_posix() for path in RECORDED.rglob("*") if path.is_file()} - NO_PAYLOADS
    assert there == {f"{venue}/{file}" for venue, tests in VENUES.items() for file in tests.FILES}


def test_what_is_not_read_has_a_reason_and_is_there() -> None:
    """A list of exceptions that outlives what it excepts would hide the next payload of that name."""
    for tests in VENUES.values():
        if not tests.FILES:
            pytest.skip("no recorded payloads beside the repository: ../shared/recorded")
    names = [file.rpartition("/")[2] for file in test_coinbase.FILES]
    for prefix, reason in {**test_coinbase.NOT_READ, **test_coinbase.RETIRED}.items():
        assert reason
        assert any(name.startswith(prefix) for name in names), prefix
    kinds = {test_hyperliquid.kind_of(file) for file in test_hyperliquid.FILES}
    assert kinds >= test_hyperliquid.NOT_READ.keys()
    assert all(test_hyperliquid.NOT_READ.values())
