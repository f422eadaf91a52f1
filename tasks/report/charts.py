"""Small charts as inline SVG: crisp, a few kilobytes each, coloured by the page's own variables.

Every chart is drawn in a box 340 units wide, so that its text keeps its size on a telephone and in a column of a wide
page. Colours are classes (``s1`` … ``s6``, ``muted``, ``ink``) that the style sheet gives a value per colour scheme.
Whatever can be pointed at carries a ``<title>``; the page's script shows it at once, a browser without it after a moment.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from markupsafe import Markup, escape

WIDTH, HEIGHT = 340, 244
RIGHT, TOP, BOTTOM = 12, 12, 42
HITS = 48


Style = Literal["line", "step", "dashed", "points", "line+points"]


@dataclass(frozen=True)
class Series:
    """One line or cloud of points. ``colour`` 1–6, 0 for grey; ``labels`` are tooltips, one per point."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 1
    style: Style = "line"
    labels: Sequence[str] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Axis:
    """An axis: its name with the unit, and its limits (from the data where None)."""

    name: str
    low: float | None = None
    high: float | None = None
    percent: bool = False
    whole: bool = False
    ticks: Sequence[tuple[float, str]] = field(default=())


def share(name: str) -> Axis:
    """An axis from 0 to 1."""
    return Axis(name, 0.0, 1.0)


def dated(name: str, at: Sequence[float], moments: Sequence[datetime], most: int = 4) -> Axis:
    """An axis of time: ``moments`` in order, and where each stands. Its marks say days, or months where it is long.

    >>> days = [datetime(2023, 12, 30), datetime(2024, 1, 6)]
    >>> axis = dated("week", [0, 1], days)
    >>> axis.name, axis.ticks
    ('week (2023 to 2024)', [(0, '30 Dec'), (1, '6 Jan')])
    >>> dated("year", [0, 1, 2], [datetime(2021, 1, 1), datetime(2022, 1, 1), datetime(2023, 1, 1)]).ticks
    [(0, 'Jan 2021'), (1, 'Jan 2022'), (2, 'Jan 2023')]
    """
    first, last = moments[0], moments[-1]
    if last - first < timedelta(days=2):
        said, name = [f"{one:%H:%M}" for one in moments], f"{name} ({first.day} {first:%b %Y}, UTC)"
    else:
        long = (last - first).days > 300
        said = [f"{one:%b %Y}" if long else f"{one.day} {one:%b}" for one in moments]
        years = f"{first.year}" if first.year == last.year else f"{first.year} to {last.year}"
        name = name if long else f"{name} ({years})"
    ticks: list[tuple[float, str]] = []
    for x, text in list(zip(at, said, strict=True))[:: math.ceil(len(said) / most)]:
        if not ticks or x - ticks[-1][0] >= (at[-1] - at[0]) / (most + 1):  # no two marks in one place
            ticks.append((x, text))
    return Axis(name, ticks=ticks)


def xy(
    label: str,
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    diagonal: bool = False,
    legend: bool = True,
    at: float | None = None,
    height: float = HEIGHT,
) -> Markup:
    """Lines and points over two axes.

    Parameters
    ----------
    label
        What the chart shows, for those who cannot see it.
    diagonal
        Draw the line from the lower left to the upper right corner (guessing, or perfect agreement).
    at
        Draw an upright line here (a threshold).
    """
    series = [s for s in series if len(s.x)]
    low_x, high_x, marks_x = scale(x, [v for s in series for v in s.x])
    low_y, high_y, marks_y = scale(y, [v for s in series for v in (*s.y, *s.low, *s.high)])
    shown = legend and len([s for s in series if s.name]) > 1
    left = _left(marks_y)
    top = TOP + (_legend_rows(series) * 17 if shown else 0)

    def px(v: float) -> float:
        return left + part(v, low_x, high_x) * (WIDTH - left - RIGHT)

    def py(v: float) -> float:
        return height - BOTTOM - part(v, low_y, high_y) * (height - BOTTOM - top)

    parts = [_frame(x, y, marks_x, marks_y, px, py, left, top, height)]
    if shown:
        parts.append(_legend(series))
    if diagonal:
        parts.append(f'<path class="guide" d="M{px(low_x):.1f} {py(low_y):.1f}L{px(high_x):.1f} {py(high_y):.1f}"/>')
    if at is not None:
        parts.append(f'<path class="mark" d="M{px(at):.1f} {top}V{height - BOTTOM}"/>')
    for s in series:
        parts.append(_draw(s, px, py, x, y))
    return svg(label, "".join(parts), height)


def part(v: float, low: float, high: float) -> float:
    """Where a value lies between two others, as a share of the way.

    >>> part(1.0, 0.0, 4.0), part(0.0, -1.7e308, 1.7e308)
    (0.25, 0.5)
    """
    if math.isfinite(high - low):
        return (v - low) / (high - low)
    return (v / 2 - low / 2) / (high / 2 - low / 2)


def _draw(s: Series, px, py, x: Axis, y: Axis) -> str:  # type: ignore[no-untyped-def]
    points = [(px(a), py(b)) for a, b in zip(s.x, s.y, strict=True)]
    out = []
    if s.low and s.high:
        ribbon = [f"{px(a):.1f} {py(b):.1f}" for a, b in zip(s.x, s.high, strict=True)]
        ribbon += [f"{px(a):.1f} {py(b):.1f}" for a, b in reversed(list(zip(s.x, s.low, strict=True)))]
        out.append(f'<path class="band s{s.colour}" d="M{"L".join(ribbon)}Z"/>')
    if s.style != "points":
        path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
        for (x0, _), (x1, y1) in itertools.pairwise(points):
            path += f"H{x1:.1f}V{y1:.1f}" if s.style == "step" and x1 != x0 else f"L{x1:.1f} {y1:.1f}"
        dashed = " dashed" if s.style == "dashed" else ""
        out.append(f'<path class="line s{s.colour}{dashed}" d="{path}"/>')
    labels = s.labels or [
        f"{s.name + ': ' if s.name else ''}{tick(a, x)} → {tick(b, y)}" for a, b in zip(s.x, s.y, strict=True)
    ]
    visible = "points" in s.style
    every = 1 if visible else max(len(points) // HITS, 1)
    kind = f"dot s{s.colour}" if visible else "hit"
    radius = (2.2 if len(points) > 60 else 3.2) if visible else 7
    for (a, b), text in list(zip(points, labels, strict=True))[::every]:
        out.append(
            f'<circle class="{kind}" cx="{a:.1f}" cy="{b:.1f}" r="{radius}"><title>{escape(text)}</title></circle>'
        )
    return "".join(out)


def histogram(
    label: str,
    x: Axis,
    y: Axis,
    edges: Sequence[float],
    groups: Sequence[tuple[str, Sequence[float], int]],
    named: Sequence[str] = (),
    at: float | None = None,
) -> Markup:
    """Overlaid histograms on common bins: ``groups`` are (name, share or count per bin, colour).

    ``named`` are the edges' names for tooltips, where numbers would say little; or, one fewer, the bins' own names.
    """
    low_x, high_x, marks_x = scale(x, list(edges), nice=False)
    low_y, high_y, marks_y = scale(Axis(y.name, 0, y.high, y.percent), [v for _, values, _ in groups for v in values])
    legend = [Series(name, [0], [0], colour) for name, _, colour in groups]
    shown = len(groups) > 1
    left = _left(marks_y)
    top = TOP + (_legend_rows(legend) * 17 if shown else 0)

    def px(v: float) -> float:
        return left + part(v, low_x, high_x) * (WIDTH - left - RIGHT)

    def py(v: float) -> float:
        return HEIGHT - BOTTOM - part(v, low_y, high_y) * (HEIGHT - BOTTOM - top)

    parts = [_frame(x, y, marks_x, marks_y, px, py, left, top, HEIGHT), _legend(legend) if shown else ""]
    if at is not None:
        parts.append(f'<path class="mark" d="M{px(at):.1f} {top}V{HEIGHT - BOTTOM}"/>')
    bare = len(named) == len(edges) - 1
    named = [*named, ""] if bare else named
    said = dict(zip(edges, named or [tick(e, x) for e in edges], strict=True))
    for name, values, colour in groups:
        path = f"M{px(edges[0]):.1f} {py(0):.1f}"
        for a, b, v in zip(edges, edges[1:], values, strict=False):
            path += f"L{px(a):.1f} {py(v):.1f}H{px(b):.1f}"
        parts.append(f'<path class="area s{colour}" d="{path}V{py(0):.1f}Z"/>')
        for a, b, v in zip(edges, edges[1:], values, strict=False):
            if not v:
                continue
            text = f"{name}, {said[a] if bare else f'{said[a]} to {said[b]}'}: {tick(v, y)}"
            parts.append(
                f'<rect class="hit" x="{px(a):.1f}" y="{py(v):.1f}" width="{px(b) - px(a):.1f}" '
                f'height="{max(py(0) - py(v), 1):.1f}"><title>{escape(text)}</title></rect>'
            )
    return svg(label, "".join(parts))


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers from ``low`` to ``high``.

    >>> ticks(0, 1), ticks(0.61, 0.74)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.625, 0.65, 0.675, 0.7, 0.725])
    """
    span = high - low
    if not (span > 0 and math.isfinite(span)):
        return [low]
    step = 10 ** math.floor(math.log10(span / count))
    for factor in (1, 2, 2.5, 5, 10):
        if span / (step * factor) <= count + 0.5:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]


def scale(axis: Axis, values: Sequence[float], nice: bool = True) -> tuple[float, float, list[tuple[float, str]]]:
    """Least and largest value of an axis, and its marks."""
    finite = [v for v in values if v is not None and math.isfinite(v)] or [0.0, 1.0]
    low = min(finite) if axis.low is None else axis.low
    high = max(finite) if axis.high is None else axis.high
    if high <= low:
        low, high = low - 0.5, low + 0.5
    elif nice:
        margin = 0.04 * (high - low)
        if math.isfinite(margin):
            low, high = low - (margin if axis.low is None else 0), high + (margin if axis.high is None else 0)
    marks = list(axis.ticks) or [
        (v, tick(v, axis)) for v in ticks(low, high) if not axis.whole or float(v).is_integer()
    ]
    return low, high, marks


def tick(value: float, axis: Axis) -> str:
    """A number as it stands at this axis."""
    if axis.percent:
        text = f"{100 * value:.3g}%"
    else:
        text = f"{value:,.0f}" if abs(value) >= 10000 else f"{value:.4g}"
    return text.replace(",", "\u202f").replace("-", "−")


def _left(marks: Sequence[tuple[float, str]]) -> float:
    """Room on the left for the axis' name and its longest number."""
    return 30 + 6.2 * max((len(text) for _, text in marks), default=1)


def _frame(x: Axis, y: Axis, marks_x, marks_y, px, py, left: float, top: float, height: float) -> str:  # type: ignore[no-untyped-def]
    right, bottom = WIDTH - RIGHT, height - BOTTOM
    parts = [f'<path class="grid" d="M{left} {py(v):.1f}H{right}"/>' for v, _ in marks_y]
    parts += [
        f'<text class="tick" x="{left - 7}" y="{py(v) + 4:.1f}" text-anchor="end">{escape(t)}</text>'
        for v, t in marks_y
    ]
    parts += [
        f'<text class="tick" x="{within(px(v), t):.1f}" y="{bottom + 15}" text-anchor="middle">{escape(t)}</text>'
        for v, t in marks_x
    ]
    parts.append(f'<path class="base" d="M{left} {bottom}H{right}"/>')
    parts.append(name_x(x.name, (left + right) / 2, height))
    middle = (top + bottom) / 2
    parts.append(
        f'<text class="axis" transform="translate(11 {middle:.0f}) rotate(-90)" text-anchor="middle">{escape(y.name)}</text>'
    )
    return "".join(parts)


def within(x: float, text: str) -> float:
    """Where the middle of a mark's text stands, so that its end is not outside of the picture.

    >>> within(100, "8 Jun"), within(339, "8 Jun")
    (100, 325.0)
    """
    return min(x, WIDTH - 3.0 * len(text))


def name_x(name: str, x: float, height: float) -> str:
    """The name below an axis."""
    return f'<text class="axis" x="{x:.0f}" y="{height - 8}" text-anchor="middle">{escape(name)}</text>'


def _legend_places(series: Sequence[Series]) -> list[tuple[float, int]]:
    """Where each name goes (x, row): names follow each other, and wrap."""
    start = 30.0
    places, x, row = [], start, 0
    for s in series:
        width = 32 + 6.2 * len(s.name)
        if x + width > WIDTH and x > start:
            x, row = start, row + 1
        places.append((x, row))
        x += width
    return places


def _legend_rows(series: Sequence[Series]) -> int:
    return max((row for _, row in _legend_places([s for s in series if s.name])), default=-1) + 1


def _legend(series: Sequence[Series]) -> str:
    named = [s for s in series if s.name]
    parts = []
    for s, (x, row) in zip(named, _legend_places(named), strict=True):
        y = 11 + row * 17
        dashed = " dashed" if s.style == "dashed" else ""
        mark = (
            f'<circle class="dot s{s.colour}" cx="{x + 6:.0f}" cy="{y - 4}" r="3.2"/>'
            if s.style == "points"
            else (f'<path class="line s{s.colour}{dashed}" d="M{x:.0f} {y - 4}h13"/>')
        )
        parts.append(f'{mark}<text class="legend" x="{x + 18:.0f}" y="{y}">{escape(s.name)}</text>')
    return "".join(parts)


def short(text: str, length: int) -> str:
    """The text, cut to ``length`` characters with an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def svg(label: str, body: str, height: float = HEIGHT, width: float = WIDTH) -> Markup:
    """A picture of this size, with the words that stand for it."""
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{body}</svg>'
    )
