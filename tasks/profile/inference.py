"""A first ``params.yaml`` for one file: the kinds of its columns, the kind of problem, and sensible models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tasks.errors import RefitError, nearest, some
from tasks.kinds import find_kind, kind_names
from tasks.listed import family_names
from tasks.params import parse
from tasks.profile.comments import Remark, beside, plain
from tasks.profile.division import SALTS, best_salt, groups, twins
from tasks.profile.moment import Moment as Chosen
from tasks.profile.moment import calendar
from tasks.profile.names import locate
from tasks.profile.profiled import Profiled, read_as
from tasks.profile.reading import read_columns
from tasks.profile.relations import relate
from tasks.profile.written import flow_list, moment_text, slug, source_text, to_yaml
from tasks.values.classes import choose as choose_class

if TYPE_CHECKING:
    import pyarrow as pa
    from ruamel.yaml.comments import CommentedMap

__all__ = ["infer", "to_yaml", "without_header"]
LARGE = 60_000  # tune on this many rows at most
_VAGUE = """
    target label labels class classes y outcome result response output value is_target
"""
VAGUE = frozenset(_VAGUE.split())  # as a target's name
_FILES = """
    train training data dataset table input test sample export file rows sheet1
"""
FILES = frozenset(_FILES.split())  # names of any file


def infer(
    path: str | Path,
    target: str,
    ask: Callable[[CommentedMap], None] | None = None,
    given: pa.Table | None = None,
    tell: Callable[[Remark], None] | None = None,
    others: Mapping[Path, pa.Table] | None = None,
) -> CommentedMap:
    """The tree of a ``params.yaml`` that predicts ``target`` from the other columns of a CSV or Parquet file.

    Comments in the tree say why a column is ignored and what a section is for; see :func:`to_yaml`. ``ask`` may change
    the columns of the tree before rows are divided at random, which goes by the columns that are left. ``given``: the
    columns, where ``path`` is no single file. ``tell`` is called with a remark for each decision about how it is read.
    ``others``: further tables, which are declared too, and used where their values find rows of this one.

    Raises
    ------
    RefitError
        If the file cannot be read, or the target is missing from it or cannot be learned.
    """
    table = read_columns(path) if given is None else given
    called = locate(target, table.column_names)
    if called is None:
        raise RefitError(
            f"{path}: has no column {target!r} to predict.{nearest(target, table.column_names)} "
            f"Its columns are {some(table.column_names, 20)}.{without_header(table.column_names)}"
        )
    target = called
    found = Profiled.of(table, target, f"{path}: the target {target!r}")
    columns = found.columns()
    if all(spec == "ignore" for name, spec in columns.items() if name not in (target, found.key)) and not others:
        raise RefitError(
            f"{path}: no column is left to predict {target!r} from: all others are constant, empty or ids."
        )
    tree = _tree(Path(path), target, found.kind, _positive(found.read[target], found.classes), columns, table.num_rows)
    name, moment = tree["problem"]["table"], found.moment
    said = list(found.told(name))
    found.identify(tree["data"]["tables"][name])
    if moment.column:
        _split_by_time(tree, moment)
        if found.settled:
            _known_at(tree, target, found.settled)
        else:
            _ask_when_known(tree, target, moment)
    if others:
        said += relate(tree, found, {path: Profiled.of(other) for path, other in others.items()})
    if tell:
        for remark in said:
            tell(remark)
    if ask:  # what it takes out is no input, and so does not say who a row is
        ask(tree)
    if not moment.column:
        _divide(tree, table, _no_moment(moment, table.column_names))
    return tree


def _no_moment(moment: Chosen, names: Iterable[str]) -> str:
    """Why rows are divided at random."""
    pieces = calendar(names)
    if not pieces or moment.not_taken:
        return moment.why
    return f"no single column says when a row happened ({', '.join(pieces)} joined to a date would allow kind: time)"


def without_header(names: list[str]) -> str:
    """A hint where the first line rather holds values than names, or names that nothing parts."""
    if len(names) == 1 and re.search(r"[\s:^~]", names[0]):
        return " Between values must stand `,`, `;`, tabs or `|`, and this file has none of them."
    values = [name for name in names if re.fullmatch(r"[-+]?\d[\d.,:/ -]*(_\d+)?|[-+]?\d+[.,]\d+.*", name)]
    if len(values) < max(1, len(names) / 3):
        return ""
    return f" The first line looks like values ({some(values, 3)}) and not like names: write a line of names above it."


def _positive(labels: pd.Series, classes: list[str]) -> tuple[str, str, str] | None:
    """The positive class, the other one, and why; None unless there are two."""
    if len(classes) != 2:
        return None
    positive, why = choose_class({str(name): int(n) for name, n in labels.value_counts().items()})
    return positive, next(name for name in classes if name != positive), why


def _split_by_time(tree: CommentedMap, moment: Chosen) -> None:
    """Newest rows test: the prediction time, the event's time and the split, each with its reason."""
    from ruamel.yaml.comments import CommentedMap

    problem = tree["problem"]
    when = moment_text(moment.column or "")
    problem.insert(list(problem).index("metric"), "prediction_time", when)
    beside(
        problem,
        "prediction_time",
        f"a feature may use only what was known by then; asked earlier? {moment.column} - 2h",
    )
    table = tree["data"]["tables"][problem["table"]]
    table.insert(1 + ("key" in table), "event_time", when)
    beside(table, "event_time", "when a row happened")
    split = CommentedMap(kind="time", test=0.2, valid=0.2)
    beside(
        split,
        "kind",
        f"{moment.why}: the newest rows test, as the model will meet newer rows too; a random split flatters",
    )
    beside(split, "test", "the newest fifth of the rows; or a duration such as 30d")
    tree["split"] = split


def _ask_when_known(tree: CommentedMap, target: str, moment: Chosen) -> None:
    """Ask, beside the event's time, when the target is known, with a line to copy: by a later moment where there is one."""
    later = next(iter(moment.later), f"{moment.column} + 7d")
    table = tree["data"]["tables"][tree["problem"]["table"]]
    beside(
        table, "event_time", f"is {target} known only later? then also known_at: {{{target}: {later}}} (docs/labels.md)"
    )


def _known_at(tree: CommentedMap, target: str, settled: str) -> None:
    """The target is known at a moment of its own, which is no feature either."""
    from ruamel.yaml.comments import CommentedMap

    table = tree["data"]["tables"][tree["problem"]["table"]]
    known = CommentedMap({target: moment_text(settled)})
    known.fa.set_flow_style()
    table.insert(list(table).index("event_time") + 1, "known_at", known)
    beside(table, "known_at", f"{settled} is there in exactly the rows that have {target}")


def _divide(tree: CommentedMap, table: pa.Table, why: str) -> None:
    """Write the random split: what must stay together, and the salt whose parts are most alike, for the columns declared.

    ``why`` says why it is no split by time.
    """
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    from tasks.identity import Rule, identify, together

    problem = tree["problem"]
    target = problem["target"] if isinstance(problem["target"], str) else problem["target"]["column"]
    declared = tree["data"]["tables"][problem["table"]]
    keys = list(declared.get("key", ()))
    shares = {"test": 0.2, "valid": 0.2}
    split = CommentedMap(kind="random", **shares)
    tree["split"] = split
    specs = {name: declared["columns"][name] for name in table.column_names}
    frame = pd.DataFrame({name: read_as(table[name], spec) for name, spec in specs.items()})
    found = groups(frame.drop(columns=keys), target)
    own = identify(frame, Rule.of(parse(tree))).row

    by = found.by if found.clear else ()
    salt, part = best_salt(together(frame, own, by), frame[target], shares)
    if not found.by:
        used = [name for name, spec in specs.items() if spec != "ignore" and name not in keys]
        found = twins(frame[used], target, part)
        if found.clear:
            by = found.by
            salt, part = best_salt(together(frame, own, by), frame[target], shares)
    split["salt"] = DoubleQuotedScalarString(salt)
    beside(
        split,
        "kind",
        f"{why}, so a row's part follows from its {'key' if keys else 'inputs'}; with times use kind: time",
    )
    beside(split, "salt", f"of {SALTS} the one whose parts are most alike in size and target; keep it")
    if by:
        split["by"] = flow_list(by)
        beside(split, "by", f"{found.why}, so they stay together")
        for name in by:
            if specs[name] == "ignore":
                declared["columns"][name] = "categorical"
                beside(declared["columns"], name, "for split.by")
    elif found.why:
        named = f"; `by: [{', '.join(found.by)}]` would keep them together" if found.by else ""
        split.yaml_set_comment_before_after_key("salt", before=plain(f"{found.why}{named}"), indent=2)


def _named(path: Path, target: str) -> str:
    """The problem's name: what is predicted; of which table, where the target's name alone says little.

    >>> _named(Path("train.csv"), "Sale Price"), _named(Path("iris.csv"), "target"), _named(Path("churn/train.csv"), "y")
    ('Sale-Price', 'iris-target', 'churn-y')
    """
    if target.lower().strip("_ ") not in VAGUE:
        return slug(target)
    of = path.stem if path.stem.lower() not in FILES else path.resolve().parent.name
    return f"{slug(of)}-{slug(target)}"


def _tree(
    path: Path, target: str, kind: str, positive: tuple[str, str, str] | None, columns: CommentedMap, rows: int
) -> CommentedMap:
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.scalarstring import SingleQuotedScalarString

    table_name = slug(path.stem)
    aim: str | CommentedMap = target
    if positive:
        chosen, other, why = positive
        aim = CommentedMap(column=target, positive=SingleQuotedScalarString(chosen))
        beside(
            aim, "positive", f"the class whose probability is predicted, chosen {why}; write {other!r} for the other"
        )
    problem = CommentedMap(
        name=_named(path, target), kind=kind, table=table_name, target=aim, metric=find_kind(kind).decisive[0]
    )
    beside(problem, "kind", " | ".join(kind_names()))
    beside(problem, "metric", f"what tuning and the choice of a family go by: {', '.join(find_kind(kind).decisive)}")
    table = CommentedMap(source=source_text(path), columns=columns)
    beside(
        table,
        "columns",
        "name: numeric, categorical, boolean, datetime, text or ignore; or {kind, nullable, min, max, allowed, format, missing, case, spellings}",
    )
    data = CommentedMap(max_quarantined=0.05, tables=CommentedMap({table_name: table}))
    beside(data, "max_quarantined", "a larger share of bad rows stops the run")
    linear = ("linear" if "linear" in family_names() else "ridge") if not find_kind(kind).output.classes else "logistic"
    tuning = CommentedMap(trials=6, seconds=20)
    beside(tuning, "seconds", "per family without its own; whichever comes first")
    if rows > LARGE:
        tuning["rows"] = LARGE
        beside(tuning, "rows", "tune on this many rows; the final fit uses all")
    tree = CommentedMap(
        seed=42,
        problem=problem,
        data=data,
        features=CommentedMap(columns="auto"),
        split=CommentedMap(kind="random", valid=0.2, test=0.2),
        models=CommentedMap(
            {linear: CommentedMap(trials=1 if linear == "linear" else 6), "auto": CommentedMap(seconds=60)}
        ),
        tuning=tuning,
    )
    beside(tree["features"], "columns", "all columns but the target and the ignored ones")
    beside(tree["models"], "auto", "tries many families within its seconds, and mixes the best")
    for family in tree["models"].values():
        family.fa.set_flow_style()
    if find_kind(kind).positive is not None:
        tree["training"] = CommentedMap(threshold="best_f1")
        beside(tree["training"], "threshold", "the decision: half | best_f1 | cost | precision")
    else:
        tree["training"] = CommentedMap(device="auto")
        beside(tree["training"], "device", "auto | cpu | cuda")
    tree["evaluation"] = CommentedMap(explain=True)
    beside(tree["evaluation"], "explain", "SHAP values and partial dependence of the chosen model")
    tree["promotion"] = CommentedMap(rule="superiority", alpha=0.05)
    beside(tree["promotion"], "alpha", "a new model must be better at this level of error")
    tree["serving"] = CommentedMap(host="127.0.0.1", port=3000)
    tree["monitoring"] = CommentedMap(alarm="tell")
    beside(tree["monitoring"], "alarm", "tell | exit: a run that finds drift ends with exit status 3")
    tree.yaml_set_start_comment(
        f"Written by `refit init` from {plain(path.name)}: {rows:,} rows, to predict {target!r}. Everything may be edited.\n"
    )
    return tree
