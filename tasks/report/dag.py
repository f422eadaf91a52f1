"""The pipeline as a picture: stages of ``dvc.yaml`` in columns, by the longest way from a source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape
from pydantic import JsonValue

# The lines must not run under the boxes: a box leaves room between columns.
BOX_W, BOX_H, GAP_X, GAP_Y = 96, 40, 30, 18


@dataclass(frozen=True)
class Stage:
    """A stage of the DAG. ``times``: how many of it there are (``foreach``); ``needs``: stages whose outputs it reads."""

    name: str
    about: str
    times: int
    needs: tuple[str, ...]


def stages(dag: Mapping[str, JsonValue], models: Iterable[str] = ()) -> list[Stage]:
    """Stages of a parsed ``dvc.yaml``, linked where one's dependency is (or holds, or lies in) another's output.

    >>> dag = {"a": {"cmd": "", "outs": ["x"]}, "b": {"cmd": "", "deps": ["x/part"]}}
    >>> [(s.name, s.needs) for s in stages({"stages": dag})]
    [('a', ()), ('b', ('a',))]
    """
    listed = _object(dag.get("stages"))
    bodies = {name: _object(_object(body).get("do", body)) for name, body in listed.items()}
    made = {name: _paths(body.get("outs")) for name, body in bodies.items()}
    count = max(len(list(models)), 1)
    out = []
    for name, body in bodies.items():
        deps = _paths(body.get("deps"))
        needs = [other for other in bodies if other != name and any(_meet(d, o) for d in deps for o in made[other])]
        many = not {"foreach", "matrix"}.isdisjoint(_object(listed[name]))
        about = str(body.get("desc", "")).replace("${key}'s", "each family's").replace("${key}", "each family")
        out.append(Stage(name, about, count if many else 1, tuple(needs)))
    return out


def _object(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _paths(items: JsonValue) -> list[str]:
    """Paths as they are listed: alone, or as the name of what is said of them."""
    named = (
        [next(iter(item)) if isinstance(item, dict) else str(item) for item in items] if isinstance(items, list) else []
    )
    return [name.split("/${")[0].strip("/") for name in named]


def _meet(dep: str, out: str) -> bool:
    return dep == out or dep.startswith(f"{out}/") or out.startswith(f"{dep}/")


def columns(found: list[Stage]) -> dict[str, int]:
    """Column of every stage: one more than the right-most stage that it needs."""
    by_name = {s.name: s for s in found}
    place: dict[str, int] = {}

    def at(name: str, path: tuple[str, ...] = ()) -> int:
        if name in path:
            raise ValueError(f"dvc.yaml: the stages {', '.join(path)} need each other")
        if name not in place:
            place[name] = 1 + max((at(n, (*path, name)) for n in by_name[name].needs), default=-1)
        return place[name]

    for stage in found:
        at(stage.name)
    return place


def reduced(found: list[Stage]) -> list[tuple[str, str]]:
    """Edges that no longer way stands for (the transitive reduction): enough to see the order of things."""
    needs = {s.name: set(s.needs) for s in found}
    behind: dict[str, set[str]] = {}

    def all_behind(name: str) -> set[str]:
        if name not in behind:
            behind[name] = set().union(*({n} | all_behind(n) for n in needs[name])) if needs[name] else set()
        return behind[name]

    return [
        (need, s.name)
        for s in found
        for need in s.needs
        if not any(need in all_behind(o) for o in s.needs if o != need)
    ]


def picture(found: list[Stage]) -> Markup:
    """The DAG as inline SVG: boxes with the stages' names, lines for what is read from whom."""
    place = columns(found)
    rows: dict[int, list[Stage]] = {}
    for stage in found:
        rows.setdefault(place[stage.name], []).append(stage)
    tallest = max(len(r) for r in rows.values())
    pad, pitch = 4, BOX_W + GAP_X
    width = 2 * pad + pitch * len(rows) - GAP_X
    height = 2 * pad + tallest * (BOX_H + GAP_Y) - GAP_Y + 10
    spot = {}
    for column, members in rows.items():
        top = (height - (len(members) * (BOX_H + GAP_Y) - GAP_Y)) / 2
        for i, stage in enumerate(members):
            spot[stage.name] = (pad + column * pitch, top + i * (BOX_H + GAP_Y))
    parts = []
    for a, b in reduced(found):
        (x0, y0), (x1, y1) = spot[a], spot[b]
        x0, y0, y1 = x0 + BOX_W, y0 + BOX_H / 2, y1 + BOX_H / 2
        bend = (x1 - x0) / 2
        parts.append(
            f'<path class="edge" d="M{x0:.0f} {y0:.0f}C{x0 + bend:.0f} {y0:.0f} {x1 - bend:.0f} {y1:.0f} {x1:.0f} {y1:.0f}"/>'
        )
    for stage in found:
        x, y = spot[stage.name]
        parts.append(f"<g><title>{escape(f'{stage.name}: {stage.about}')}</title>")
        for shift in (6, 3) if stage.times > 1 else ():
            parts.append(
                f'<rect class="node" x="{x + shift}" y="{y + shift:.0f}" width="{BOX_W}" height="{BOX_H}" rx="5"/>'
            )
        parts.append(f'<rect class="node" x="{x}" y="{y:.0f}" width="{BOX_W}" height="{BOX_H}" rx="5"/>')
        times = f'<tspan class="soft"> × {stage.times}</tspan>' if stage.times > 1 else ""
        parts.append(
            f'<text class="name" x="{x + BOX_W / 2}" y="{y + BOX_H / 2 + 4:.0f}" text-anchor="middle">{escape(stage.name)}{times}</text></g>'
        )
    names = ", ".join(s.name for s in found)
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="Stages: {escape(names)}">{"".join(parts)}</svg>'
    )
