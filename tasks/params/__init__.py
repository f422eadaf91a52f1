"""Typed parameters: the only reader of ``params.yaml``.

:func:`load` parses once and returns a frozen :class:`Params`. Every mistake in the file is
collected and raised as one :class:`~tasks.errors.RefitError` that names, for each: the line, the
key's path, what was found, what is allowed and, for a misspelt key or name, the nearest valid one. The sections stand
in modules by subject; what they share is in :mod:`tasks.params.base`.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from tasks.crosscheck import mistakes
from tasks.errors import RefitError, some
from tasks.explain import explain
from tasks.implied import complete
from tasks.listed import family_names
from tasks.params.base import Moment, StrictModel, parse_moment, refuse
from tasks.params.data import JOURNAL, Column, ColumnKind, Data, Files, Query, Table, by_column
from tasks.params.features import Encode, Features, History, Polynomial, Select
from tasks.params.models import Evaluation, FamilyParams, Split, Training, Tuning
from tasks.params.operation import WHEN_STALE, Limits, Monitoring, Notify, Orchestration, Serving
from tasks.params.problem import MEASURES, Problem, Target
from tasks.params.promotion import Guardrails, Promotion
from tasks.values.durations import Duration

__all__ = [
    "JOURNAL", "MEASURES", "START", "WHEN_STALE", "Column", "ColumnKind", "Duration", "Encode", "FamilyParams", "Features", "Files",
    "Guardrails", "History", "Limits", "Moment", "Params", "Polynomial", "Problem", "Promotion", "Query", "Select", "Split", "Table",
    "Target", "Training", "Tuning", "at_start", "by_column", "load", "loads", "parse", "parse_moment",
]  # fmt: skip

# In the environment of a run's stages: the folder that holds these files as the run began with them.
START = "REFIT_START"
AT_START = {"params.yaml": "params.yaml", "dvc.yaml": "dag.yaml"}  # DVC would take a second dvc.yaml for another DAG


class Params(StrictModel):
    """All of ``params.yaml``."""

    seed: int = Field(default=42, ge=0, lt=2**31, description="every random choice derives from it")
    problem: Problem = Field(description="what is predicted, of which rows, and by which metric")
    data: Data = Field(description="the tables, and up to which moment they count")
    features: Features = Field(default=Features(), description="what features are made of, and what becomes of them")
    split: Split = Field(default=Split(), description="how rows are divided into training, validation and test rows")
    models: dict[str, FamilyParams] = Field(
        min_length=1, description="the families to try, each with settings of its own where you like"
    )
    tuning: Tuning = Field(default=Tuning(), description="how parameters are searched, and within what budget")
    training: Training = Field(
        default=Training(), description="how the chosen parameters are fitted, calibrated, mixed and made smaller"
    )
    evaluation: Evaluation = Field(default=Evaluation(), description="what is looked at besides the metrics")
    promotion: Promotion = Field(default=Promotion(), description="by which evidence a challenger becomes champion")
    serving: Serving = Field(default=Serving(), description="where the service listens, and what it does at its limits")
    monitoring: Monitoring = Field(default=Monitoring(), description="what drift looks at, and when it raises an alarm")
    notify: Notify = Field(default=Notify(), description="who is told of failures, verdicts and alarms, and how")
    orchestration: Orchestration = Field(
        default=Orchestration(), description="how stages are run: how often again, how many at once, and where"
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_sections(cls, value: object) -> object:
        """A section that is present but empty (``logistic:``) means its defaults."""
        if not isinstance(value, dict):
            return value
        value = {k: v for k, v in value.items() if v is not None}
        if isinstance(value.get("models"), dict):
            value["models"] = {k: {} if v is None else v for k, v in value["models"].items()}
        return value

    @model_validator(mode="after")
    def _across(self) -> Params:
        complete(self)
        table = self.data.tables.get(self.problem.table)
        if self.split.kind == "time" and not self.problem.prediction_time and table and table.moment:
            timed = self.problem.model_copy(update={"prediction_time": table.moment})
            object.__setattr__(self, "problem", timed)
        wrong = mistakes(self, family_names())
        refuse(wrong, "\n".join(wrong))
        return self


def parse(tree: object, source: str = "params.yaml") -> Params:
    """Check a parsed YAML tree. Raises :class:`RefitError` with every mistake, one a line."""
    if not isinstance(tree, dict):
        raise RefitError(f"{source}: expected a mapping with the sections {some(Params.model_fields, 20)}")
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise RefitError(explain(error, tree, source, Params)) from None


def at_start(name: str) -> Path:
    """Where ``params.yaml`` or ``dvc.yaml`` is to be read: as the run began with it, else in the working directory."""
    folder = os.environ.get(START)
    return Path(folder, AT_START[name]) if folder else Path(name)


def load(path: str | Path | None = None) -> Params:
    """Read and check ``params.yaml``; by default the run's own (:func:`at_start`).

    Raises
    ------
    RefitError
        If the file is missing, is not YAML, or holds a mistake; all mistakes are listed.
    """
    shown = Path("params.yaml" if path is None else path)
    try:
        text = (at_start("params.yaml") if path is None else shown).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RefitError(f"{shown}: no such file. Run `refit init --data FILE --target COLUMN` to write one.") from None
    except UnicodeDecodeError:
        raise RefitError(f"{shown}: not UTF-8. Save it as UTF-8.") from None
    return loads(text, str(shown))


@lru_cache(maxsize=4)  # a run comes by its text several times
def loads(text: str, path: str) -> Params:
    """Check the text of a ``params.yaml``; ``path`` is what messages call it. Raises :class:`RefitError` as :func:`load`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        tree = YAML(typ="rt").load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = str(getattr(error, "problem", error))
        tabs = ". Indent by spaces: YAML takes no tabs" if "\\t" in problem else ""
        raise RefitError(f"{path}{at}: not valid YAML: {problem}{tabs}") from None
    return parse(tree, path)
