"""Exact decimals: nothing rounds except where it says so."""

from __future__ import annotations

import decimal
import threading
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from position_service.domain.numbers import QUANTUM, canonical, share, shown

amounts = st.decimals(min_value=0, max_value=10**20, places=18, allow_nan=False, allow_infinity=False)
positive = amounts.filter(bool)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("42000.500", "42000.5"),
        ("-0.0", "0"),
        ("-0", "0"),
        ("0E-18", "0"),
        ("1E+3", "1000"),
        ("1000", "1000"),
        ("-1.10", "-1.1"),
        ("1E-18", "0.000000000000000001"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
    ],
)
def test_output_is_plain_and_canonical(value, text):
    assert canonical(Decimal(value)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40))
def test_the_canonical_text_is_the_value(value):
    text = canonical(value)
    assert Decimal(text) == value
    assert "E" not in text
    assert text not in ("-0", "")
    assert "." not in text or not text.endswith(("0", "."))


@given(total=amounts, part=positive, rest=amounts)
def test_a_share_and_what_it_leaves_are_the_total(total, part, rest):
    taken = share(total, part, part + rest)
    assert taken + (total - taken) == total
    assert 0 <= taken <= total  # a share is never more than there is, however it was rounded
    exact = Fraction(total) * Fraction(part) / Fraction(part + rest)
    assert abs(Fraction(taken) - exact) <= Fraction(QUANTUM) / 2


def test_a_share_that_ends_is_exact():
    assert share(Decimal("0.1"), Decimal(1), Decimal(8)) == Decimal("0.0125")
    assert share(Decimal("1E-36"), Decimal(1), Decimal(1)) == Decimal("1E-36")


def test_a_share_that_does_not_end_is_rounded_half_even_to_18_digits():
    assert share(Decimal(1), Decimal(1), Decimal(3)) == Decimal("0.333333333333333333")
    assert share(Decimal(2), Decimal(1), Decimal(3)) == Decimal("0.666666666666666667")


def test_a_rounded_share_never_takes_more_than_there_is():
    # 6/7 of 0.6E-18 rounds up to a whole 1E-18, which is more than all of it.
    assert share(Decimal("0.6E-18"), Decimal(6), Decimal(7)) == Decimal("0.6E-18")
    assert share(Decimal("-0.6E-18"), Decimal(6), Decimal(7)) == Decimal("-0.6E-18")


def test_what_is_shown_is_rounded_half_even():
    assert shown(Decimal("0.0000000000000000005")) == 0
    assert shown(Decimal("0.0000000000000000015")) == Decimal("2E-18")


def test_a_float_in_an_amount_is_an_error():
    with pytest.raises(decimal.FloatOperation):
        Decimal(1) + Decimal(0.1)  # noqa: RUF032 - the point


def test_a_new_thread_keeps_every_digit_too():
    found = []
    thread = threading.Thread(target=lambda: found.append(Decimal(10) ** 30 + Decimal("1E-36")))
    thread.start()
    thread.join()
    assert found == [Decimal("1" + "0" * 30 + "." + "0" * 35 + "1")]
