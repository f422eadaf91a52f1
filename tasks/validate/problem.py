"""Can the declared problem be learned from these tables? If not, say what is in the way."""

from __future__ import annotations

from tasks.errors import RefitError, some
from tasks.params import Problem, Table
from tasks.profile.learnable import check_target
from tasks.stored import Frame
from tasks.values.classes import named
from tasks.values.levels import level


def check_columns(frame: Frame, name: str, table: Table) -> None:
    """Refuse columns of a source that hold no value at all."""
    empty = [c for c, spec in table.given.items() if spec.kind != "ignore" and frame[c].isna().all()]
    if empty:
        raise RefitError(
            f"data.tables.{name}.columns: no row of {table.shown} has a value of {some(empty)}, so nothing can be "
            "learned from it. Set `kind: ignore`, or take it out."
        )


def check_problem(frame: Frame, problem: Problem) -> None:
    """Refuse a target that no model can learn; ``frame`` is the accepted problem table with its target column."""
    column = problem.target.name
    check_target(frame[column], problem.kind, f"problem.target: {column!r} of {problem.table!r}")
    positive = problem.target.positive
    classes = sorted(level(value) or str(value) for value in frame[column].dropna().unique())
    if positive is not None and named(positive, classes) is None:
        raise RefitError(
            f"problem.target.positive: {positive!r} is not a class of {column!r}, which has {some(classes)}."
        )
