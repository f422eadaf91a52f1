"""``python -m tasks.validate``: what was known at ``as_of``, checked; bad rows to ``data/quarantine``.

``--write-suite`` derives the contract from ``params.yaml`` and the rows known now, and writes it to
``data/expectations`` (for git) instead. Where ``data/expectations/accepted`` says what was accepted with the champion, rows
are held against that (:mod:`tasks.validate.baseline`).
"""

from tasks import stage  # isort: skip  (its settings come first)

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

import numpy as np
import pandas as pd

from tasks import files
from tasks.artifacts import AsOf, KnownOfJournal, RawManifest, RowCounts, RuleResult, Validation, given
from tasks.artifacts.columns import REASON, ROW, SEQ, UNTIL
from tasks.artifacts.folders import CONTEXT, EXPECTATIONS, QUARANTINE, RAW, VALIDATED
from tasks.errors import RefitError
from tasks.params import Params, Table, load, parse_moment
from tasks.stage import log
from tasks.states import apart, path_of
from tasks.stored import Frame, Stored, in_memory
from tasks.validate import accepted, baseline, contract, known, problem, suite
from tasks.validate.gx import LARGE


@dataclass(frozen=True)
class Known:
    """The rows of a table known at ``as_of``: their positions in raw, and their unreadable values.

    ``frame``: a data frame; of a large table one that stays on disk.

    ``earlier``: the same of what rows were known as before they were corrected, with the moment of the next state.

    ``refused``: events that the contract refused when they were received, with the reason. ``journal``: which of its
    events were read.
    """

    frame: Frame
    positions: np.ndarray
    problems: pd.DataFrame
    not_yet_known: int
    earlier: "Known | None" = None
    refused: pd.DataFrame | None = None
    journal: KnownOfJournal | None = None


def read_as_of(params: Params) -> datetime | None:
    """The moment of the run: what the effects asked for, else what ``params.yaml`` says."""
    asked = AsOf.find(CONTEXT)
    if asked is None:
        return params.data.as_of
    try:
        return parse_moment(asked.as_of) if asked.as_of is not None else None
    except ValueError as error:
        raise RefitError(
            f"{CONTEXT}/{AsOf.NAME}: {error}, as 2013-10-31; found {asked.as_of!r}. Remove the file."
        ) from None


def read_known(name: str, table: Table, params: Params, as_of: datetime | None) -> Known:
    """Read a raw table as it was known at ``as_of``."""
    frame: Frame = Stored(RAW / f"{name}.parquet")
    frame = frame if len(frame) > LARGE else in_memory(frame)  # a large one stays there, and is read a column at a time
    if not table.journal:
        return _known(frame, name, table, params, as_of)
    journal = _known_up_to(name, frame, table, as_of)
    frame = cast(Frame, frame[[column for column in frame.columns if column != SEQ]])
    refused = RAW / f"{name}.refused.parquet"
    rows = files.read_table(refused) if refused.exists() else None
    if rows is not None and as_of is not None:
        rows = rows[known.received(rows, as_of)]
    return replace(_known(frame, name, table, params, as_of), journal=journal, refused=rows)


def _known_up_to(name: str, frame: Frame, table: Table, as_of: datetime | None) -> KnownOfJournal | None:
    """Which events of the journal were read of a table, and up to which number all of them were known at ``as_of``."""
    manifest = RawManifest.find(RAW)
    found = manifest.tables[name].journal if manifest else None
    if found is None:
        return None
    read = KnownOfJournal(id=found.id, seq=found.seq)
    if as_of is None or not table.received:
        return read
    moments = [when for when in (table.row_known or table.event_time, *table.later.values()) if when]
    late = np.zeros(len(frame), bool)
    for when in moments:
        late |= (known.learned(frame, when) > pd.Timestamp(as_of)).to_numpy()
    first = frame[SEQ][late].min()  # NaN: of a file
    return read if np.isnan(first) else read.model_copy(update={"whole": int(first) - 1})


def _known(frame: Frame, name: str, table: Table, params: Params, as_of: datetime | None) -> Known:
    problem.check_columns(frame, name, table)
    unreadable = RAW / f"{name}.problems.parquet"
    empty = pd.DataFrame({"row": np.zeros(0, "int64"), "column": [], "value": [], "why": []})
    problems = files.read_table(unreadable) if unreadable.exists() else empty
    exists = known.visible(frame, name, table, params.problem, as_of)
    hidden = known.unknown(frame, table, as_of)
    moment = table.row_known or table.event_time
    told = known.learned(frame, moment) if moment else None  # itself an outcome, perhaps
    pending = np.zeros(len(problems), bool)
    for column, rows in hidden.items():  # what is not known yet cannot be held against its row
        pending |= (problems["column"] == column).to_numpy() & rows[problems["row"]]
    problems = problems[~pending]
    if corrections(name) != "states" or told is None or not table.key:
        return _part(known.rows_of(frame, exists, hidden), problems, exists, int((~exists).sum()))
    state, until = apart(
        in_memory(frame[list(table.key)]), list(table.key), told, pd.Timestamp(as_of) if as_of else None
    )
    old = exists & (state == 0)
    earlier = None
    if old.any():
        states = in_memory(known.rows_of(frame, old, hidden)).assign(**{UNTIL: until[old].array})
        earlier = _part(states, problems, old, 0)
    later = ~exists | ((state == -1) & told.notna().to_numpy())
    now = exists & (state == 1)
    return replace(_part(known.rows_of(frame, now, hidden), problems, now, int(later.sum())), earlier=earlier)


def corrections(name: str) -> str:
    """What ingest did with rows that share a key, as the manifest says; unset: nothing."""
    manifest = RawManifest.find(RAW)
    table = manifest.tables.get(name) if manifest else None
    return table.corrections if table else "reject"


def _part(frame: Frame, problems: pd.DataFrame, mask: np.ndarray, not_yet_known: int) -> Known:
    positions = np.flatnonzero(mask)
    kept = problems[mask[problems["row"]]]
    kept = kept.assign(row=np.searchsorted(positions, kept["row"])).reset_index(drop=True)
    return Known(frame, positions, kept, not_yet_known)


def main() -> None:
    """The stage: which rows hold what is declared; writes ``data/validated`` and ``data/quarantine``."""
    params = load()
    if sys.argv[1:] == ["--write-suite"]:
        return write_suites(params)
    if sys.argv[1:]:
        raise RefitError(f"python -m tasks.validate: takes nothing or --write-suite, found {sys.argv[1:]}")
    as_of = read_as_of(params)
    tables: dict[str, RowCounts] = {}
    journals: dict[str, KnownOfJournal] = {}
    findings: list[RuleResult] = []
    failures: list[str] = []
    refused: list[str] = []  # by the baseline
    measured: dict[str, accepted.Figures] = {}
    with files.replacing_dir(VALIDATED) as accepted_in:
        with files.replacing_dir(QUARANTINE) as rejected_in:
            kept: dict[str, pd.DataFrame] = {}
            for name in _in_order(params):
                table = params.data.tables[name]
                if table.snapshots:
                    made = _snapshots(params, kept, as_of)
                    files.write_table(accepted_in / f"{name}.parquet", made)
                    tables[name] = RowCounts(
                        input=len(made), accepted=len(made), quarantined=0, not_yet_known=0, reasons={}
                    )
                    held = _held(name, params, made, made, np.zeros(len(made), bool), as_of, measured)
                    findings, refused = findings + held.findings, refused + held.failures
                    problem.check_problem(made, params.problem)
                    continue
                read = read_known(name, table, params, as_of)
                rules = suite.read(name, table, params.problem, read.frame, whole=accepted.read(name) is None)
                checked = contract.check(read.frame, table, rules, read.problems)
                good, rejected = known.divided(read.frame, checked.rejected)
                rejected[ROW] = read.positions[checked.rejected]
                rejected[REASON] = checked.why
                checked = _with_refused(checked, read.refused)
                if params.problem.target.events is not None:
                    kept[name] = good = in_memory(good)
                if name == params.problem.table:
                    good = known.add_target(good, params)
                    good = _labelled(good, kept, params, as_of)
                files.write_table(accepted_in / f"{name}.parquet", good)
                corrected = 0
                if read.earlier is not None:
                    old, bad = _earlier(read.earlier, table, rules)
                    if name == params.problem.table:
                        old = in_memory(known.add_target(old, params))
                    files.write_table(path_of(accepted_in, name), old)
                    rejected, corrected = pd.concat([rejected, bad], ignore_index=True), len(old)
                if read.refused is not None and len(read.refused):
                    rejected = _beside(rejected, read.refused, name)
                if read.journal is not None:
                    journals[name] = read.journal
                files.write_table(rejected_in / f"{name}.parquet", rejected)
                tables[name] = RowCounts(
                    input=len(checked.rejected) + read.not_yet_known,
                    accepted=len(good),
                    quarantined=len(rejected),
                    not_yet_known=read.not_yet_known,
                    reasons=checked.reasons,
                    **({"earlier_states": corrected} if corrected else {}),
                )
                findings += checked.findings
                failures += checked.failures
                excess = contract.too_many(name, checked, params.data.max_quarantined)
                if excess:
                    failures.append(excess)
                elif name == params.problem.table and params.problem.target.given and not checked.failures:
                    problem.check_problem(good, params.problem)
                held = _held(name, params, read.frame, good, checked.rejected[: len(read.frame)], as_of, measured)
                findings, refused = findings + held.findings, refused + held.failures
                log(_line(name, tables[name]))
            if refused:
                for name, figures in measured.items():
                    files.write_json(rejected_in / "refused" / f"{name}.json", figures)
        # The quarantine is in place by now: whoever mends the data wants to see those rows.
        if failures or refused:
            lines = [f"  {line}" for line in failures + refused]
            raise RefitError(
                "\n".join(["the data breaks its contract:", *lines, *([baseline.REMEDY] if refused else [])])
            )
        for name, figures in measured.items():
            files.write_json(accepted_in / "accepted" / f"{name}.json", figures)
        Validation(
            as_of=as_of.isoformat() if as_of else None,
            tables={name: tables[name] for name in params.data.tables},
            expectations=findings,
            baseline={name: (accepted.read(name) or {}).get("of") for name in params.data.tables},
            **given(journal=journals),
        ).write(accepted_in)


def _held(name: str, params: Params, frame: Frame, good: Frame, rejected: np.ndarray,
          as_of: datetime | None, measured: dict[str, accepted.Figures]) -> baseline.Held:  # fmt: skip
    """A table against its baseline, where there is one; what is accepted of it now goes into ``measured``."""
    table, then = params.data.tables[name], accepted.read(name)
    labelled = good if name == params.problem.table and params.problem.target.given else None
    measured[name] = accepted.measure(name, table, params.problem, good, labelled, as_of)
    if then is None:
        return baseline.Held()
    most = params.data.max_quarantined
    held = baseline.hold(name, table, params.problem, frame, labelled, rejected, most, then, as_of)
    count = len(held.findings)
    log(f"{name}: {count} rules from {baseline.whose(then)}, {count - len(held.failures)} kept")
    for line in held.remarks:
        log(line)
    return held


def _with_refused(checked: contract.Checked, refused: pd.DataFrame | None) -> contract.Checked:
    """The same with the events that were refused on receipt, behind the rows."""
    if refused is None or not len(refused):
        return checked
    reasons = dict(checked.reasons)
    for why in refused[REASON]:
        for reason in why.split("; "):
            reasons[reason] = reasons.get(reason, 0) + 1
    rejected = np.append(checked.rejected, np.ones(len(refused), bool))
    return replace(checked, rejected=rejected, reasons=reasons)


def _beside(rejected: pd.DataFrame, refused: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rejected rows with the events that were refused on receipt, as if these stood behind the table's rows."""
    rows = len(Stored(RAW / f"{name}.parquet"))
    more = refused.assign(**{ROW: rows + refused.index.to_numpy()})
    return pd.concat([rejected, more[[c for c in rejected.columns if c in more]]], ignore_index=True)


def _in_order(params: Params) -> list[str]:
    """The tables, the problem's last where its label comes from others."""
    own = params.problem.table if params.problem.target.events is not None else None
    return sorted(params.data.tables, key=lambda name: name == own)


def _labelled(rows: Frame, kept: dict[str, pd.DataFrame], params: Params, as_of: datetime | None) -> Frame:
    """The problem's rows with the label that other events make, where they do."""
    target = params.problem.target
    if target.events is None:
        return rows
    from tasks.validate.labels import label

    rows = in_memory(rows)  # they were kept, as all tables are that a label is made of
    made = label(rows, kept[target.events], params, as_of)
    for line in made.said:
        log(line)
    return rows.assign(**{target.name: made.values.array})


def _snapshots(params: Params, kept: dict[str, pd.DataFrame], as_of: datetime | None) -> pd.DataFrame:
    """The rows that no file has, with their label."""
    from tasks.validate.snapshots import make

    snapshots, target = params.problem.snapshots, params.problem.target
    assert snapshots
    assert target.events
    rows = make(kept[snapshots.snapshots], kept[target.events], params, as_of)
    log(f"{params.problem.table}: {len(rows):,} rows made of {snapshots.snapshots}, one each {snapshots.every}")
    return in_memory(_labelled(rows, kept, params, as_of))


def _earlier(read: Known, table: Table, rules: suite.Suite) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Earlier states that keep the contract's rules for rows, and those that do not."""
    alone = [r for r in rules["expectations"] if r["meta"]["level"] == "row" and "unique" not in r["type"]]
    frame = in_memory(read.frame)
    checked = contract.check(frame, table, {**rules, "expectations": alone}, read.problems)
    bad = frame[checked.rejected].drop(columns=UNTIL).reset_index(drop=True)
    bad[ROW] = read.positions[checked.rejected]
    bad[REASON] = checked.why
    return frame[~checked.rejected].reset_index(drop=True), bad


def _line(name: str, counts: RowCounts) -> str:
    line = f"{name}: {counts.accepted:,} rows accepted, {counts.quarantined:,} quarantined"
    if counts.earlier_states:
        line += f", and {counts.earlier_states:,} earlier states of corrected ones"
    return line + (f", {counts.not_yet_known:,} not yet known" if counts.not_yet_known else "")


def write_suites(params: Params) -> None:
    """Make the Great Expectations suites that are not there yet."""
    as_of = read_as_of(params)
    for name, table in params.data.tables.items():
        if table.snapshots:
            continue
        profile = read_known(name, table, params, as_of).frame
        path = EXPECTATIONS / f"{name}.json"
        rules = suite.derive(name, table, params.problem, profile)
        files.write_text(path, suite.to_json(rules))
        log(f"{path}: {len(rules['expectations'])} expectations, profiled on {len(profile):,} rows")


if __name__ == "__main__":
    stage.run(main)
