"""Records behave as the frozen dataclasses they stand for."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from position_service.domain.events import Trade
from position_service.domain.record import replace
from tests.position_samples import position


def test_replace_is_that_of_dataclasses():
    held = position(symbol="ETH")
    changes = {"size": Decimal(3), "revision": 9, "labels": (("desk", "a"),)}
    changed = replace(held, **changes)
    assert changed == dataclasses.replace(held, **changes) != held
    assert (changed.symbol, held.size) == ("ETH", Decimal("0.5"))


def test_an_unknown_field_is_refused():
    with pytest.raises(KeyError, match="sise"):
        replace(position(), sise=Decimal(3))


def test_records_are_values():
    assert len({Trade(Decimal(1)), Trade(Decimal("1.0")), Trade(Decimal(2))}) == 2
    assert not hasattr(position(), "__dict__")  # slots: a hundred thousand of them are held
