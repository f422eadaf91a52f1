"""What the manifest says about a package, and the reference that drift compares with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tasks.artifacts import Choice, Covered, KnownOfJournal, Manifest, Summary
from tasks.bundle import Bundle
from tasks.bundle.horizon import Horizon
from tasks.bundle.seen import Seen
from tasks.fitting.rows import with_scores
from tasks.identity import Rule, identify
from tasks.ordinary.record import PREDICTION, Record, answers, make
from tasks.params import Params
from tasks.stored import Frame, by_parts

REFERENCE_ROWS = 20_000
HELD_OUT_ROWS = 5_000
ALIKE_WINDOWS, FEW = 8, 100


@dataclass(frozen=True)
class Parts:
    """Positions of feature rows: ``known`` ones make the reference, ``held_out`` ones (test) that of the answers."""

    known: np.ndarray
    held_out: np.ndarray


def parts(features: Frame, window: pd.Timedelta) -> Parts:
    """Which feature rows drift is held against.

    Rows that the model has seen, and test rows that are no newer. Answers are those to test rows, which nothing was fitted,
    tuned or calibrated on; newer ones without the newest window, which the first run looks at, unless few are left: then
    later runs are judged, and the first one compares rows with themselves.
    """
    split, time = features["__split__"], features["__time__"]
    seen, test = split.isin(["train", "valid"]).to_numpy(), (split == "test").to_numpy()
    until = time[seen].max() if seen.any() else pd.NaT
    older = (time.isna() | (time <= until)).to_numpy()
    held_out = test & (older | (time <= time.max() - window).to_numpy())
    if held_out.sum() < FEW:
        held_out = test
    return Parts(np.flatnonzero(seen | (test & older)), np.flatnonzero(held_out))


def reference(bundle: Bundle, features: Frame, rows: Parts, seed: int) -> pd.DataFrame:
    """A seeded sample of the reference: ``__split__``, features as fitted on, and scores.

    At most 20,000 rows that the model has seen, without scores, and 5,000 held-out ones with them.
    """
    draw = np.random.default_rng(seed)
    seen = np.setdiff1d(rows.known, rows.held_out)
    chosen = [
        np.sort(draw.choice(at, limit, replace=False)) if len(at) > limit else at
        for at, limit in ((seen, REFERENCE_ROWS), (rows.held_out, HELD_OUT_ROWS))
    ]
    sample = features.iloc[np.concatenate(chosen)].reset_index(drop=True)
    scores = bundle.predict(sample)
    scores[: len(chosen[0])] = np.nan
    return with_scores(sample[["__split__", *(f.name for f in bundle.plan.features)]], scores)


def ordinary(bundle: Bundle, features: Frame, kinds: dict[str, str], rows: Parts, window: pd.Timedelta) -> Record:
    """The record of every feature in the known rows, and of the answers to the held-out ones."""
    known, held_out = features.take(rows.known), features.take(rows.held_out)
    record = make(known, kinds, known["__time__"], window)
    if not len(held_out):
        return record
    told = _answers(bundle, held_out, window)
    column = told.columns[PREDICTION]
    if record.length is not None:  # how answers of a window resemble each other is told by rows that were seen, too
        time = features["__time__"]
        at = np.flatnonzero((time > time.max() - ALIKE_WINDOWS * window).to_numpy())
        recent = _answers(bundle, features.take(at[:: 1 + len(at) // REFERENCE_ROWS]), window)
        column = replace(column, alike=max(column.alike, recent.columns[PREDICTION].alike))
    return Record(record.columns, record.length, record.end, Record({PREDICTION: column}, told.length, told.end))


def _answers(bundle: Bundle, rows: Frame, window: pd.Timedelta) -> Record:
    told = answers(by_parts(bundle.predict, rows), bundle.kind, bundle.classes).to_frame()
    kind = "numeric" if told[PREDICTION].dtype == float else "categorical"
    return make(told, {PREDICTION: kind}, rows["__time__"].reset_index(drop=True), window)


def seen_rows(rows: Frame, features: Frame, rule: Rule) -> Seen:
    """The record of the training and validation rows; ``rows`` is the problem's whole table, one row a feature row."""
    seen = features["__split__"].isin(["train", "valid"]).to_numpy()
    return Seen.of(identify(rows, rule), seen, features["__time__"], rule)


def other_rows(rows: Frame, features: Frame, rule: Rule) -> Seen | None:
    """The record of all other rows, so that rows without a moment can be told from later ones; None where they have one."""
    if features["__time__"].notna().any():
        return None
    others = ~features["__split__"].isin(["train", "valid"]).to_numpy()
    return Seen.of(identify(rows, rule), others, features["__time__"], rule)


def covered(tables: Mapping[str, KnownOfJournal]) -> Covered | None:
    """Which events of the journal the history has; None where there are none, or they are of several journals."""
    names = {one.id for one in tables.values()}
    if len(names) != 1:
        return None
    last = max(one.seq for one in tables.values())  # all tables were read up to the same entry
    whole = [one.whole for one in tables.values() if one.whole is not None]
    return Covered(id=names.pop(), seq=min([last, *whole]), tables={name: one.seq for name, one in tables.items()})


def about_of(
    given: Params, choice: Choice, summary: Summary, reach: Horizon, journal: Covered | None = None
) -> Manifest:
    """``bundle.json`` but for the files: from the choice, the features' summary, how far the history reaches, and the journal."""
    made = Manifest(
        name=given.problem.name,
        kind=given.problem.kind,
        target=summary.target,
        classes=summary.classes,
        threshold=choice.threshold,
        family=choice.family,
        members=choice.members,
        weights=choice.weights,
        metrics={"metric": choice.metric, "valid": choice.valid, "test": choice.test, "baseline": choice.baseline},
        answers_from=reach.start,
        known_until=reach.ends,
    )
    more = {"calibration": choice.calibration, "journal": journal}
    return made.model_copy(update={name: value for name, value in more.items() if value is not None})
