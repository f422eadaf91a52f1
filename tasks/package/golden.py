"""Rows with the pipeline's own answers, and a proof that the package gives the same ones a row at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tasks.artifacts import Golden, GoldenRow
from tasks.bundle import Bundle
from tasks.bundle.golden import close
from tasks.bundle.horizon import Horizon, parse
from tasks.bundle.rows import from_json, to_json
from tasks.engine import Plan
from tasks.engine.asof import prediction_times
from tasks.engine.facts import MISSING
from tasks.errors import RefitError
from tasks.stored import Frame

ROWS = 20
NEWEST = 2_000  # with time, golden rows are drawn from as many of the newest
FIRST, LATER = 4, 4  # with a horizon, as many of them at its beginning, and after its end
AGES = (0.25, 1.5, 4.0, 30.0)  # how long after its end, in windows
YEAR = 365 * 86_400_000_000  # µs
LATEST = parse("2199-01-01T00:00:00Z")  # later times are not served


def choose(features: Frame, seed: int, since: int | None, count: int) -> np.ndarray:
    """Positions in the feature table of at most ``count`` golden rows, in order: test rows if there are enough.

    With time, the earliest ones (``since``, µs, where the kept history begins) and some of the newest; else rows at random.
    """
    times = features["__time__"].to_numpy("datetime64[us]")
    candidates = np.flatnonzero(features["__split__"].isin(["test", "pending"]).to_numpy())
    if len(candidates) < ROWS:
        candidates = np.arange(len(features))
    if since is not None:
        candidates = candidates[times[candidates] >= np.datetime64(since, "us")]
    first = candidates[:0]
    if not np.isnat(times[candidates]).all():
        candidates = candidates[np.argsort(times[candidates], kind="stable")]
        first, candidates = candidates[:FIRST], candidates[FIRST:][-NEWEST:]
    rng = np.random.default_rng(seed)
    others = rng.choice(candidates, size=min(count - len(first), len(candidates)), replace=False)
    return np.sort(np.concatenate([first, others]))


def start_of_test(features: Frame) -> int | None:
    """Prediction time (µs) of the earliest test row, from which on a package answers; None where rows have no time."""
    tested = features["__time__"][(features["__split__"] == "test").to_numpy()].dropna()
    moments = tested if len(tested) else features["__time__"].dropna()
    return int(moments.to_numpy("datetime64[us]").view(np.int64).min()) if len(moments) else None


def after(rows: pd.DataFrame, plan: Plan, horizon: Horizon) -> pd.DataFrame:
    """The last rows moved to after what is known, by parts and multiples of the longest of the tables' shortest windows.

    All moments of a row move together, so that it stays one that could have been asked. No row, where nothing has times.
    """
    rows = rows[prediction_times(plan, rows) != MISSING]
    longest = min(YEAR, max((w for w in horizon.patience.values() if w is not None), default=YEAR // 365))
    end = max(horizon.known_until.values(), default=LATEST)
    moved = []
    for i, age in zip(range(max(0, len(rows) - LATER), len(rows)), AGES, strict=False):
        one = rows.iloc[[i]]
        move = end + int(age * longest) - int(prediction_times(plan, one)[0])
        if end + int(age * longest) < LATEST:
            moments = [c for c in one.columns if isinstance(one[c].dtype, pd.DatetimeTZDtype)]
            moved.append(one.assign(**{c: one[c] + np.timedelta64(move, "us") for c in moments}))
    return pd.concat(moved, ignore_index=True) if moved else rows.iloc[:0]


def golden(bundle: Bundle, features: pd.DataFrame, rows: pd.DataFrame) -> Golden:
    """``golden.json``: inputs, features, scores (alone and as this batch) and decisions.

    Matrix products may round the last bit differently for one row and for many, so both are kept, and a
    served package is held to each exactly.

    Parameters
    ----------
    features
        Feature rows as the pipeline computed them in batch.
    rows
        The same rows of the problem table.

    Raises
    ------
    RefitError
        If the package, a row at a time, computes another feature or another score than the pipeline did.
    """
    fields = bundle.schema.fields
    names = [str(c) for c in rows.columns]
    inputs = [to_json(dict(zip(names, row, strict=True)), fields) for row in rows.itertuples(index=False)]
    asked = [from_json(given, fields) for given in inputs]
    batch = bundle.predict_rows(asked)
    pipeline = bundle.predict(features)
    out = []
    for i, row in enumerate(asked):
        alone = bundle.predict_row(row)
        found = {name: _plain(value) for name, value in alone.features.items()}
        wanted = {name: _plain(features[name].iloc[i]) for name in found}
        different = [name for name in found if repr(found[name]) != repr(wanted[name])]
        if different:
            name = different[0]
            raise RefitError(
                f"golden row {i}: online, feature {name!r} is {found[name]!r}, and in batch it was {wanted[name]!r} "
                f"({len(different)} features differ). The package would not serve what was evaluated; this is a bug "
                "in the feature plan, please report it with your params.yaml."
            )
        if not close(alone.scores, np.atleast_1d(pipeline[i]).tolist()):
            raise RefitError(f"golden row {i}: online scores {alone.scores}, and the pipeline's are {pipeline[i]}")
        out.append(
            GoldenRow(
                input=inputs[i],
                features=found,
                scores=list(alone.scores),
                batch_scores=list(batch[i].scores),
                decision=bundle.label(alone.decision),
                batch_decision=bundle.label(batch[i].decision),
                warnings=list(bundle.check_time(row).warnings),
            )
        )
    return Golden(rows=out)


def _plain(value: str | float) -> str | float | None:
    """A feature's value for JSON and for comparison by bits: missing is None, and -0.0 is not 0.0."""
    if pd.isna(value):
        return None
    return str(value) if isinstance(value, str) else float(value)
