"""Small SVG plots for the pages in docs/, without a plotting library: points on a logarithmic axis, and bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 800, 400, 60, 210, 20, 50
OWN, PEER, INK, GRID = "#1667c1", "#d1651f", "#333333", "#dddddd"
BAR, GAP, NAMES = 18, 6, 300
LINE: Final = 13
"""Height of a label in pixels: nearer ones are moved apart."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measured thing; `own` is drawn in another colour than peers."""

    label: str
    x: float
    y: float
    own: bool = False


def scatter(points: Sequence[Point], x_title: str, y_title: str) -> str:
    """An SVG with x logarithmic and y linear. There must be at least one point, and every x be positive."""
    low, high = (math.log10(pick(point.x for point in points)) for pick in (min, max))
    low, high = low - 0.1, high + 0.1
    bottom, top = (pick(point.y for point in points) for pick in (min, max))
    bottom, top = math.floor(bottom - 0.2), math.ceil(top + 0.2)

    def across(value: float) -> float:
        return LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def down(value: float) -> float:
        return HEIGHT - BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for power in range(math.floor(low), math.ceil(high) + 1):
        for digit in (1, 2, 5):
            tick = digit * 10.0**power
            if low <= math.log10(tick) <= high:
                parts.append(_line(across(tick), TOP, across(tick), HEIGHT - BOTTOM))
                parts.append(_text(across(tick), HEIGHT - BOTTOM + 16, f"{tick:g}", "middle"))
    for level in range(bottom, top + 1):
        parts.append(_line(LEFT, down(level), WIDTH - RIGHT, down(level)))
        parts.append(_text(LEFT - 6, down(level) + 4, str(level), "end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_title, "middle"))
    parts.append(_text(LEFT, TOP - 6, y_title, "start"))
    taken: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda point: (-point.y, point.x)):
        x, y = across(point.x), down(point.y)
        covered = any(0 < across(other.x) - x < RIGHT and abs(down(other.y) - y) < LINE for other in points)
        side = -1 if covered and x > LEFT + RIGHT else 1  # a label goes to the left where it would lie on a point
        label = y + 4
        while any(abs(label - other) < LINE and abs(x + side * RIGHT / 2 - at) < RIGHT for at, other in taken):
            label += LINE
        taken.append((x + side * RIGHT / 2, label))
        colour = OWN if point.own else PEER
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        parts.append(_text(x + side * 8, label, point.label, "start" if side > 0 else "end", colour))
    return _svg(HEIGHT, parts)


def bars(rows: Sequence[tuple[str, float]], unit: str) -> str:
    """An SVG of horizontal bars from 0 on, one a row; negative values are drawn as 0 and written out."""
    most = max(value for _, value in rows)
    parts = []
    for place, (label, value) in enumerate(rows):
        y = TOP + place * (BAR + GAP)
        width = max(0.0, value) / most * (WIDTH - NAMES - 90)
        parts.append(_text(NAMES - 8, y + LINE, label, "end"))
        parts.append(f'<rect x="{NAMES}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{OWN}"/>')
        parts.append(_text(NAMES + width + 6, y + LINE, f"{value:.3g} {unit}", "start"))
    return _svg(TOP + len(rows) * (BAR + GAP) + GAP, parts)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{GRID}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _svg(height: int, parts: Sequence[str]) -> str:
    font = 'font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {font}>'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="white"/>', *parts, "</svg>", ""])
