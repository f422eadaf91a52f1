"""One table against its contract: rows to keep, rows to reject, and what every expectation found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from pydantic import JsonValue

from tasks.artifacts import RuleResult
from tasks.params import Table
from tasks.stored import Frame
from tasks.validate import gx, known, rows
from tasks.validate.suite import Expectation, Suite, moment_name, subject


@dataclass(frozen=True)
class Checked:
    """What the contract says of one table.

    ``reasons`` counts rows a reason (a row can have several); ``failures`` are the set-level ones, in words.
    """

    rejected: np.ndarray
    why: pd.Series  # a sentence for each rejected row, in order
    reasons: dict[str, int]
    findings: list[RuleResult]
    failures: list[str]


def check(frame: Frame, table: Table, suite: Suite, problems: pd.DataFrame) -> Checked:
    """Run the contract on ``frame`` (in memory, or on disk); ``problems`` are its unreadable values (row by position, column, value, why)."""
    checked = _with_moments(frame, table)
    broken: dict[str, np.ndarray] = {}
    for (column, why), found in problems.groupby(["column", "why"], sort=True):
        broken[f"{column}: {why}"] = _mask(found["row"], len(frame))
    findings, failures = [], []
    for result in gx.by_parts(suite, checked):
        rule = result.rule
        if rule["meta"]["level"] == "set":
            if not result.success:
                failures.append(_failure(suite["name"], result))
        else:
            mask = _mask(result.rows, len(frame))
            if rule["type"] == "expect_column_values_to_not_be_null":
                # A value that could not be read is reported as that, and not as missing too.
                mask = mask & ~_mask(problems.loc[problems["column"] == rule["kwargs"]["column"], "row"], len(frame))
            if mask.any():
                broken[rows.reason(rule)] = mask
        findings.append(_finding(suite["name"], result))
    rejected = np.logical_or.reduce([np.zeros(len(frame), bool), *broken.values()])
    return Checked(
        rejected,
        _sentences(broken, rejected),
        {reason: int(mask.sum()) for reason, mask in broken.items()},
        findings,
        failures,
    )


def too_many(name: str, checked: Checked, most: float) -> str | None:
    """A sentence if a larger share of the rows than ``most`` was rejected."""
    share = float(checked.rejected.mean())
    if share <= most:
        return None
    top = sorted(checked.reasons.items(), key=lambda item: -item[1])[:3]
    return (
        f"{name}: {checked.rejected.sum():,} of {len(checked.rejected):,} rows ({share:.1%}) broke the contract; "
        f"data.max_quarantined allows {most:.1%}. Most often: "
        + "; ".join(f"{reason} ({count:,} rows)" for reason, count in top)
        + f". The rows are in data/quarantine/{name}.parquet."
    )


def _mask(positions: pd.Series | np.ndarray | None, size: int) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[np.asarray(positions, dtype=np.int64)] = True
    return mask


def _with_moments(frame: Frame, table: Table) -> Frame:
    """Add the moments with an offset that a suite may compare, under the names it uses."""
    for when in (table.known_at, table.event_time):
        if when is not None and when.offset_micros:
            made = partial(known.shifted, when.offset_micros)
            frame = known.with_column(frame, moment_name(when), when.column, made)
    return frame


def _sentences(broken: dict[str, np.ndarray], rejected: np.ndarray) -> pd.Series:
    """All reasons of each rejected row, joined by ``; ``."""
    rows_at = np.flatnonzero(rejected)
    sentences = np.full(len(rows_at), "", dtype=object)
    for reason, mask in broken.items():
        hit = mask[rows_at]
        joined = sentences[hit]
        sentences[hit] = np.where(joined == "", reason, joined + ("; " + reason))
    return pd.Series(sentences, dtype="str")


def _finding(name: str, result: gx.Result) -> RuleResult:
    rule = result.rule
    return RuleResult(
        table=name,
        expectation=rule["type"],
        about=subject(rule),
        level=rule["meta"]["level"],
        expected=_expected(rule),
        found=result.found,
        success=result.success,
    )


def _expected(rule: Expectation) -> dict[str, JsonValue]:
    about = ("column", "column_list", "column_A", "column_B", "ignore_row_if")
    return {k: v for k, v in rule["kwargs"].items() if k not in about}


def _failure(name: str, result: gx.Result) -> str:
    expected = ", ".join(f"{k} {v!r}" for k, v in _expected(result.rule).items())
    return f"{name}: {result.rule['type']} ({subject(result.rule)}): expected {expected}; found {result.found!r}"
