"""``python -m tasks.validate``: what was known at ``as_of``, checked; bad rows to ``data/quarantine``.

``--write-suite`` derives the contract from ``params.yaml`` and the rows known now, and writes it to
``data/expectations`` (for git) instead.
"""

from tasks import stage  # isort: skip  (its settings come first)

import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import files
from tasks.errors import RefitError
from tasks.params import Params, Table, load, parse_moment
from tasks.stage import log
from tasks.validate import contract, known, problem, suite

RAW = Path("data/raw")
CONTEXT = Path("data/context/as_of.json")
VALIDATED = Path("data/validated")
QUARANTINE = Path("data/quarantine")


@dataclass(frozen=True)
class Known:
    """The rows of a table known at ``as_of``: their positions in raw, and their unreadable values."""

    frame: pd.DataFrame
    positions: np.ndarray
    problems: pd.DataFrame
    not_yet_known: int


def read_as_of(params: Params) -> datetime | None:
    """The moment of the run: what the effects asked for, else what ``params.yaml`` says."""
    if not CONTEXT.exists():
        return params.data.as_of
    asked = files.read_json(CONTEXT)
    try:
        return parse_moment(asked["as_of"]) if asked["as_of"] is not None else None
    except (ValueError, KeyError, TypeError):
        raise RefitError(f'{CONTEXT}: expected {{"as_of": "2013-10-31"}}, found {asked!r}. Remove the file.') from None


def read_known(name: str, table: Table, params: Params, as_of: datetime | None) -> Known:
    """Read a raw table as it was known at ``as_of``."""
    frame = files.read_table(RAW / f"{name}.parquet")
    problem.check_columns(frame, name, table)
    unreadable = RAW / f"{name}.problems.parquet"
    empty = pd.DataFrame({"row": np.zeros(0, "int64"), "column": [], "value": [], "why": []})
    problems = files.read_table(unreadable) if unreadable.exists() else empty
    exists = known.visible(frame, name, table, params.problem, as_of)
    hidden = known.unknown(frame, table, as_of)
    positions = np.flatnonzero(exists)
    frame = known.hide_outcomes(frame, table, hidden)[exists].reset_index(drop=True)
    # An outcome that is not known yet cannot be held against its row.
    seen = exists[problems["row"]] & ~(hidden[problems["row"]] & problems["column"].isin(table.outcome))
    problems = problems[seen].assign(row=np.searchsorted(positions, problems.loc[seen, "row"]))
    return Known(frame, positions, problems.reset_index(drop=True), int((~exists).sum()))


def main() -> None:
    params = load()
    if sys.argv[1:] == ["--write-suite"]:
        return write_suites(params)
    if sys.argv[1:]:
        raise RefitError(f"python -m tasks.validate: takes nothing or --write-suite, found {sys.argv[1:]}")
    as_of = read_as_of(params)
    tables: dict[str, Any] = {}
    findings: list[dict[str, Any]] = []
    failures: list[str] = []
    with files.replacing_dir(VALIDATED) as accepted_in:
        with files.replacing_dir(QUARANTINE) as rejected_in:
            for name, table in params.data.tables.items():
                read = read_known(name, table, params, as_of)
                rules = suite.read(name, table, params.problem, read.frame)
                checked = contract.check(read.frame, table, rules, read.problems)
                accepted = read.frame[~checked.rejected].reset_index(drop=True)
                rejected = read.frame[checked.rejected].reset_index(drop=True)
                rejected["__row__"] = read.positions[checked.rejected]
                rejected["__reason__"] = checked.why
                if name == params.problem.table:
                    accepted = known.add_target(accepted, params)
                files.write_table(accepted_in / f"{name}.parquet", accepted)
                files.write_table(rejected_in / f"{name}.parquet", rejected)
                tables[name] = {
                    "input": len(read.frame) + read.not_yet_known,
                    "accepted": len(accepted),
                    "quarantined": len(rejected),
                    "not_yet_known": read.not_yet_known,
                    "reasons": checked.reasons,
                }
                findings += checked.findings
                failures += checked.failures
                excess = contract.too_many(name, checked, params.data.max_quarantined)
                if excess:
                    failures.append(excess)
                elif name == params.problem.table and not checked.failures:
                    problem.check_problem(accepted, params.problem)
                log(_line(name, tables[name]))
        # The quarantine is in place by now: whoever mends the data wants to see those rows.
        if failures:
            raise RefitError("the data breaks its contract:\n" + "\n".join(f"  {line}" for line in failures))
        files.write_json(
            accepted_in / "summary.json",
            {"as_of": as_of.isoformat() if as_of else None, "tables": tables, "expectations": findings},
        )


def _line(name: str, counts: dict[str, Any]) -> str:
    line = f"{name}: {counts['accepted']:,} rows accepted, {counts['quarantined']:,} quarantined"
    later = counts["not_yet_known"]
    return line + (f", {later:,} not yet known" if later else "")


def write_suites(params: Params) -> None:
    as_of = read_as_of(params)
    for name, table in params.data.tables.items():
        profile = read_known(name, table, params, as_of).frame
        path = suite.FOLDER / f"{name}.json"
        rules = suite.derive(name, table, params.problem, profile)
        files.write_text(path, suite.to_json(rules))
        log(f"{path}: {len(rules['expectations'])} expectations, profiled on {len(profile):,} rows")


if __name__ == "__main__":
    stage.run(main)
