"""The page: sections in order, through the template, into one HTML text that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tasks.errors import in_a_line
from tasks.report import about_data, about_leaks, about_models, about_quality, about_rows, about_run, about_why
from tasks.report.blocks import Prose, Section
from tasks.report.numbers import day, plain
from tasks.report.verdict import head

HERE = Path(__file__).parent


def build(found: dict[str, Any], said: Callable[[str], None] = lambda line: None) -> str:
    """The page of one run. A chapter that cannot be drawn is left out; its place, and ``said(line)``, tell why.

    Parameters
    ----------
    found
        What the stages left, by name; each may be missing: ``problem`` (name, kind, target, metric), ``alpha``,
        ``validated``, ``features``, ``leaks``, ``periods`` (:func:`tasks.report.about_data.periods`), ``plan``,
        ``tuning`` and ``models`` (by family), ``choice``, ``metrics``, ``curves``, ``confusion``, ``slices``,
        ``rows``, ``explain``, ``learning``, ``left_out`` (by name, why), ``failed`` (by family, ``failed.json``),
        ``verdict``, ``drift``, ``receipt``, ``bundle``, ``identity``, ``dag``.
    """
    problem = found["problem"]
    kind = problem["kind"]
    features = found.get("features")
    choice, metrics = found.get("choice"), found.get("metrics")
    classes = [str(c) for c in (features or {}).get("classes", [])]
    weight = about_data.importances(found.get("explain"))
    shown = sorted(weight, key=lambda f: -weight[f]) or [f["name"] for f in (features or {}).get("features", [])]
    models, tuning = found.get("models") or {}, found.get("tuning") or {}
    left_out = found.get("left_out") or {}
    failed = found.get("failed") or {}
    lineage = (found.get("receipt"), found.get("bundle"), found.get("dag"), found.get("identity"), list(models))
    makers: dict[str, Callable[[], Section | None]] = {
        "Data": lambda: about_data.data(found.get("validated"), features, found.get("periods")),
        "Features": lambda: about_data.features_section(features, found.get("plan"), found.get("explain"), models),
        "Leaks": lambda: about_leaks.leaks(found.get("leaks"), found.get("verdict")),
        "Candidates": lambda: about_models.candidates(choice, metrics, tuning, models, failed),
        "Quality": lambda: about_quality.curves(problem["target"], metrics, found.get("curves")),
        "Decisions": lambda: about_rows.decisions(kind, choice, found.get("confusion"), found.get("curves")),
        "Slices": lambda: about_rows.slices(found.get("slices"), found.get("alpha", 0.05)),
        "Single rows": lambda: about_rows.errors(found.get("rows"), kind, classes, shown),
        "Why it says so": lambda: about_why.why(found.get("explain"), kind, classes),
        "Learning": lambda: about_why.learning(found.get("learning")),
        "Drift": lambda: about_run.drift(found.get("drift")),
        "Lineage": lambda: about_run.lineage(*lineage),
        "How to read this page": lambda: about_run.reading(kind, bool((found.get("verdict") or {}).get("champion"))),
    }
    sections = [_section(title, make, said) for title, make in makers.items()]
    if left_out:
        listed = [Prose(f"{name}: {why}") for name, why in left_out.items()]
        sections.append(
            Section("left-out", "Left out", "What could not be computed for this page; the model is whole.", listed)
        )
    about = [f"{plain(kind)} problem: {problem['target']}"]
    as_of = (found.get("validated") or {}).get("as_of")
    if as_of:
        about.append(f"as of {day(as_of)}")
    page = head(found.get("verdict"), choice, metrics) | {
        "title": f"{problem['name']}: run report",
        "name": problem["name"],
        "about": about,
        "sections": [s for s in sections if s],
        "footer": "Made by Refit. This page holds everything it shows; it needs no network and no server.",
    }
    return render("page.html", page=page)


def _section(title: str, make: Callable[[], Section | None], said: Callable[[str], None]) -> Section | None:
    try:
        return make()
    except Exception as error:  # a picture ends no run
        why = in_a_line(error)
        said(f"the report's chapter {title!r} was left out: {why}")
        return Section(title.lower().replace(" ", "-"), title, "", missing=f"this chapter could not be drawn ({why}).")


def render(template: str, **given: Any) -> str:
    """Fill a template of this folder; style and script are set in."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(HERE)
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    style, script = (Markup((HERE / name).read_text(encoding="utf-8")) for name in ("style.css", "script.js"))
    return environment.get_template(template).render(style=style, script=script, **given) + "\n"
