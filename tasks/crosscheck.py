"""Checks of ``params.yaml`` that look at more than one key: names that point elsewhere, and kinds that must fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasks.errors import RefitError, nearest, some

if TYPE_CHECKING:
    from tasks.params import Params, Table


class _Mistakes(list[str]):
    """Mistakes found so far, each as ``path: text``."""

    def add(self, path: str, text: str) -> None:
        self.append(f"{path}: {text}")

    def known(self, path: str, name: str, allowed: Iterable[str]) -> bool:
        """Whether ``name`` is one of ``allowed``; a mistake if it is not."""
        allowed = list(allowed)
        if name not in allowed:
            self.add(path, f"{name!r} is not one of {some(allowed)}." + nearest(name, allowed))
        return name in allowed

    def column(self, path: str, name: str, table: Table, *kinds: str) -> bool:
        """Whether ``table`` has the column, it is read at all, and is of one of ``kinds`` (if any are given)."""
        if not self.known(path, name, table.columns):
            return False
        kind = table.columns[name].kind
        if kind == "ignore":
            self.add(path, f"column {name!r} is declared `ignore`, so it is not read; declare its kind.")
        elif kinds and kind not in kinds:
            self.add(path, f"column {name!r} must be of kind {' or '.join(kinds)}, and is declared {kind!r}.")
        else:
            return True
        return False


def mistakes(params: Params, families: Iterable[str]) -> list[str]:
    """All mistakes across keys, each as ``path: text``. ``families`` are the names allowed under ``models``."""
    wrong = _Mistakes()
    for family in params.models:
        wrong.known("models", family, families)
    if params.training.compression and not {"mlp", "auto"} & set(params.models):
        wrong.add("training.compression", "only the family mlp can be compressed; add it to models, or remove this.")
    for key in ("imbalance", "calibration"):
        found = getattr(params.training, key)
        if params.problem.kind == "regression" and found not in ("none", "auto"):
            wrong.add(f"training.{key}", f"{found!r} needs classes, and problem.kind is 'regression'; remove it.")
    for name, table in params.data.tables.items():
        _table(wrong, f"data.tables.{name}", table)
    if wrong.known("problem.table", params.problem.table, params.data.tables):
        _problem(wrong, params, params.data.tables[params.problem.table])
        _features(wrong, params, params.data.tables[params.problem.table])
        _split(wrong, params, params.data.tables[params.problem.table])
    if params.split.kind == "time" and not params.problem.prediction_time:
        times = params.data.tables[params.problem.table].moments if params.problem.table in params.data.tables else []
        which = f"name one of {some(times)} there" if times else "declare a column datetime"
        wrong.add("split.kind", f"'time' needs problem.prediction_time: {which}, or use kind: random.")
    if not wrong:
        _plan(wrong, params)
    return list(dict.fromkeys(wrong))


def _split(wrong: _Mistakes, params: Params, table: Table) -> None:
    for column in params.split.by:
        if column in (params.problem.target.column, *table.outcome):
            wrong.add("split.by", f"{column!r} is not known of a row without its outcome; name a column that is.")
        else:
            wrong.column("split.by", column, table)


def _plan(wrong: _Mistakes, params: Params) -> None:
    """What is wrong with the features' plan, and names of features that are in no plan."""
    from tasks.engine.auto import any_windows
    from tasks.engine.derive import derive

    try:
        names = derive(params, any_windows(params)).names
    except RefitError as error:
        wrong.append(str(error))
        return
    select = params.features.select
    for path, wanted in (
        ("features.select.keep", select.keep if select else ()),
        ("tuning.group", [params.tuning.group] if params.tuning.group else []),
        ("evaluation.slices", params.evaluation.slices),
    ):
        for name in wanted:
            if name not in names:
                wrong.add(path, f"{name!r} is not a feature; there are {some(names)}." + nearest(name, names))


def _table(wrong: _Mistakes, path: str, table: Table) -> None:
    for field, columns in (("key", table.key), ("outcome", table.outcome)):
        for column in columns:
            wrong.column(f"{path}.{field}", column, table)
    for field, when in (("event_time", table.event_time), ("known_at", table.known_at)):
        if when:
            wrong.column(f"{path}.{field}", when.column, table, "datetime")
    if table.known_at and not table.event_time:
        wrong.add(f"{path}.known_at", "needs event_time: when the fact happened, as well as when it became known.")
    if table.outcome and not table.known_at:
        wrong.add(f"{path}.outcome", "needs known_at: the moment from which these columns are known.")
    if table.corrections in ("states", "later") and not table.key:
        wrong.add(f"{path}.corrections", "needs key: the columns that name a row.")
    elif table.corrections == "states" and not table.event_time:
        wrong.add(f"{path}.corrections", "'states' needs event_time, or known_at too: when each state became known.")
    both = [column for column in table.key if column in table.outcome]
    if both:
        wrong.add(f"{path}.key", f"{some(both)} is an outcome, and a key must be known from the start.")


def _problem(wrong: _Mistakes, params: Params, table: Table) -> None:
    problem = params.problem
    target, when = problem.target, problem.prediction_time
    number = target.above is not None or problem.kind == "regression"
    if wrong.column("problem.target.column", target.column, table, *(("numeric",) if number else ())):
        kind = table.columns[target.column].kind
        if kind in ("datetime", "text"):
            wrong.add("problem.target.column", f"column {target.column!r} of kind {kind!r} cannot be a target.")
    if target.name != target.column and target.name in table.columns:
        wrong.add("problem.target.name", f"{target.name!r} is already a column of {problem.table!r}")
    if when:
        wrong.column("problem.prediction_time", when.column, table, "datetime")
        if when.column in table.outcome:
            wrong.add("problem.prediction_time", f"{when.column!r} is an outcome, known only after the fact.")
        if table.known_at and target.column not in table.outcome:
            wrong.add(
                f"data.tables.{problem.table}.outcome",
                f"the target {target.column!r} must be listed, since it is known only later.",
            )
    for column in params.promotion.cluster:
        if column != "day" or params.problem.prediction_time is None:  # day: of the prediction time
            wrong.column("promotion.cluster", column, table)
    if params.promotion.metric:
        from tasks.params import METRICS

        wrong.known("promotion.metric", params.promotion.metric, METRICS[problem.kind])
    others = [f"{name}.{column}" for name, other in params.data.tables.items() for column in other.columns]
    for column in params.promotion.accept:
        wrong.known("promotion.accept", column, [*table.columns, *params.features.transforms, *others])
    for column in params.promotion.guardrails.slices:
        wrong.column("promotion.guardrails.slices", column, table)


def _features(wrong: _Mistakes, params: Params, table: Table) -> None:
    features, tables, problem = params.features, params.data.tables, params.problem
    for column in features.dates:
        wrong.column("features.dates", column, table, "datetime")
    if features.columns != "auto":
        for column in features.columns:
            if column in (*table.outcome, problem.target.column):
                wrong.add("features.columns", f"{column!r} is an outcome of the row itself, and would leak.")
            else:
                wrong.column("features.columns", column, table)
    for i, look in enumerate(features.lookups if isinstance(features.lookups, tuple) else ()):
        path = f"features.lookups[{i}]"
        if not wrong.known(f"{path}.table", look.table, tables):
            continue
        other = tables[look.table]
        for column in look.columns:
            wrong.column(f"{path}.columns", column, other)
        for here, there in look.on.items():
            wrong.column(f"{path}.on", here, table)
            wrong.column(f"{path}.on", there, other)
        if look.within and not other.known_at:
            wrong.add(f"{path}.within", f"table {look.table!r} has no known_at, so its rows have no age.")
        if other.known_at and not problem.prediction_time:
            wrong.add(path, f"table {look.table!r} changes with time, which needs problem.prediction_time.")
    if features.history == "auto" and not problem.prediction_time:
        wrong.add("features.history", "'auto' needs problem.prediction_time, the moment before which events count.")
    for i, past in enumerate(features.history if isinstance(features.history, tuple) else ()):
        path = f"features.history[{i}]"
        if not wrong.known(f"{path}.table", past.table, tables):
            continue
        other = tables[past.table]
        derived = {problem.target.name} if past.table == problem.table else set()
        for column in past.columns:
            # depth 2 (`planes.seats`, `tailnum.mean(arr_delay, 7d)`) is checked when the plan is derived
            if column not in derived and (column in other.columns or "." not in column):
                wrong.column(f"{path}.columns", column, other)
        for key in past.by:
            for column in key:
                wrong.column(f"{path}.by", column, other)
        if not other.event_time:
            wrong.add(f"{path}.windows", f"table {past.table!r} has no event_time, so it has no windows.")
        if not problem.prediction_time:
            wrong.add(path, "history needs problem.prediction_time, the moment before which events count.")
