"""A table's contract as a Great Expectations suite: derived from the declared schema and a first profile.

Each expectation's ``meta.level`` says what a failure does: ``row`` moves the rows that break it to
quarantine, ``set`` stops the run. The suite is data (GX's own JSON form); GX itself is met only in
:mod:`tasks.validate.gx`.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.artifacts.folders import EXPECTATIONS
from tasks.errors import RefitError, some
from tasks.files import read_json
from tasks.params import Column, Moment, Problem, Table
from tasks.stored import Frame

SLACK = 0.1  # how much the share of missing values may grow over the first profile
REMEDY = "Run `python -m tasks.validate --write-suite` and commit the result."
Suite = dict[str, Any]
Expectation = dict[str, Any]


def _expect(kind: str, level: str, **kwargs: Any) -> Expectation:
    return {"type": f"expect_{kind}", "kwargs": kwargs, "meta": {"level": level}}


def derive(name: str, table: Table, problem: Problem, profile: Frame) -> Suite:
    """The suite of a table: row rules from its schema, set rules from the rows of ``profile``.

    An outcome column is never required to be filled: it is empty until it is known.
    """
    columns = {c: spec for c, spec in table.given.items() if spec.kind != "ignore"}
    timed = table.received or (problem.prediction_time if name == problem.table else table.row_known) is not None
    rules = [
        _expect("table_columns_to_match_set", "set", column_set=list(columns), exact_match=False),
        # With `as_of` the rows grow from run to run; without it, half the file missing is a fault.
        _expect("table_row_count_to_be_between", "set", min_value=_least_rows(len(profile), timed)),
    ]
    for column, spec in columns.items():
        rules += _column_rules(column, spec, _required(column, name, table, problem), profile[column])
    if table.key:
        rules.append(_unique(table.key))
    rules += _known_after_event(table)
    suite: Suite = {"name": name, "expectations": rules, "meta": {}}
    suite["meta"]["schema"] = _digest(_row_rules(suite))  # to notice a schema that changed since
    return suite


def of_schema(suite: Suite) -> Suite:
    """The suite without what was derived from a profile: for rows that are held against a baseline."""
    rules = [r for r in suite["expectations"] if r["meta"]["level"] == "row" or "columns_to_match" in r["type"]]
    return {**suite, "expectations": rules}


def _least_rows(count: int, timed: bool) -> int:
    return max(1, count // 100 if timed else count // 2)


def _required(column: str, name: str, table: Table, problem: Problem) -> bool:
    """Whether every row needs a value: not nullable, part of the key, or the moment of prediction."""
    moments = {problem.prediction_time.column} if name == problem.table and problem.prediction_time else set()
    return column not in table.outcome and (
        not table.columns[column].nullable or column in table.key or column in moments
    )


def _column_rules(column: str, spec: Column, required: bool, values: pd.Series) -> list[Expectation]:
    rules = []
    if required:
        rules.append(_expect("column_values_to_not_be_null", "row", column=column))
    else:
        share = float(values.notna().mean())
        least = max(0.0, math.floor((share - SLACK) * 100) / 100)
        if least > 0:
            kind = "column_proportion_of_non_null_values_to_be_between"
            rules.append(_expect(kind, "set", column=column, min_value=least))
    if spec.min is not None or spec.max is not None:
        bounds = {k: v for k, v in (("min_value", spec.min), ("max_value", spec.max)) if v is not None}
        rules.append(_expect("column_values_to_be_between", "row", column=column, **bounds))
    if spec.allowed is not None:
        rules.append(_expect("column_values_to_be_in_set", "row", column=column, value_set=list(spec.allowed)))
    elif spec.kind == "categorical":
        # Ten times the categories means another column came, or free text.
        most = 10 * max(int(values.nunique()), 1)
        rules.append(_expect("column_unique_value_count_to_be_between", "set", column=column, max_value=most))
    return rules


def _unique(key: tuple[str, ...]) -> Expectation:
    if len(key) == 1:
        return _expect("column_values_to_be_unique", "row", column=key[0])
    return _expect("compound_columns_to_be_unique", "row", column_list=list(key), ignore_row_if="any_value_is_missing")


def moment_name(when: Moment) -> str:
    """Name of the checked column: the column itself, or with its offset (``arrived_at+3600s``).

    >>> moment_name(Moment.model_validate("arrived_at + 1h"))
    'arrived_at+3600s'
    """
    return f"{when.column}{when.offset_micros / 1e6:+g}s" if when.offset_micros else when.column


def _known_after_event(table: Table) -> list[Expectation]:
    known, event = table.known_at, table.event_time
    if known is None or event is None:
        return []
    if known.column == event.column and known.offset_micros >= event.offset_micros:
        return []  # later by definition
    return [
        _expect(
            "column_pair_values_a_to_be_greater_than_b",
            "row",
            column_A=moment_name(known),
            column_B=moment_name(event),
            or_equal=True,
            ignore_row_if="either_value_is_missing",
        )
    ]


def to_json(suite: Suite) -> str:
    """The suite as JSON with one expectation a line, so that a change reads well in git."""
    rules = ",\n".join("    " + json.dumps(rule) for rule in suite["expectations"])
    name, meta = json.dumps(suite["name"]), json.dumps(suite["meta"])
    return f'{{\n  "name": {name},\n  "meta": {meta},\n  "expectations": [\n{rules}\n  ]\n}}\n'


def _row_rules(suite: Suite) -> list[Expectation]:
    return [rule for rule in suite["expectations"] if rule["meta"]["level"] == "row"]


def _digest(rules: list[Expectation]) -> str:
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16]


def subject(rule: Expectation) -> str:
    """What an expectation is about: its column or columns, or ``table``."""
    named = rule["kwargs"]
    if "column_A" in named:
        return f"{named['column_A']}, {named['column_B']}"
    return named.get("column") or ", ".join(named.get("column_list", ())) or "table"


def read(
    name: str, table: Table, problem: Problem, profile: Frame, folder: Path = EXPECTATIONS, whole: bool = True
) -> Suite:
    """The suite in git, or one derived on the spot where there is none.

    ``whole``: that one also has rules for the table as a whole, from the rows of ``profile`` themselves, for want of others.

    Raises
    ------
    RefitError
        If the file is not a suite, or ``params.yaml`` has changed since it was derived.
    """
    fresh = derive(name, table, problem, profile)
    path = folder / f"{name}.json"
    if not path.exists():
        return fresh if whole else of_schema(fresh)
    kept = read_json(path)
    rules = kept.get("expectations") if isinstance(kept, dict) else None
    if not isinstance(rules, list) or not all(isinstance(r, dict) and {"type", "kwargs"} <= r.keys() for r in rules):
        raise RefitError(
            f"{path}: not a suite (a mapping with `expectations`, each with `type` and `kwargs`). {REMEDY}"
        )
    for rule in rules:
        level = rule.setdefault("meta", {}).setdefault("level", "set")
        if level not in ("row", "set"):
            raise RefitError(
                f"{path}: {rule['type']} ({subject(rule)}): meta.level is 'row' or 'set', found {level!r}."
            )
    if kept.get("meta", {}).get("schema") != fresh["meta"]["schema"]:
        mine, theirs = ({(r["type"], subject(r)): r["kwargs"] for r in _row_rules(s)} for s in (kept, fresh))
        changed = sorted({about for kind, about in mine.keys() ^ theirs.keys()} | _differing(mine, theirs))
        raise RefitError(
            f"{path}: derived from another schema of {name!r} than params.yaml declares now "
            f"(differs: {some(changed)}). {REMEDY}"
        )
    return kept


def _differing(mine: dict[tuple[str, str], Any], theirs: dict[tuple[str, str], Any]) -> set[str]:
    return {about for (kind, about), rule in mine.items() if theirs.get((kind, about), rule) != rule}
