"""The page: sections in order, through the template, into one HTML text that needs nothing from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from tasks.errors import in_a_line
from tasks.kinds import find_kind
from tasks.report import (
    about_data,
    about_leaks,
    about_models,
    about_quality,
    about_rows,
    about_run,
    about_why,
    changes,
    verdict,
)
from tasks.report.blocks import Page, Prose, Section
from tasks.report.found import ProblemAbout, RunFiles
from tasks.report.names import with_class_names
from tasks.report.numbers import day, plain
from tasks.report.summary import head

HERE = Path(__file__).parent


def build(found: RunFiles, said: Callable[[str], None] = lambda line: None) -> str:
    """The page of one run. A chapter that cannot be drawn is left out; its place, and ``said(line)``, tell why."""
    found = with_class_names(found)
    kind, features, choice, metrics = found.problem.kind, found.features, found.choice, found.metrics
    classes = features.classes if features else []
    weight = found.explain.importance if found.explain else {}
    shown = sorted(weight, key=lambda f: -weight[f]) or (features.names if features else [])
    trained = [name for name, files in found.families.items() if files.candidate]
    quality = {"Quality": lambda: about_quality.curves(found.problem.target, metrics, found.curves)}
    numbers = not find_kind(kind).output.classes
    plainly: dict[str, Callable[[], Section | None]] = {
        "Changes": lambda: changes.details(found),
        **(quality if numbers else {}),
        "Decisions": lambda: about_rows.decisions(kind, choice, found.confusion, found.curves),
        "What moves the answers": lambda: about_why.drivers(found.explain, features),
        "Single rows": lambda: about_rows.errors(found.rows, kind, classes, shown, found.names),
        "Drift": lambda: about_run.drift(found.drift),
        "Data": lambda: about_data.data(found.validated, features, found.periods),
    }
    technical: dict[str, Callable[[], Section | None]] = {
        "Evidence": lambda: verdict.evidence(found.verdict, choice, metrics),
        **({} if numbers else quality),
        "Candidates": lambda: about_models.candidates(choice, metrics, found.families),
        "Slices": lambda: about_rows.slices(found.slices, found.alpha) if find_kind(kind).targeted else None,
        "Features": lambda: about_data.features_section(features, found.plan, found.explain, found.families),
        "Leaks": lambda: about_leaks.leaks(found.leaks, found.verdict),
        "Why it says so": lambda: about_why.why(found.explain, kind, classes, found.names),
        "Learning": lambda: about_why.learning(found.learning),
        "Lineage": lambda: about_run.lineage(found.receipt, found.bundle, found.dag, found.identity, trained),
        "How to read this page": lambda: about_run.reading(kind, bool(found.verdict and found.verdict.champion)),
    }
    sections = [_section(title, make, said) for title, make in plainly.items()]
    details = [s for s in (_section(title, make, said) for title, make in technical.items()) if s]
    sections += [replace(details[0], part="Technical part: for those who make the model"), *details[1:]]
    if found.left_out:
        listed = [Prose(f"{name}: {why}") for name, why in found.left_out.to_dict().items()]
        sections.append(
            Section("left-out", "Left out", "What could not be computed for this page; the model is whole.", listed)
        )
    about = [_predicted(found.problem, len(classes))]
    if found.validated and found.validated.as_of:
        about.append(f"data up to {day(found.validated.as_of)}")
    name, top = found.problem.name, head(found)
    return render(Page(f"{name}: run report", name, about, top, [s for s in sections if s]))


def _predicted(problem: ProblemAbout, classes: int) -> str:
    """What the model predicts, in plain words.

    >>> _predicted(ProblemAbout("p", "binary", "is_late"), 2), _predicted(ProblemAbout("p", "regression", "price"), 0)
    ('predicts is late (one of 2 classes)', 'predicts price (a number)')
    """
    if not problem.target:
        return plain(problem.kind)
    what = f"one of {classes} classes" if classes else "a number"
    return f"predicts {problem.target.replace('_', ' ')} ({what})"


def _section(title: str, make: Callable[[], Section | None], said: Callable[[str], None]) -> Section | None:
    try:
        return make()
    except Exception as error:  # a picture ends no run
        why = in_a_line(error)
        said(f"the report's chapter {title!r} was left out: {why}")
        return Section(title.lower().replace(" ", "-"), title, "", missing=f"this chapter could not be drawn ({why}).")


def render(page: Page) -> str:
    """The page as HTML, by the template of this folder; style and script are set in."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(HERE)
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    style, script = (Markup((HERE / name).read_text(encoding="utf-8")) for name in ("style.css", "script.js"))
    return environment.get_template("page.html").render(style=style, script=script, page=page) + "\n"
