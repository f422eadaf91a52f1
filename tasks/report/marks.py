"""Charts without two axes: values with intervals, bars, a confusion matrix, and tiny distributions for tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from tasks.report.charts import BOTTOM, RIGHT, TOP, WIDTH, Axis, name_x, part, scale, short, svg, tick, within


@dataclass(frozen=True)
class Bar:
    """A labelled value, with an interval where there is one."""

    name: str
    value: float
    colour: int = 1
    low: float | None = None
    high: float | None = None
    note: str = ""


def intervals(label: str, axis: Axis, rows: Sequence[Bar], zero: float | None = None) -> Markup:
    """A dot with its interval per row, names on the left: a forest plot. ``zero`` draws a line of no difference."""
    values = [v for r in rows for v in (r.value, r.low, r.high) if v is not None]
    low, high, marks = scale(axis, values + ([zero] if zero is not None else []))
    left, step = 118, 30
    height = TOP + step * len(rows) + BOTTOM

    def px(v: float) -> float:
        return left + part(v, low, high) * (WIDTH - left - RIGHT)

    bottom = height - BOTTOM
    parts = [f'<path class="grid" d="M{px(v):.1f} {TOP}V{bottom}"/>' for v, _ in marks]
    parts += [
        f'<text class="tick" x="{px(v):.1f}" y="{bottom + 15}" text-anchor="middle">{escape(t)}</text>'
        for v, t in marks
    ]
    if zero is not None:
        parts.append(f'<path class="zero" d="M{px(zero):.1f} {TOP}V{bottom}"/>')
    parts.append(name_x(axis.name, (left + WIDTH - RIGHT) / 2, height))
    for i, row in enumerate(rows):
        y = TOP + step * (i + 0.5)
        spread = (
            f" (from {tick(row.low, axis)} to {tick(row.high, axis)})"
            if row.low is not None and row.high is not None
            else ""
        )
        parts.append(
            f'<text class="name" x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(short(row.name, 18))}</text>'
        )
        if row.low is not None and row.high is not None:
            parts.append(f'<path class="whisker s{row.colour}" d="M{px(row.low):.1f} {y}H{px(row.high):.1f}"/>')
        parts.append(f'<circle class="dot s{row.colour}" cx="{px(row.value):.1f}" cy="{y}" r="5"/>')
        parts.append(
            f'<rect class="hit" x="{left}" y="{y - step / 2}" width="{WIDTH - left - RIGHT}" height="{step}">'
            f"<title>{escape(f'{row.name}: {tick(row.value, axis)}{spread}{row.note}')}</title></rect>"
        )
    return svg(label, "".join(parts), height)


def matrix(label: str, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """A confusion matrix: truth in rows, decisions in columns, shaded by the share of the true class."""
    k = len(classes)
    left, top, size = 84, 44, 284
    cell = size / k
    width, height = left + size + 12, top + size + 12
    parts = [f'<text class="axis" x="{left + size / 2:.0f}" y="14" text-anchor="middle">decision</text>']
    parts.append(
        f'<text class="axis" transform="translate(12 {top + size / 2:.0f}) rotate(-90)" text-anchor="middle">truth</text>'
    )
    for i, name in enumerate(classes):
        mid = top + cell * (i + 0.5)
        across = left + cell * (i + 0.5)
        parts.append(
            f'<text class="name" x="{left - 8}" y="{mid + 4:.1f}" text-anchor="end">{escape(short(name, 9))}</text>'
        )
        parts.append(
            f'<text class="name" x="{across:.1f}" y="{top - 10}" text-anchor="middle">{escape(short(name, max(3, int(cell / 8))))}</text>'
        )
    for i, row in enumerate(counts):
        total = sum(row)
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            x, y = left + j * cell, top + i * cell
            tone = "s1" if i == j else "s2"
            text = f"truth {classes[i]}, decision {classes[j]}: {count:,} rows, {share:.1%} of {classes[i]}"
            strong = " strong" if share > 0.55 else ""
            parts.append(
                f'<g><title>{escape(text)}</title><rect class="cell {tone}" x="{x + 1.5:.1f}" y="{y + 1.5:.1f}" '
                f'width="{cell - 3:.1f}" height="{cell - 3:.1f}" rx="3" style="--a:{0.08 + 0.84 * share:.3f}"/>'
            )
            if cell >= 26:
                big = cell >= 70
                parts.append(
                    f'<text class="count{strong}{" big" if big else ""}" x="{x + cell / 2:.1f}" y="{y + cell / 2 + (0 if big else 4):.1f}" '
                    f'text-anchor="middle">{count:,}</text>'.replace(",", "\u202f")
                )
                if big:
                    parts.append(
                        f'<text class="count small{strong}" x="{x + cell / 2:.1f}" y="{y + cell / 2 + 19:.1f}" '
                        f'text-anchor="middle">{share:.1%}</text>'
                    )
            parts.append("</g>")
    return svg(label, "".join(parts), height, width)


def spark(reference: Sequence[float], current: Sequence[float], label: str) -> Markup:
    """Two overlaid tiny histograms without axes, for a table's cell: reference grey, current coloured."""
    width, height = 108, 26
    most = max([*reference, *current, 1e-12])
    step = width / max(len(reference), 1)
    parts = [f"<title>{escape(label)}</title>"]
    for values, tone in ((reference, "s0"), (current, "s2")):
        path = f"M0 {height}"
        for i, v in enumerate(values):
            path += f"L{i * step:.1f} {height - v / most * (height - 2):.1f}h{step:.1f}"
        parts.append(f'<path class="area {tone}" d="{path}V{height}Z"/>')
    return Markup(
        f'<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def bars(label: str, axis: Axis, rows: Sequence[Bar]) -> Markup:
    """A bar from nought per row, names on the left, values at the bars' ends."""
    most = max([r.value for r in rows] + [1e-12])
    left, step = 118, 34
    room = WIDTH - left - 62
    parts = []
    for i, row in enumerate(rows):
        y, length = TOP + step * i, max(row.value / most * room, 1.0)
        parts.append(f"<g><title>{escape(f'{row.name}: {tick(row.value, axis)}{row.note}')}</title>")
        parts.append(
            f'<text class="name" x="{left - 10}" y="{y + 15}" text-anchor="end">{escape(short(row.name, 18))}</text>'
        )
        parts.append(
            f'<rect class="span s{row.colour}" x="{left}" y="{y + 2}" width="{length:.1f}" height="18" rx="2"/>'
        )
        parts.append(
            f'<text class="name" x="{left + length + 7:.1f}" y="{y + 15}">{escape(tick(row.value, axis))}</text></g>'
        )
    height = TOP + step * len(rows) + 22
    parts.append(name_x(axis.name, left + room / 2, height))
    return svg(label, "".join(parts), height)


@dataclass(frozen=True)
class InOffice:
    """A stretch of time in a row of its name, from ``start`` to ``end`` on the axis, with what is said of it."""

    name: str
    start: float
    end: float
    colour: int
    said: str


def timeline(label: str, axis: Axis, spans: Sequence[InOffice]) -> Markup:
    """Who was in place when: a row for each name, in the order in which they come, and a bar for each stretch."""
    names = list(dict.fromkeys(one.name for one in spans))
    low, high, marks = scale(axis, [v for one in spans for v in (one.start, one.end)], nice=False)
    left, step = 84, 28
    height = TOP + step * len(names) + BOTTOM
    bottom = height - BOTTOM

    def px(v: float) -> float:
        return left + part(v, low, high) * (WIDTH - left - RIGHT)

    parts = [f'<path class="grid" d="M{px(v):.1f} {TOP}V{bottom}"/>' for v, _ in marks]
    parts += [
        f'<text class="tick" x="{within(px(v), t):.1f}" y="{bottom + 15}" text-anchor="middle">{escape(t)}</text>'
        for v, t in marks
    ]
    parts += [
        f'<text class="name" x="{left - 10}" y="{TOP + step * (i + 0.5) + 4:.1f}" text-anchor="end">{escape(short(name, 12))}</text>'
        for i, name in enumerate(names)
    ]
    for one in spans:
        y, width = TOP + step * names.index(one.name) + 6, max(px(one.end) - px(one.start), 3.0)
        parts.append(
            f'<g><title>{escape(one.said)}</title><rect class="span s{one.colour}" x="{px(one.start):.1f}" y="{y}" '
            f'width="{width:.1f}" height="{step - 12}" rx="3"/></g>'
        )
    parts.append(name_x(axis.name, (left + WIDTH - RIGHT) / 2, height))
    return svg(label, "".join(parts), height)
