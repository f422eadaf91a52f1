"""Typed parameters: the only reader of ``params.yaml``.

:func:`load` parses once and returns a frozen :class:`Params`. Every mistake in the file is
collected and raised as one :class:`~tasks.errors.RefitError` that names, for each: the line, the
key's path, what was found, what is allowed and, for a misspelt key or name, the nearest valid one.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tasks.errors import RefitError, nearest, some

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
COLUMN_KINDS = ("numeric", "categorical", "boolean", "datetime", "text", "ignore")
METRICS = {
    "binary": ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1"),
    "multiclass": ("log_loss", "accuracy", "f1_macro", "roc_auc_ovr"),
    "regression": ("rmse", "mae", "r2", "mape"),
}


@cache
def family_names() -> tuple[str, ...]:
    """Names of the model families: one module each in ``tasks/families/`` (listed, not imported)."""
    here = Path(__file__).parent / "families"
    return tuple(sorted(p.stem for p in here.glob("*.py") if not p.stem.startswith("_")))


class Duration(str):
    """A length of time written as a number and a unit: ``30s``, ``15m``, ``3h``, ``7d``, ``4w``.

    >>> Duration("3h").delta
    datetime.timedelta(seconds=10800)
    """

    @property
    def delta(self) -> timedelta:
        return timedelta(seconds=float(self[:-1]) * UNITS[self[-1]])

    @property
    def micros(self) -> int:
        """The same in whole microseconds."""
        return round(float(self[:-1]) * UNITS[self[-1]] * 1_000_000)


def _duration(value: Any) -> Duration:
    if not re.fullmatch(r"\d+(\.\d+)?[smhdw]", str(value)):
        raise ValueError("a duration is a number and one of s, m, h, d, w, as in 3h or 28d")
    if float(str(value)[:-1]) == 0:
        raise ValueError("a duration must be longer than nothing")
    return Duration(value)


def _window(value: Any) -> str:
    if value == "all" or re.fullmatch(r"last [1-9]\d*", str(value)):
        return str(value)
    try:
        return _duration(value)
    except ValueError:
        raise ValueError("a window is a duration (3h, 7d), 'all', or a number of events as in 'last 5'") from None


DurationField = Annotated[Duration, BeforeValidator(_duration)]
WindowField = Annotated[str, BeforeValidator(_window)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Moment(_Strict):
    """A column with times, plus an offset. Written ``column``, ``column - 2h`` or ``column + 1d``."""

    column: str
    offset_micros: int = 0

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = re.fullmatch(r"\s*(\S+?)\s*(?:([+-])\s*(\d+(?:\.\d+)?[smhdw]))?\s*", value)
        if not found:
            raise ValueError("a moment is a column, or a column plus or minus a duration, as in 'departs_at - 2h'")
        column, sign, span = found.groups()
        micros = _duration(span).micros if span else 0
        return {"column": column, "offset_micros": -micros if sign == "-" else micros}


class Target(_Strict):
    """What is predicted: a column as it is, or a column compared with a number (``above``)."""

    column: str
    above: float | None = Field(None, description="binary target: 1 where the column is greater than this")
    name: str = Field("", description="name of the derived column; the column's own name unless `above` is set")
    positive: str | int | float | bool | None = Field(None, description="binary: the value that counts as 1")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _name(self) -> Target:
        if not self.name:
            object.__setattr__(self, "name", self.column if self.above is None else f"{self.column}_above")
        if self.above is not None and self.name == self.column:
            raise ValueError("with `above`, `name` must differ from `column`")
        return self


class Problem(_Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    kind: Literal["binary", "multiclass", "regression"]
    table: str
    target: Target
    prediction_time: Moment | None = None
    metric: str = ""

    @model_validator(mode="after")
    def _metric(self) -> Problem:
        allowed = METRICS[self.kind]
        if not self.metric:
            object.__setattr__(self, "metric", allowed[0])
        if self.metric not in allowed:
            raise ValueError(
                f"metric {self.metric!r} is not one of {some(allowed)} (kind {self.kind})."
                + nearest(self.metric, allowed)
            )
        if self.target.above is not None and self.kind != "binary":
            raise ValueError(f"target.above makes a binary target, and kind is {self.kind!r}; set kind: binary")
        return self

    @property
    def greater_is_better(self) -> bool:
        return self.metric not in ("log_loss", "brier", "rmse", "mae", "mape")


class Column(_Strict):
    kind: Literal["numeric", "categorical", "boolean", "datetime", "text", "ignore"]
    nullable: bool = True
    min: float | None = None
    max: float | None = None
    allowed: tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value


class Table(_Strict):
    source: str
    key: tuple[str, ...] = ()
    columns: dict[str, Column] = Field(min_length=1)
    event_time: Moment | None = None
    known_at: Moment | None = None
    outcome: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _columns(self) -> Table:
        named = {"key": self.key, "outcome": self.outcome}
        named["event_time"] = (self.event_time.column,) if self.event_time else ()
        named["known_at"] = (self.known_at.column,) if self.known_at else ()
        for field, columns in named.items():
            for column in columns:
                if column not in self.columns:
                    raise ValueError(
                        f"{field}: {column!r} is not among this table's columns." + nearest(column, self.columns)
                    )
        for field in ("event_time", "known_at"):
            for column in named[field]:
                if self.columns[column].kind != "datetime":
                    raise ValueError(f"{field}: column {column!r} must be of kind datetime")
        if self.known_at and not self.event_time:
            raise ValueError("known_at needs event_time: when the fact happened, as well as when it became known")
        return self


def parse_moment(value: Any) -> datetime:
    """Read an ``as_of``: a date means the end of that day; without a zone it is UTC.

    >>> parse_moment("2013-11-30").isoformat()
    '2013-11-30T23:59:59.999999+00:00'
    """
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("a moment is a date or an ISO time, as in 2013-10-31 or 2013-10-31T18:00:00Z") from None
        if not isinstance(value, datetime):
            value = datetime.combine(value, time.max)
    if not isinstance(value, datetime):
        raise ValueError('a moment is a date or an ISO time in quotes, as in "2013-10-31"')
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


AsOf = Annotated[datetime, BeforeValidator(parse_moment)]


class Data(_Strict):
    as_of: AsOf | None = None
    tables: dict[str, Table] = Field(min_length=1)
    max_quarantined: float = Field(0.05, ge=0, le=1, description="share of rows above which validation stops the run")


class Lookup(_Strict):
    """Columns of another table's row with the same key, the newest one known before the prediction time."""

    table: str
    on: dict[str, str] = Field(min_length=1)
    columns: tuple[str, ...] = Field(min_length=1)
    within: DurationField | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("on"), str):
            value = {**value, "on": {value["on"]: value["on"]}}
        elif isinstance(value, dict) and isinstance(value.get("on"), list):
            value = {**value, "on": {c: c for c in value["on"]}}
        return value


class History(_Strict):
    """Aggregates of a table's earlier events that share a key with the row and were known before its prediction time."""

    table: str
    by: tuple[tuple[str, ...], ...] = Field(min_length=1)
    windows: tuple[WindowField, ...] = Field(min_length=1)
    count: bool = True
    columns: dict[str, tuple[str, ...]] = {}

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("by"), list):
            value = {**value, "by": [[k] if isinstance(k, str) else k for k in value["by"]]}
        return value


class Polynomial(_Strict):
    columns: tuple[str, ...] = ()
    degree: int = Field(2, ge=2, le=4)
    interaction_only: bool = False


class Features(_Strict):
    columns: tuple[str, ...] | Literal["auto"] = "auto"
    dates: dict[str, tuple[str, ...]] = {}
    lookups: tuple[Lookup, ...] = ()
    history: tuple[History, ...] = ()
    transforms: dict[str, str] = Field({}, description="name: expression over features, as in a - b, a / b, log(a)")
    polynomial: Polynomial | None = None
    select: dict[str, Any] = {}
    engine: Literal["local", "spark"] = "local"


class Split(_Strict):
    kind: Literal["time", "random"] = "random"
    valid: DurationField | float = 0.2
    test: DurationField | float = 0.2

    @model_validator(mode="after")
    def _sizes(self) -> Split:
        for name in ("valid", "test"):
            value = getattr(self, name)
            if self.kind == "time" and not isinstance(value, Duration):
                raise ValueError(f"{name}: a time split needs a duration such as 30d, found {value!r}")
            if self.kind == "random" and (isinstance(value, Duration) or not 0 < float(value) < 0.5):
                raise ValueError(f"{name}: a random split needs a share between 0 and 0.5, found {value!r}")
        return self


class Family(_Strict):
    """One model family: overrides of the tuning budget, fixed parameters, and search space."""

    trials: int | None = Field(None, ge=1)
    seconds: float | None = Field(None, gt=0)
    params: dict[str, Any] = {}
    space: dict[str, Any] = {}


class Tuning(_Strict):
    sampler: Literal["grid", "random", "tpe", "gp", "nsga2", "cmaes", "hill_climbing", "pbt", "strategies"] = "tpe"
    pruner: Literal["none", "median", "halving", "hyperband"] = "none"
    trials: int = Field(20, ge=1)
    seconds: float = Field(60, gt=0, description="per family")
    rows: int | None = Field(None, ge=100, description="tune on this many of the newest training rows")
    warm_start: bool = True


class Training(_Strict):
    imbalance: Literal["none", "class_weight", "smote", "adasyn", "under_sample", "smote_tomek"] = "none"
    calibration: Literal["none", "sigmoid", "isotonic", "temperature"] = "none"
    threshold: Literal["half", "best_f1", "cost", "precision"] = "best_f1"
    cost: tuple[float, float] = Field((1.0, 1.0), description="cost of a false positive, of a false negative")
    precision: float = Field(0.5, gt=0, lt=1)
    ensembles: tuple[Literal["voting", "blending", "stacking", "greedy"], ...] = ()
    device: Literal["auto", "cpu", "cuda"] = "auto"


class Promotion(_Strict):
    rule: Literal["superiority", "non_inferiority"] = "superiority"
    alpha: float = Field(0.05, gt=0, lt=0.5)
    margin: float = Field(0.0, ge=0, lt=1, description="non_inferiority: how much worse is still acceptable")
    control: Literal["anytime", "each_run"] = "anytime"
    error: Literal["familywise", "fdr"] = "familywise"
    approval: bool = Field(False, description="wait for a person in the Prefect UI before promoting")
    guardrails: dict[str, float] = {}


class Serving(_Strict):
    host: str = "127.0.0.1"
    port: int = Field(3000, ge=1, le=65535)
    workers: int = Field(1, ge=1)


class Monitoring(_Strict):
    window: DurationField | None = None
    drift_share: float = Field(0.5, gt=0, le=1, description="share of drifted columns that counts as drift of the table")


class Orchestration(_Strict):
    retries: int = Field(1, ge=0)
    retry_seconds: float = Field(2, ge=0)
    parallel: int = Field(2, ge=1, description="stages that may run at once")
    pools: dict[str, str] = {}
    no_gpu: Literal["cpu", "wait"] = "cpu"


class Params(_Strict):
    """All of ``params.yaml``."""

    seed: int = Field(42, ge=0, lt=2**31)
    problem: Problem
    data: Data
    features: Features = Features()
    split: Split = Split()
    models: dict[str, Family] = Field(min_length=1)
    tuning: Tuning = Tuning()
    training: Training = Training()
    promotion: Promotion = Promotion()
    serving: Serving = Serving()
    monitoring: Monitoring = Monitoring()
    orchestration: Orchestration = Orchestration()

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, value: Any) -> Any:
        """A section that is present but empty (``logistic:``) means its defaults."""
        if not isinstance(value, dict):
            return value
        value = {k: v for k, v in value.items() if v is not None}
        if isinstance(value.get("models"), dict):
            value["models"] = {k: {} if v is None else v for k, v in value["models"].items()}
        return value

    @model_validator(mode="after")
    def _references(self) -> Params:
        """Check that names which point elsewhere in the file exist there. Collects all mistakes."""
        wrong: list[str] = []

        def known(path: str, name: str, allowed: Any) -> bool:
            if name not in allowed:
                wrong.append(f"{path}: {name!r} is not one of {some(allowed)}." + nearest(name, allowed))
            return name in allowed

        tables, problem = self.data.tables, self.problem
        target_name = problem.target.name
        for family in self.models:
            known("models", family, family_names())
        if known("problem.table", problem.table, tables):
            table = tables[problem.table]
            known("problem.target.column", problem.target.column, table.columns)
            if problem.prediction_time and known(
                "problem.prediction_time", problem.prediction_time.column, table.columns
            ):
                if table.columns[problem.prediction_time.column].kind != "datetime":
                    wrong.append(f"problem.prediction_time: column {problem.prediction_time.column!r} is not a datetime")
            if problem.prediction_time and table.known_at and problem.target.column not in table.outcome:
                wrong.append(
                    f"data.tables.{problem.table}.outcome: the target {problem.target.column!r} must be listed, "
                    "since it is known only later"
                )
            if target_name != problem.target.column and target_name in table.columns:
                wrong.append(f"problem.target.name: {target_name!r} is already a column of {problem.table!r}")
            for column in self.features.dates:
                known("features.dates", column, table.columns)
            if self.features.columns != "auto":
                for column in self.features.columns:
                    if known("features.columns", column, table.columns) and column in (
                        *table.outcome,
                        problem.target.column,
                    ):
                        wrong.append(f"features.columns: {column!r} is an outcome of the row itself, and would leak")
        if self.split.kind == "time" and not problem.prediction_time:
            wrong.append("split.kind: 'time' needs problem.prediction_time; set it, or use kind: random")
        for i, look in enumerate(self.features.lookups):
            if known(f"features.lookups[{i}].table", look.table, tables):
                for column in look.columns:
                    known(f"features.lookups[{i}].columns", column, tables[look.table].columns)
                for here, there in look.on.items():
                    known(f"features.lookups[{i}].on", there, tables[look.table].columns)
                    if problem.table in tables:
                        known(f"features.lookups[{i}].on", here, tables[problem.table].columns)
        for i, past in enumerate(self.features.history):
            path = f"features.history[{i}]"
            if not known(f"{path}.table", past.table, tables):
                continue
            table = tables[past.table]
            columns = set(table.columns) | ({target_name} if past.table == problem.table else set())
            for column in past.columns:
                known(f"{path}.columns", column, columns)
            for key in past.by:
                for column in key:
                    known(f"{path}.by", column, table.columns)
            if not table.event_time:
                wrong.append(f"{path}.windows: table {past.table!r} has no event_time, so it has no windows")
            if not problem.prediction_time:
                wrong.append(f"{path}: history needs problem.prediction_time, the moment before which events count")
        if wrong:
            raise ValueError("\n".join(wrong))
        return self


def _allowed_keys(loc: tuple[Any, ...]) -> list[str]:
    """Names of the fields allowed at the parent of ``loc``, for a suggestion."""
    model: Any = Params
    for part in loc[:-1]:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        model = _inner(field.annotation)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _inner(annotation: Any) -> Any:
    """The model inside ``X | None``, ``dict[str, X]`` or ``tuple[X, ...]``, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _inner(part)
        if found is not None:
            return found
    return None


def _path(loc: tuple[Any, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _line(tree: Any, loc: tuple[Any, ...]) -> int | None:
    """Line of ``loc`` in the parsed YAML (counted from 1), or of its nearest parent that has one."""
    line = None
    for part in loc:
        lc = getattr(tree, "lc", None)
        try:
            line = (lc.key(part) if hasattr(tree, "keys") else lc.item(part))[0] + 1
            tree = tree[part]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return line


def _explain(error: ValidationError, tree: Any, source: str) -> str:
    lines = []
    for item in error.errors(include_url=False):
        loc = tuple(p for p in item["loc"] if isinstance(p, int) or not str(p).startswith(("function-", "constrained")))
        where = _line(tree, loc)
        at = f"{source}:{where}: " if where else f"{source}: "
        path = _path(loc)
        if item["type"] == "extra_forbidden":
            allowed = _allowed_keys(loc)
            hint = nearest(str(loc[-1]), allowed) or (f" Allowed: {some(allowed, 20)}." if allowed else "")
            lines.append(f"{at}{path}: unknown key.{hint}")
        elif item["type"] == "missing":
            lines.append(f"{at}{path}: missing; add it.")
        else:
            text = item["msg"].removeprefix("Value error, ")
            if not path:  # cross-checks carry their own paths, one a line
                lines += [f"{source}: {line}" for line in text.split("\n")]
            else:
                found = repr(item.get("input"))
                found = found if len(found) <= 80 else found[:77] + "..."
                lines.append(f"{at}{path}: {text}; found {found}.")
    return "\n".join(dict.fromkeys(lines))


def parse(tree: Any, source: str = "params.yaml") -> Params:
    """Check a parsed YAML tree. Raises :class:`RefitError` with every mistake, one a line."""
    if not isinstance(tree, dict):
        raise RefitError(f"{source}: expected a mapping with the sections {some(Params.model_fields, 20)}")
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise RefitError(_explain(error, tree, source)) from None


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check ``params.yaml``.

    Raises
    ------
    RefitError
        If the file is missing, is not YAML, or holds a mistake; all mistakes are listed.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RefitError(f"{path}: no such file. Run `refit init --data FILE --target COLUMN` to write one.") from None
    except UnicodeDecodeError:
        raise RefitError(f"{path}: not UTF-8. Save it as UTF-8.") from None
    try:
        tree = YAML(typ="rt").load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise RefitError(f"{path}{at}: not valid YAML: {getattr(error, 'problem', error)}") from None
    return parse(tree, str(path))
