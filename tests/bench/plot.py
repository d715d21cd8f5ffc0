"""A picture of growth, by hand: both axes logarithmic, every line relative to where it began."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 460, 70, 230, 30, 60
COLOURS = ("#1f77b4", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf")
LOWEST = 0.5
_LABEL = 15  # pixels between the names at the right


def draw(sizes: Sequence[int], found: Mapping[str, Sequence[float]]) -> str:
    """The SVG. A dashed line shows what would be linear."""
    highest = sizes[-1] / sizes[0] * 2

    def x(size: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(size / sizes[0]) / math.log(sizes[-1] / sizes[0])

    def y(times: float) -> float:
        share = math.log(max(times, LOWEST) / LOWEST) / math.log(highest / LOWEST)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for size in sizes:
        parts.append(_line(x(size), y(LOWEST), x(size), y(highest), "#ddd"))
        parts.append(_text(x(size), HEIGHT - BOTTOM + 18, f"{size:,}", "middle"))
    times = 1
    while times <= highest:
        parts.append(_line(x(sizes[0]), y(times), x(sizes[-1]), y(times), "#ddd"))
        parts.append(_text(LEFT - 8, y(times) + 4, f"x {times}", "end"))
        times *= 10
    parts.append(_text(x(sizes[0]), HEIGHT - 15, "live positions", "start"))
    parts.append(_line(x(sizes[0]), y(1), x(sizes[-1]), y(sizes[-1] / sizes[0]), "#888", 'stroke-dasharray="5 4"'))
    names = [(y(sizes[-1] / sizes[0]), "linear", "#888")]
    for (name, values), colour in zip(found.items(), COLOURS, strict=False):
        points = [(x(size), y(value / values[0])) for size, value in zip(sizes, values, strict=True)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
        names.append((points[-1][1], f"{name} (x {values[-1] / values[0]:.3g})", colour))
    parts += _names(x(sizes[-1]) + 10, names)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _names(left: float, names: Sequence[tuple[float, str, str]]) -> list[str]:
    """The names of the lines at their ends, moved apart where they would cover each other."""
    parts, lowest = [], math.inf
    for at, name, colour in sorted(names, reverse=True):
        lowest = min(at, lowest - _LABEL)
        parts.append(_text(left, lowest + 4, name, "start", colour))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'
