"""A first ``params.yaml`` for one file: the kinds of its columns, the kind of problem, and sensible models."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.errors import RefitError, nearest, some
from tasks.params import METRICS, family_names, parse
from tasks.profile.dates import form_of
from tasks.profile.division import SALTS, best_salt, groups, names_rows, twins
from tasks.profile.kinds import coerce
from tasks.profile.learnable import check_target
from tasks.profile.moment import Moment, calendar, choose
from tasks.profile.reading import read_columns
from tasks.values.classes import choose as choose_class

if TYPE_CHECKING:
    import pyarrow as pa
    from ruamel.yaml.comments import CommentedMap

READABLE = 0.95  # a kind fits a column if at least this share of its values can be read so
FEW_CLASSES = 20  # whole numbers with at most this many values are classes, if each is frequent enough
WORDS = 4  # text has at least this many words on average; less is a category
SPREAD = 0.9  # a category of which more than this share of values differ is an identifier
LARGE = 60_000  # tune on this many rows at most
ID_NAME = r"(?i:(^|[_\W])(id|key|uuid|index)$)|[a-z](Id|ID)$"
BOOLEANS = ({"true", "false"}, {"yes", "no"}, {"t", "f"}, {"y", "n"})


def infer(
    path: str | Path, target: str, ask: Callable[[CommentedMap], None] | None = None, given: pa.Table | None = None
) -> CommentedMap:
    """The tree of a ``params.yaml`` that predicts ``target`` from the other columns of a CSV or Parquet file.

    Comments in the tree say why a column is ignored and what a section is for; see :func:`to_yaml`. ``ask`` may change
    the columns of the tree before rows are divided at random, which goes by the columns that are left. ``given``: the
    columns, where ``path`` is no single file.

    Raises
    ------
    RefitError
        If the file cannot be read, or the target is missing from it or cannot be learned.
    """
    from ruamel.yaml.comments import CommentedMap

    table = read_columns(path) if given is None else given
    if target not in table.column_names:
        raise RefitError(
            f"{path}: has no column {target!r} to predict.{nearest(target, table.column_names)} "
            f"Its columns are {some(table.column_names, 20)}."
        )
    kind, target_kind, classes = infer_problem(table[target], f"{path}: the target {target!r}")
    specs: dict[str, Any] = {target: target_kind}
    remarks: dict[str, list[str]] = {target: ["the target"]}
    for name in table.column_names:
        if name != target:
            specs[name], why = infer_kind(name, table[name])
            remarks[name] = [why] if why else []
    read = {name: _read(table[name], spec) for name, spec in specs.items() if spec != "ignore"}
    moment = choose({name: read[name] for name, spec in specs.items() if name != target and _kind(spec) == "datetime"})
    for name, why in moment.later.items():
        specs[name] = "ignore"
        remarks[name].append(f"{why}, so perhaps not known yet by then; declare it datetime if it was")
    key = _key(table, specs, remarks, target)
    columns = CommentedMap()
    for name in table.column_names:
        columns[name] = _flow(specs[name])
        if remarks[name]:
            columns.yaml_add_eol_comment("; ".join(remarks[name]), name)
    if all(spec == "ignore" for name, spec in columns.items() if name not in (target, key)):
        raise RefitError(
            f"{path}: no column is left to predict {target!r} from: all others are constant, empty or ids."
        )
    tree = _tree(Path(path), target, kind, _positive(read[target], classes), columns, table.num_rows)
    if key:
        tree["data"]["tables"][tree["problem"]["table"]].insert(1, "key", _flow_list([key]))
    if moment.column:
        _split_by_time(tree, moment)
    if ask:  # what it takes out is no input, and so does not say who a row is
        ask(tree)
    if not moment.column:
        _divide(tree, table, _no_moment(moment, table.column_names))
    return tree


def _no_moment(moment: Moment, names: Iterable[str]) -> str:
    """Why rows are divided at random."""
    pieces = calendar(names)
    if not pieces or moment.not_taken:
        return moment.why
    return f"no single column says when a row happened ({', '.join(pieces)} joined to a date would allow kind: time)"


def _kind(spec: Any) -> str:
    return spec if isinstance(spec, str) else str(spec["kind"])


def _declared(spec: Any) -> Any:
    """How a column is read for a look at its groups: an ignored one by its levels."""
    return "categorical" if spec == "ignore" else spec


def _flow(spec: Any) -> Any:
    from ruamel.yaml.comments import CommentedMap

    if isinstance(spec, str):
        return spec
    made = CommentedMap(spec)
    made.fa.set_flow_style()
    return made


def _read(column: pa.ChunkedArray, spec: Any) -> pd.Series:
    """A column as later stages have it."""
    return coerce(column, _kind(spec), spec.get("format", "iso") if isinstance(spec, dict) else "iso").values


def _key(table: pa.Table, specs: dict[str, Any], remarks: dict[str, list[str]], target: str) -> str:
    """The column that names each row; declared, and so no longer ignored. Empty: there is none."""
    for name in table.column_names:
        if name == target or specs[name] not in ("ignore", "numeric", "categorical") or not names_rows(name):
            continue
        values = coerce(table[name], "categorical").values
        if values.notna().all() and values.is_unique:
            numbers = coerce(table[name], "numeric")
            whole = numbers.problems.empty and not values.str.match(r"0\d").any()
            specs[name] = "numeric" if whole else "categorical"
            remarks[name] = ["the row's key, so no feature"]
            return name
    return ""


def _positive(labels: pd.Series, classes: list[str]) -> tuple[str, str, str] | None:
    """The positive class, the other one, and why; None unless there are two."""
    if len(classes) != 2:
        return None
    positive, why = choose_class({str(name): int(n) for name, n in labels.value_counts().items()})
    return positive, next(name for name in classes if name != positive), why


def _split_by_time(tree: CommentedMap, moment: Moment) -> None:
    """Newest rows test: the prediction time, the event's time and the split, each with its reason."""
    from ruamel.yaml.comments import CommentedMap

    problem = tree["problem"]
    problem.insert(list(problem).index("metric"), "prediction_time", moment.column)
    problem.yaml_add_eol_comment(
        "a feature may use only what was known by then; `column - 2h` is earlier", "prediction_time"
    )
    table = tree["data"]["tables"][problem["table"]]
    table.insert(1 + ("key" in table), "event_time", moment.column)
    table.yaml_add_eol_comment("and known_at, with outcome, where the target is known only later", "event_time")
    split = CommentedMap(kind="time", test=0.2, valid=0.2)
    split.yaml_add_eol_comment(
        f"{moment.why}: the newest rows test, as the model will meet newer rows too; a random split flatters", "kind"
    )
    split.yaml_add_eol_comment("the newest fifth of the rows; or a duration such as 30d", "test")
    tree["split"] = split


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
    frame = pd.DataFrame({name: _read(table[name], _declared(spec)) for name, spec in specs.items()})
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
    split.yaml_add_eol_comment(
        f"{why}, so a row's part follows from its {'key' if keys else 'inputs'}; with times use kind: time", "kind"
    )
    split.yaml_add_eol_comment(f"of {SALTS} the one whose parts are most alike in size and target; keep it", "salt")
    if by:
        split["by"] = _flow_list(by)
        split.yaml_add_eol_comment(f"{found.why}, so they stay together", "by")
        for name in by:
            if specs[name] == "ignore":
                declared["columns"][name] = "categorical"
                declared["columns"].yaml_add_eol_comment("for split.by", name)
    elif found.why:
        named = f"; `by: [{', '.join(found.by)}]` would keep them together" if found.by else ""
        split.yaml_set_comment_before_after_key("salt", before=f"{found.why}{named}", indent=2)


def _flow_list(values: Iterable[str]) -> Any:
    from ruamel.yaml.comments import CommentedSeq

    made = CommentedSeq(values)
    made.fa.set_flow_style()
    return made


def infer_problem(column: pa.ChunkedArray, where: str) -> tuple[str, str, list[str]]:
    """What predicting ``column`` is: the problem's kind, the column's kind, and for classes their names, sorted.

    >>> import pyarrow as pa
    >>> infer_problem(pa.chunked_array([["no", "yes"] * 20]), "the target")
    ('binary', 'categorical', ['no', 'yes'])
    >>> infer_problem(pa.chunked_array([[x / 7 for x in range(50)]]), "the target")[0]
    'regression'
    """
    numbers = coerce(column, "numeric")
    labels = coerce(column, "categorical").values
    different = labels.nunique()
    readable = _readable(column, len(numbers.problems))
    if readable and different > 2 and not _few_classes(numbers.values):
        check_target(numbers.values, "regression", where)
        return "regression", "numeric", []
    kind = "binary" if different <= 2 else "multiclass"
    check_target(labels, kind, where)
    return kind, "categorical", sorted(labels.dropna().unique())


def _few_classes(values: pd.Series) -> bool:
    """Whether numbers are classes: whole, few of them, and ten rows or more for each on average."""
    known = values.dropna()
    different = known.nunique()
    return bool((known == np.floor(known)).all()) and different <= min(FEW_CLASSES, len(known) / 10)


def infer_kind(name: str, column: pa.ChunkedArray) -> tuple[Any, str]:
    """How a feature column is declared (a kind, or a mapping with more), and a remark where it deserves one.

    >>> import pyarrow as pa
    >>> infer_kind("zip", pa.chunked_array([["01219", "01219", "80331"] * 9]))
    ('categorical', 'digits with leading zeros')
    >>> infer_kind("customer_id", pa.chunked_array([list(range(40))]))
    ('ignore', 'counts the rows')
    """
    import pyarrow.types as pt

    texts = coerce(column, "categorical").values
    known = texts.dropna()
    if known.empty:
        return "ignore", "no value at all"
    different = known.nunique()
    if different == 1:
        return "ignore", f"always {known.iloc[0][:40]!r}"
    if pt.is_boolean(column.type) or set(known.str.lower().unique()) in BOOLEANS:
        return "boolean", ""
    form = form_of(name, column)
    if form is not None:
        spec = "datetime" if form.form == "iso" else {"kind": "datetime", "format": form.form}
        faults = _faults(len(coerce(column, "datetime", form.form).problems), "times")
        return spec, "; ".join(filter(None, (faults, form.remark)))
    numbers = coerce(column, "numeric")
    if _readable(column, len(numbers.problems)):
        return _number(name, known, numbers.values, len(numbers.problems))
    if known.str.count(r"\S+").mean() >= WORDS:
        return "text", ""
    if different > SPREAD * len(known) and different > FEW_CLASSES:
        return "ignore", f"{different} different values in {len(known)} rows, as in an id or a name"
    return "categorical", ""


def _number(name: str, known: pd.Series, values: pd.Series, problems: int) -> tuple[str, str]:
    if known.str.match(r"0\d").any() and known.str.fullmatch(r"\d+").all():
        return "categorical", "digits with leading zeros"
    given = values.dropna()
    if bool((given == np.floor(given)).all()) and given.is_unique and len(given) == len(values):
        if bool((np.diff(np.sort(given)) == 1).all()):
            return "ignore", "counts the rows"
        if re.search(ID_NAME, name):
            return "ignore", "every value differs, and by its name it is an id"
    return "numeric", _faults(problems, "numbers")


def _readable(column: pa.ChunkedArray, problems: int) -> bool:
    return problems <= (1 - READABLE) * (len(column) - column.null_count)


def _faults(count: int, what: str) -> str:
    return f"without {count} that are no {what}, whose rows go to quarantine" if count else ""


def _slug(text: str) -> str:
    """Letters, digits, ``_`` and ``-`` of a name; never empty.

    >>> _slug("my data (2).csv"), _slug("---")
    ('my-data-2-csv', 'data')
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-_") or "data"


def _tree(
    path: Path, target: str, kind: str, positive: tuple[str, str, str] | None, columns: CommentedMap, rows: int
) -> CommentedMap:
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.scalarstring import SingleQuotedScalarString

    name = _slug(path.stem)
    whole = Path(os.path.abspath(path))  # a link stays one, to be followed at each run
    source = whole.relative_to(Path.cwd()).as_posix() if whole.is_relative_to(Path.cwd()) else whole.as_posix()
    aim: Any = target
    if positive:
        chosen, other, why = positive
        aim = CommentedMap(column=target, positive=SingleQuotedScalarString(chosen))
        aim.yaml_add_eol_comment(
            f"the class whose probability is predicted, chosen {why}; write {other!r} for the other", "positive"
        )
    problem = CommentedMap(name=f"{name}-{_slug(target)}", kind=kind, table=name, target=aim, metric=METRICS[kind][0])
    problem.yaml_add_eol_comment("binary | multiclass | regression", "kind")
    problem.yaml_add_eol_comment(f"what tuning and the choice of a family go by: {', '.join(METRICS[kind])}", "metric")
    table = CommentedMap(source=source, columns=columns)
    table.yaml_add_eol_comment(
        "name: numeric, categorical, boolean, datetime, text or ignore; or {kind, nullable, min, max, allowed, format}",
        "columns",
    )
    data = CommentedMap(max_quarantined=0.05, tables=CommentedMap({name: table}))
    data.yaml_add_eol_comment("a larger share of bad rows stops the run", "max_quarantined")
    linear = ("linear" if "linear" in family_names() else "ridge") if kind == "regression" else "logistic"
    tuning = CommentedMap(trials=6, seconds=20)
    tuning.yaml_add_eol_comment("per family without its own; whichever comes first", "seconds")
    if rows > LARGE:
        tuning["rows"] = LARGE
        tuning.yaml_add_eol_comment("tune on this many rows; the final fit uses all", "rows")
    tree = CommentedMap(
        seed=42,
        problem=problem,
        data=data,
        features=CommentedMap(columns="auto"),
        split=CommentedMap(kind="random", valid=0.2, test=0.2),
        models=CommentedMap({linear: CommentedMap(), "auto": CommentedMap(seconds=60)}),
        tuning=tuning,
    )
    tree["features"].yaml_add_eol_comment("all columns but the target and the ignored ones", "columns")
    tree["models"].yaml_add_eol_comment("tries many families within its seconds, and mixes the best", "auto")
    for family in tree["models"].values():
        family.fa.set_flow_style()
    if kind == "binary":
        tree["training"] = CommentedMap(threshold="best_f1")
        tree["training"].yaml_add_eol_comment("the decision: half | best_f1 | cost | precision", "threshold")
    tree["promotion"] = CommentedMap(rule="superiority", alpha=0.05)
    tree["promotion"].yaml_add_eol_comment("a new model must be better at this level of error", "alpha")
    tree["serving"] = CommentedMap(host="127.0.0.1", port=3000)
    tree.yaml_set_start_comment(
        f"Written by `refit init` from {path.name}: {rows:,} rows, to predict {target!r}. Everything may be edited.\n"
    )
    return tree


def to_yaml(tree: Mapping[str, Any]) -> str:
    """The text of a ``params.yaml``, with the tree's comments and a blank line between sections."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    yaml.dump(tree, text)
    return re.sub(r"\n(?=[a-z]+:)", "\n\n", text.getvalue())
