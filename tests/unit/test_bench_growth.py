"""The arithmetic of growth, and that its picture is one."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from tests.bench import growth, plot

SIZES = (1_000, 10_000, 100_000)


@pytest.mark.parametrize(
    ("name", "values", "exponent", "met"),
    [
        ("GetPosition", (1, 1, 1), 0, True),
        ("GetPosition", (1, 2, 4), 0.301, False),
        ("memory", (1, 10, 100), 1, True),
        ("restart", (1, 20, 400), 1.301, False),
    ],
)
def test_the_exponent_is_of_the_number_of_positions(name, values, exponent, met):
    line = growth.line(name, values, SIZES)
    assert (line["exponent"], line["met"]) == (exponent, met)


def test_the_picture_has_a_line_for_each_measure():
    root = ET.fromstring(plot.draw(SIZES, {"a": [1, 2, 3], "b": [5, 50, 500]}))
    assert len(root.findall("{*}polyline")) == 2
    texts = [text.text for text in root.findall("{*}text")]
    assert {"a (x 3)", "b (x 100)", "linear", "100,000"} <= set(texts)
