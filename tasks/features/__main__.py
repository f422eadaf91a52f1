"""Stage ``features``: every row's features as of its prediction time, its target and its split."""

from tasks import stage  # isort: skip  (sets threads and telemetry before the heavy imports)

import time
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from tasks import memory
from tasks import params as parameters
from tasks.artifacts import FeatureAbout, Summary, Validation, given
from tasks.artifacts.columns import GROUP, KNOWN, RECEIVED, ROW, SPLIT, TARGET, TIME
from tasks.artifacts.folders import FEATURE_TABLE, FEATURES, PLAN, VALIDATED
from tasks.engine import Plan
from tasks.engine.asof import prediction_times
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.facts import MISSING
from tasks.engine.from_disk import compute_from_disk
from tasks.engine.rhythm import windows_of
from tasks.errors import some
from tasks.features.seasons import unfinished
from tasks.features.silent import never_in_view, silent
from tasks.features.split import by_identity, by_time, check_parts, waiting
from tasks.features.wide import beyond
from tasks.files import append_tables, read_table, replacing_dir, row_group, write_json
from tasks.identity import Rule, identify, together
from tasks.kinds import find_kind
from tasks.states import last_known, not_before_receipt, path_of, read_states
from tasks.stored import Stored
from tasks.values.numbers import LARGEST

SPLITS = ("train", "valid", "test", "pending")


class Validated(dict[str, pd.DataFrame]):
    """The validated tables by name, each read when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, name: str) -> pd.DataFrame:
        self[name] = read_table(self.folder / f"{name}.parquet")
        return self[name]


def main() -> None:
    """The stage: plan, features and split of the validated tables; writes ``data/features``."""
    params = parameters.load()
    folder = VALIDATED
    as_of = Validation.read(folder).as_of
    windows = windows_of(params, Validated(folder))
    for (table, key), spans in windows.items():
        what = f"windows of {', '.join(spans)}" if spans else "left out, for no row has an earlier event"
        stage.log(f"history of {table} by {' and '.join(key)}: {what}")
    plan = derive(params, windows)
    tables = cast("dict[str, pd.DataFrame]", Stored.folder(folder, plan.tables))  # read as frames in memory are
    for line in never_in_view(plan, tables):
        stage.log(line)
    rows = own_columns(params, plan, folder)
    stage.log(f"{len(plan.features)} features for {len(rows):,} rows of {plan.table}")

    kind, target = find_kind(params.problem.kind), params.problem.target
    y, labelled = np.full(len(rows), np.nan), np.ones(len(rows), dtype=bool)
    classes: list[str] = []
    if target.given:
        y, classes = kind.read(rows[target.name], target)
        labelled = ~pd.isna(y)
    if target.given and (said := kind.remark(classes, target)):
        stage.log(said)
    t = moments(prediction_times(plan, rows))
    own = params.data.tables[plan.table]
    known = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[us, UTC]")
    when = own.outcome_known(target.column)
    if when:
        known = not_before_receipt(rows[when.column] + pd.Timedelta(when.offset_micros, "us"), rows)
    groups = together(rows, identify(rows, Rule.of(params)).row, params.split.by)
    if params.split.kind == "time":
        cut = pd.Timestamp(as_of) if as_of else None
        part, boundaries = by_time(t, known, labelled, params.split, cut, waiting(params.problem.prediction_time, when))
    else:
        part, boundaries = by_identity(groups, labelled, params.split)
    check_parts(part, y, classes, params, t, known, boundaries)

    head = pd.DataFrame({ROW: range(len(rows)), TIME: t, KNOWN: known.array})
    head[SPLIT] = pd.Series(part, dtype="str")
    head[TARGET] = np.where(part == "pending", np.nan, y)
    if params.split.by:
        head[GROUP] = groups
    asked, train = prediction_times(plan, rows), part == "train"
    counts = {s: int((part == s).sum()) for s in SPLITS}
    del rows, t, known, groups, y, labelled, part
    with replacing_dir(FEATURES) as out:
        began = time.perf_counter()
        made = write_features(params, plan, folder, head, out / FEATURE_TABLE.name)
        stage.log(f"computed in {time.perf_counter() - began:.1f} s")
        features = Stored(out / FEATURE_TABLE.name)[list(plan.names)] if made is None else made
        mute = silent(features, {f.name: f.kind for f in plan.features}, train)
        early: dict[str, str] = {}
        if params.split.kind == "time" and params.features.columns == "auto":  # who names the month gets it
            named = [f"{column}.{one}" for column, parts in params.features.dates.items() for one in parts]
            early = unfinished(features.drop(columns=named), asked, train)
            if len({**mute, **early}) == len(plan.features):
                early = {}
        if mute:
            stage.log(f"{len(mute)} of {len(plan.features)} features say nothing, and no model gets them: {some(mute)}")
        if early:
            stage.log(
                f"no model gets what is new to the training rows as time goes on: {some(early)} (features.columns)"
            )
        if wide := beyond(out / FEATURE_TABLE.name, plan.names):
            stage.log(f"values beyond {LARGEST:.2g} count as that, since models hold no larger ones: {some(wide)}")
        mute |= early
        write_json(out / PLAN.name, plan.to_dict())
        Summary(
            kind=params.problem.kind,
            target=params.problem.target.name,
            classes=classes,
            features=[FeatureAbout(name=f.name, kind=f.kind, description=f.description) for f in plan.features],
            rows=counts,
            boundaries=boundaries,
            plan=plan.hash,
            **given(silent=mute),
        ).write(out)
    stage.log(", ".join(f"{n:,} {s}" for s, n in counts.items()))


def own_columns(params: parameters.Params, plan: Plan, folder: Path) -> pd.DataFrame:
    """What target, moments, groups and identity of the problem's rows need of their table."""
    table = Stored(folder / f"{plan.table}.parquet")
    when = params.data.tables[plan.table].outcome_known(params.problem.target.column)
    moments = {time.column for time in (plan.time, plan.cap, when) if time}
    used = {params.problem.target.name, RECEIVED, *moments, *Rule.of(params).columns, *params.split.by}
    return table[[name for name in table if name in used] or list(table)[:1]].frame()


def write_features(
    params: parameters.Params, plan: Plan, folder: Path, head: pd.DataFrame, path: Path
) -> pd.DataFrame | None:
    """Compute the features, and write them beside ``head``: all at once, or key by key where memory does not suffice.

    The bytes are the same: the rows of a row group follow from the table's size alone. Returns the features, or None where
    they were never all in memory.
    """
    size = row_group(len(head), head.shape[1] + len(plan.features))
    if params.features.engine != "spark":
        limit = memory.of_process()
        need = memory.features(len(head), len(plan.features))
        states = [name for name in plan.tables if path_of(folder, name).exists()]
        if need > limit.bytes and not states:
            stage.log(
                f"all at once they take about {need / memory.GB:.1f} GB, and {max(0.0, limit.bytes / memory.GB):.1f} may be "
                f"used ({limit.source}): computed key by key, from disk"
            )
            files = {name: folder / f"{name}.parquet" for name in plan.tables}
            made = compute_from_disk(plan, files, limit.piece_mb, chunk=size, scratch=memory.scratch())
            append_tables(path, (beside(head, features) for features in made))
            return None
    memory.keep_freed()
    used = plan.columns_used()
    tables = {name: read_states(folder, name, used[name]) for name in plan.tables}
    rows = last_known(tables[plan.table])
    if params.features.engine == "spark":
        from tasks.engine.spark import compute_spark

        features = compute_spark(plan, tables, rows)
    else:
        features = compute(plan, tables, rows)
    append_tables(path, (beside(head, features.iloc[at : at + size]) for at in range(0, max(1, len(head)), size)))
    return features


def beside(head: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """Rows of the head with their features, by the rows' numbers."""
    return pd.concat([head.loc[features.index], features], axis=1)


def moments(micros: object) -> pd.Series:
    """int64 µs as a UTC column, missing as NaT."""
    values = pd.Series(micros, dtype="int64")
    return pd.to_datetime(values.where(values != MISSING), unit="us", utc=True).astype("datetime64[us, UTC]")


if __name__ == "__main__":
    stage.run(main)
