"""Checks of ``params.yaml`` that look at more than one key: names that point elsewhere, and kinds that must fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasks.errors import RefitError, nearest, some
from tasks.idle import idle
from tasks.kinds import MANY, NUMBER, TWO, find_kind, kinds_of
from tasks.values.durations import Span

if TYPE_CHECKING:
    from tasks.params import Params, Table


ENCODED = {  # keys of features.encode, and the kind of features that each is for
    "scale": "numeric", "bins": "numeric", "categories": "categorical", "max_levels": "categorical", "words": "text",
}  # fmt: skip


class _Mistakes(list[str]):
    """Mistakes found so far, each as ``path: text``."""

    def add(self, path: str, text: str) -> None:
        self.append(f"{path}: {text}")

    def when(self, wrong: object, path: str, text: str) -> None:
        """A mistake if ``wrong`` holds."""
        if wrong:
            self.add(path, text)

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
    if params.training.compression and not wrong:
        _compression(wrong, params)
    if params.tuning.sampler == "pbt" and not wrong:
        _population(wrong, params)
    kind = find_kind(params.problem.kind)
    for key, serves in (("imbalance", kind.balanced), ("calibration", kind.calibrated)):
        way = getattr(params.training, key)
        wrong.when(
            not serves and way not in ("none", "auto"),
            f"training.{key}",
            f"{way!r} needs classes, and problem.kind is {params.problem.kind!r}; remove it.",
        )
    for key, way, ways in (
        ("split.kind", params.split.kind, kind.splits),
        ("tuning.split", params.tuning.split, kind.tuning_splits),
    ):
        wrong.when(
            way not in ways, key, f"{way!r} has no meaning where problem.kind is {kind.name!r}; use {some(ways, 20)}."
        )
    for path, why in idle(params):
        wrong.add(path, why)
    _tuning(wrong, params)
    for name, table in params.data.tables.items():
        _table(wrong, f"data.tables.{name}", table)
    if _made(wrong, params) and wrong.known("problem.table", params.problem.table, params.data.tables):
        _problem(wrong, params, params.data.tables[params.problem.table])
        _features(wrong, params, params.data.tables[params.problem.table])
        _split(wrong, params, params.data.tables[params.problem.table])
    if params.split.kind == "time" and not params.problem.prediction_time and not params.problem.snapshots:
        times = params.data.tables[params.problem.table].moments if params.problem.table in params.data.tables else []
        which = f"name one of {some(times)} there" if times else "declare a column datetime"
        wrong.add("split.kind", f"'time' needs problem.prediction_time: {which}, or use kind: random.")
    if not wrong:
        _plan(wrong, params)
    return list(dict.fromkeys(wrong))


def _compression(wrong: _Mistakes, params: Params) -> None:
    """Families that are to be compressed, and are not in models or have no smaller form."""
    from tasks.families import find_family
    from tasks.listed import family_names
    from tasks.models.check import compresses  # loads the families, which few projects need here

    assert params.training.compression is not None
    path, named = "training.compression", params.training.compression.families
    for name in named:
        wrong.known(f"{path}.families", name, params.models)
    unable = [name for name in named or params.models if name in params.models and not compresses(find_family(name))]
    if unable:
        able = [name for name in family_names() if compresses(find_family(name))]
        there = [name for name in params.models if name in able]
        remedy = f"name those that can, families: [{', '.join(there)}]" if there else f"add {some(able)} to models"
        why = " (auto serves the models that tuning has judged)" if "auto" in unable else ""
        wrong.add(path, f"{some(unable)} cannot be compressed{why}; {remedy}, or remove this.")


def _population(wrong: _Mistakes, params: Params) -> None:
    """What a population cannot do: families that cannot go on, several folds, too few turns, lengths of one's own."""
    from tasks.families import find_family  # loads the families, which few projects need here
    from tasks.listed import family_names
    from tasks.models.turns import changeable, goes_on

    tuning = params.tuning
    unable = [name for name in params.models if not goes_on(find_family(name))]
    if unable:
        able = [name for name in family_names() if goes_on(find_family(name))]
        wrong.add(
            "tuning.sampler",
            f"'pbt' changes a model while it trains, and {some(unable)} cannot go on from where its training stood; have "
            f"models of {some(able)} alone, or use another sampler.",
        )
        return
    wrong.when(
        tuning.split != "holdout",
        "tuning.split",
        f"{tuning.split!r} has several folds, and 'pbt' trains on one; use split: holdout.",
    )
    wrong.when(
        "pruner" in tuning.model_fields_set and tuning.pruner != "none",
        "tuning.pruner",
        f"'pbt' replaces the members that lag behind itself; remove {tuning.pruner!r}.",
    )
    wrong.when(
        params.features.engine == "spark" and "xgboost" in params.models,
        "features.engine",
        "'spark' trains xgboost in one go, and 'pbt' in turns; use another sampler.",
    )
    for name, own in params.models.items():
        family = find_family(name)
        assert goes_on(family)
        if (trials := own.trials or tuning.trials) < 4:
            path = "tuning.trials" if own.trials is None else f"models.{name}.trials"
            wrong.add(path, f"{trials} is too few for 'pbt', which needs 4 or more (turns of all members together).")
        for key in own.params:
            wrong.when(
                key in family.TURNED,
                f"models.{name}.params.{key}",
                "with 'pbt' the turns decide it; remove it.",
            )
        tunable = [key for key in family.space(params.problem.kind, 1000, 10) if key not in own.params]
        if not changeable(family, tunable):
            free = some(changeable(family, family.space(params.problem.kind, 1000, 10)))
            wrong.add(f"models.{name}.params", f"leaves 'pbt' nothing to change; remove one of {free}.")


def _tuning(wrong: _Mistakes, params: Params) -> None:
    """What `auto` cannot follow, since it searches in a way of its own, and goals that something else would pass over."""
    tuning = params.tuning
    if set(params.models) == {"auto"}:
        for key, how in (("sampler", "tries a portfolio of settings, then their neighbours"),
                         ("pruner", "stops a setting whose first fold is among the worst third")):  # fmt: skip
            wrong.when(
                key in tuning.model_fields_set,
                f"tuning.{key}",
                f"auto {how}; remove the key, or name the families that it is for in models.",
            )
    if tuning.goals is not None:
        wrong.when(
            "auto" in params.models,
            "tuning.goals",
            "auto mixes models by the metric alone; name the families in models instead.",
        )
        wrong.when(
            params.training.ensembles,
            "tuning.goals",
            "training.ensembles are chosen by the metric alone and cost what all their members do; leave one out.",
        )
    wrong.when(
        tuning.split == "time_series" and not params.problem.prediction_time and not params.problem.snapshots,
        "tuning.split",
        "'time_series' needs problem.prediction_time: the moment that rows are ordered by.",
    )


def _made(wrong: _Mistakes, params: Params) -> bool:
    """Whether snapshots, if the problem has them, can be made: the entities' table, and a name that is free."""
    snapshots, by = params.problem.snapshots, params.problem.target.by
    if snapshots is None:
        return True
    path, tables, name = "problem.table", params.data.tables, params.problem.table
    if not wrong.known(f"{path}.snapshots", snapshots.snapshots, [n for n, t in tables.items() if not t.snapshots]):
        return False
    if name in tables and not tables[name].snapshots:
        wrong.add(f"{path}.name", f"{name!r} is a table already; name another one.")
        return False
    there = tables[snapshots.snapshots]
    kinds = ("categorical", "numeric", "boolean")
    named = [wrong.column("problem.target.by", column, there, *kinds) for column in by or ()]
    late = [column for column in by or () if column in there.outcome]
    wrong.when(late, "problem.target.by", f"{some(late)} is an outcome of {snapshots.snapshots!r}, known only later.")
    return all(named) and not late


def _from_events(wrong: _Mistakes, params: Params, own: Table) -> None:
    """What is wrong with a target that is made `from` another table's later events."""
    from tasks.condition import Condition
    from tasks.engine.expression import Expression
    from tasks.implied import EVENTS, lateness

    problem, target, path = params.problem, params.problem.target, "problem.target"
    assert target.events is not None
    if not wrong.known(f"{path}.from", target.events, [n for n, t in params.data.tables.items() if not t.snapshots]):
        return
    events = params.data.tables[target.events]
    kinds = {name: column.kind for name, column in events.columns.items() if column.kind != "ignore"}
    for mine, theirs in (target.by or {}).items():
        if wrong.column(f"{path}.by", mine, own) and wrong.column(f"{path}.by", theirs, events):
            one, other = own.columns[mine].kind, events.columns[theirs].kind
            wrong.when(
                one != other,
                f"{path}.by",
                f"{mine!r} is {one} in {problem.table!r} and {theirs!r} {other} in its events.",
            )
    wrong.when(
        not events.event_time, f"{path}.from", f"table {target.events!r} needs event_time: when its events happened."
    )
    if not problem.prediction_time:
        times = own.moments
        which = f"name one of {some(times)} there" if times else "declare a column datetime"
        wrong.add("problem.prediction_time", f"missing; the label counts what happens after it: {which}.")
    wrong.when(
        target.events == problem.table and not own.key,
        f"data.tables.{problem.table}.key",
        "needed: by it a row's own event is left out of its label.",
    )
    result = kinds.get(str(target.of), "numeric")
    for key, text in ((target.made, target.of if target.made in EVENTS else None), ("where", target.where)):
        if isinstance(text, str):
            try:
                Condition.parse(text).check(kinds)
            except RefitError as error:
                wrong.add(f"{path}.{key}", str(error))
                return
    if target.made not in EVENTS and target.of not in kinds:
        try:
            for name in Expression.parse(str(target.of)).names:
                wrong.column(f"{path}.{target.made}", name, events, "numeric", "boolean")
        except RefitError as error:
            wrong.add(f"{path}.{target.made}", str(error).removeprefix("transform "))
            return
    elif target.made not in EVENTS:
        numbers = () if target.made in ("first", "last", "n_unique") else ("numeric", "boolean")
        wrong.column(f"{path}.{target.made}", str(target.of), events, *numbers)
        wrong.when(
            result == "datetime",
            f"{path}.{target.made}",
            f"column {target.of!r} is a moment, which cannot be a target.",
        )
    yes_or_no = target.made in ("any", "none") or target.above is not None
    label = target.made in ("first", "last") and result in ("categorical", "text")
    outputs = (TWO,) if yes_or_no else (TWO, MANY) if label else (NUMBER,)
    fits = kinds_of(*outputs)
    wrong.when(
        label and target.above is not None,
        f"{path}.above",
        f"{target.of!r} is a category, and not compared with a number; leave it out.",
    )
    if find_kind(problem.kind).output not in outputs:
        more = "" if yes_or_no or label else "; `above: 3` would make it binary"
        wrong.add("problem.kind", f"`{target.made}` makes a target of kind {' or '.join(fits)}{more}.")
    wrong.when(
        events.event_time and lateness(target, events) is None,
        f"{path}.late",
        f"missing; events of {target.events!r} are known at a moment of their own, so say how long after they "
        "happened the label waits for them, as in late: 2d.",
    )
    made = own.later.get(target.name) if target.name in own.columns else None
    wrong.when(
        problem.prediction_time and made is None and target.name in own.columns,
        f"{path}.name",
        f"{target.name!r} is a column of {problem.table!r} already; name it otherwise.",
    )
    by_hand = set(target.by or ()) <= set(params.split.by)
    wrong.when(
        params.tuning.split in ("kfold", "stratified") and not by_hand,
        "tuning.split",
        f"{params.tuning.split!r} parts rows whose labels share events; use holdout or time_series.",
    )
    wrong.when(
        params.split.kind == "random" and not by_hand,
        "split.kind",
        f"'random' parts rows whose labels share events; use kind: time, or keep together by: [{', '.join(target.by or ())}].",
    )


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
        plan = derive(params, any_windows(params))
    except RefitError as error:
        wrong.append(str(error))
        return
    names, kinds = plan.names, {feature.kind for feature in plan.features}
    if params.features.encode:
        for key, kind in ENCODED.items():
            wrong.when(
                key in params.features.encode.model_fields_set and kind not in kinds,
                f"features.encode.{key}",
                f"is for {kind} features, and there are none; remove it.",
            )
    select = params.features.select
    for path, wanted in (
        ("features.select.keep", select.keep if select else ()),
        ("tuning.group", [params.tuning.group] if params.tuning.group else []),
        ("evaluation.slices", params.evaluation.slices),
    ):
        for name in wanted:
            wrong.when(
                name not in names, path, f"{name!r} is not a feature; there are {some(names)}." + nearest(name, names)
            )


def _table(wrong: _Mistakes, path: str, table: Table) -> None:
    outcome = [column for column in table.outcome if column not in table.later]
    for field, columns in (("key", table.key), ("outcome", outcome)):
        for column in columns:
            wrong.column(f"{path}.{field}", column, table)
    for field, when in (("event_time", table.event_time), ("known_at", table.known_at)):
        if when:
            wrong.column(f"{path}.{field}", when.column, table, "datetime")
    for column, when in table.later.items():
        if wrong.column(f"{path}.known_at", column, table):
            wrong.column(f"{path}.known_at.{column}", when.column, table, "datetime")
    wrong.when(
        table.known and not table.event_time,
        f"{path}.known_at",
        "needs event_time: when the fact happened, as well as when it became known.",
    )
    wrong.when(
        table.outcome and not table.known,
        f"{path}.outcome",
        "needs known_at: the moment from which these columns are known.",
    )
    if table.corrections in ("states", "later") and not table.key:
        wrong.add(f"{path}.corrections", "needs key: the columns that name a row.")
    elif table.corrections == "states" and not table.event_time:
        wrong.add(f"{path}.corrections", "'states' needs event_time, or known_at too: when each state became known.")
    both = [column for column in table.key if column in table.outcome]
    wrong.when(both, f"{path}.key", f"{some(both)} is an outcome, and a key must be known from the start.")


def _problem(wrong: _Mistakes, params: Params, table: Table) -> None:
    problem = params.problem
    target, when = problem.target, problem.prediction_time
    if target.events is not None:
        _from_events(wrong, params, table)
    number = target.above is not None or not find_kind(problem.kind).output.classes
    if (
        target.given
        and target.events is None
        and wrong.column("problem.target.column", target.column, table, *(("numeric",) if number else ()))
    ):
        kind = table.columns[target.column].kind
        wrong.when(
            kind in ("datetime", "text"),
            "problem.target.column",
            f"column {target.column!r} of kind {kind!r} cannot be a target.",
        )
    wrong.when(
        target.name != target.column and target.name in table.columns,
        "problem.target.name",
        f"{target.name!r} is already a column of {problem.table!r}",
    )
    if when:
        wrong.column("problem.prediction_time", when.column, table, "datetime")
        wrong.when(
            when.column in table.outcome,
            "problem.prediction_time",
            f"{when.column!r} is an outcome, known only after the fact.",
        )
        wrong.when(
            table.known and target.given and target.column not in table.outcome and target.events is None,
            f"data.tables.{problem.table}.outcome",
            f"the target {target.column!r} must be listed, since it is known only later.",
        )
    for column in params.promotion.cluster:
        if column != "day" or params.problem.prediction_time is None:  # day: of the prediction time
            wrong.column("promotion.cluster", column, table)
    if params.promotion.metric:
        wrong.known("promotion.metric", params.promotion.metric, find_kind(problem.kind).decisive)
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
        if look.within and not other.known:
            wrong.add(f"{path}.within", f"table {look.table!r} has no known_at, so its rows have no age.")
        elif look.within:
            _always_empty(wrong, f"{path}.within", other, look.table, [look.within])
        wrong.when(
            other.known and not problem.prediction_time,
            path,
            f"table {look.table!r} changes with time, which needs problem.prediction_time.",
        )
    wrong.when(
        features.history == "auto" and not problem.prediction_time,
        "features.history",
        "'auto' needs problem.prediction_time, the moment before which events count.",
    )
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
        wrong.when(
            not other.event_time, f"{path}.windows", f"table {past.table!r} has no event_time, so it has no windows."
        )
        _always_empty(wrong, f"{path}.windows", other, past.table, past.windows)
        wrong.when(
            not problem.prediction_time,
            path,
            "history needs problem.prediction_time, the moment before which events count.",
        )


def _always_empty(wrong: _Mistakes, path: str, table: Table, name: str, windows: Iterable[str]) -> None:
    """Refuse windows that no event is ever in, since it becomes known only when it has left them."""
    event, known = table.event_time, table.known_at
    if not event or not known or event.column != known.column:
        return
    later = known.offset_micros - event.offset_micros
    for window in windows:
        if (length := Span(window).micros) is not None and length <= later:
            when = f"{event.column} + {_length(known.offset_micros)}"
            wrong.add(
                path,
                f"{window} is always empty: known_at of {name!r} says that a row is known only {_length(later)} after it "
                f"happened. If that is so of some columns only, write known_at: {{COLUMN: {when}}}.",
            )


def _length(micros: int) -> str:
    """A duration as it is written.

    >>> _length(30 * 86_400_000_000), _length(5_400_000_000)
    ('30d', '90m')
    """
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if micros % (size * 1_000_000) == 0:
            return f"{micros // (size * 1_000_000)}{unit}"
    return f"{micros / 1_000_000:g}s"
