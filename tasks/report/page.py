"""The page: sections in order, through the template, into one HTML text that needs nothing from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from tasks.report import about_data, about_leaks, about_models, about_quality, about_rows, about_run, about_why
from tasks.report.blocks import Section
from tasks.report.numbers import day, plain
from tasks.report.verdict import head

HERE = Path(__file__).parent


def build(found: dict[str, Any]) -> str:
    """The page of one run.

    Parameters
    ----------
    found
        What the stages left, by name; each may be missing: ``problem`` (name, kind, target, metric), ``alpha``,
        ``validated``, ``features``, ``leaks``, ``periods`` (:func:`tasks.report.about_data.periods`), ``plan``,
        ``tuning`` and ``models`` (by family), ``choice``, ``metrics``, ``curves``, ``confusion``, ``slices``,
        ``rows``, ``explain``, ``learning``, ``verdict``, ``drift``, ``receipt``, ``bundle``, ``identity``, ``dag``.
    """
    problem = found["problem"]
    kind = problem["kind"]
    features = found.get("features")
    choice, metrics = found.get("choice"), found.get("metrics")
    classes = [str(c) for c in (features or {}).get("classes", [])]
    weight = about_data.importances(found.get("explain"))
    shown = sorted(weight, key=lambda f: -weight[f]) or [f["name"] for f in (features or {}).get("features", [])]
    models, tuning = found.get("models") or {}, found.get("tuning") or {}
    sections: list[Section | None] = [
        about_data.data(found.get("validated"), features, found.get("periods")),
        about_data.features_section(features, found.get("plan"), found.get("explain"), models),
        about_leaks.leaks(found.get("leaks"), found.get("verdict")),
        about_models.candidates(choice, metrics, tuning, models),
        about_quality.curves(kind, problem["target"], metrics, found.get("curves")),
        about_rows.decisions(kind, choice, found.get("confusion"), found.get("curves")),
        about_rows.slices(found.get("slices"), found.get("alpha", 0.05)),
        about_rows.errors(found.get("rows"), kind, classes, shown),
        about_why.why(found.get("explain"), kind, classes),
        about_why.learning(found.get("learning")),
        about_run.drift(found.get("drift")),
        about_run.lineage(
            found.get("receipt"), found.get("bundle"), found.get("dag"), found.get("identity"), list(models)
        ),
        about_run.reading(kind, bool((found.get("verdict") or {}).get("champion"))),
    ]
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


def render(template: str, **given: Any) -> str:
    """Fill a template of this folder; style and script are set in."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(HERE)
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    style, script = (Markup((HERE / name).read_text(encoding="utf-8")) for name in ("style.css", "script.js"))
    return environment.get_template(template).render(style=style, script=script, **given) + "\n"
