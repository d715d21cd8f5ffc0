"""What sub-accounts are called: unique, and a name by the contracts' rule."""

from __future__ import annotations

import re

import pytest

from reconciler_service.venues import VenueDataError
from reconciler_service.venues.hyperliquid.decode import SubAccount
from reconciler_service.venues.hyperliquid.family import names

RULE = re.compile(r"[A-Za-z0-9_.:/@#+-]{1,64}")
A, B, C = ("0x" + letter * 40 for letter in "abc")


def named(*labels: str, master: str = "main") -> list[str]:
    listed = [SubAccount(address, label) for address, label in zip((A, B, C), labels, strict=False)]
    found = list(names(master, listed).values())
    assert all(RULE.fullmatch(name) for name in found)
    assert len(set(found)) == len(labels)
    return found


def test_a_plain_name_is_kept() -> None:
    assert named("hedge", "Fund_2") == ["main/hedge", "main/Fund_2"]


def test_what_the_rule_does_not_take_is_replaced() -> None:
    assert named("My Sub #1", "μ/arb") == ["main/My-Sub-#1", "main/arb"]


def test_names_that_would_be_the_same_are_told_apart_by_address() -> None:
    assert named("my sub", "my/sub", "other") == ["main/my-sub-0xaaaaaaaa", "main/my-sub-0xbbbbbbbb", "main/other"]
    assert named("", "…") == ["main/0xaaaaaaaa", "main/0xbbbbbbbb"]


def test_long_names_are_cut_and_stay_apart() -> None:
    found = named("x" * 80 + "1", "x" * 80 + "2", master="a-master")
    assert {len(name) for name in found} == {64}


@pytest.mark.parametrize("listed", [[SubAccount("0x12", "a")], [SubAccount(A, "a"), SubAccount(A.upper(), "b")]])
def test_what_is_no_address_is_refused(listed: list[SubAccount]) -> None:
    with pytest.raises(VenueDataError, match="no address"):
        names("main", listed)
