"""``auto``: tuning has kept its model (a bag of fold models), so training takes it, and calibrates it if wanted.

Where ``tuning.rows`` kept rows from it, or time for one fold only did, its members are fitted again: the final fit uses
all rows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.artifacts import Best, members_of
from tasks.artifacts.columns import FOLD, ROW, TARGET
from tasks.encoding import Encoder
from tasks.families import find_family
from tasks.files import read_table
from tasks.fitting.base import Log
from tasks.fitting.calibration import calibrate, calibrate_mean
from tasks.fitting.rows import Dataset, read_rows, scores_in
from tasks.fitting.space import Settings
from tasks.kinds import find_kind
from tasks.models import Model, fit_family, load_model
from tasks.models.bag import Bag, BagPart, Joined
from tasks.models.large import Trained
from tasks.params import Params
from tasks.stored import by_parts
from tasks.train.balance import of_members
from tasks.train.whole import scored

COMPARED = 3_000  # rows on which fold models are compared with their mean


def take_tuned(folder: Path, features: list[str], params: Params, log: Log) -> Trained | None:
    """The model that tuning kept in ``folder``, or None.

    Its parts were fitted on folds of the training and validation rows. So a validation row's scores are those of the
    parts that had not seen it, and not of the whole, which would look better than it is.
    """
    if not (folder / "held_out.parquet").is_file():
        return None
    rows = read_rows().only(features)
    best = Best.read(folder)
    held = read_table(folder / "held_out.parquet")
    if best.left_out or _fold_of(held, rows):
        return _fit_again(best.params, rows, params, log)
    model = load_model(folder / "model")
    X = rows.frame.iloc[pd.Index(rows.row).get_indexer(held[ROW])]
    unseen = calibrate_bag(model, X, held, params.training.calibration, params.seed)
    chosen = np.isin(rows.split, ("valid", "test"))
    row, split = rows.row[chosen], rows.split[chosen]
    scores = by_parts(model.predict, rows.frame[chosen])
    places = {int(r): i for i, r in enumerate(held[ROW])}
    for i in np.flatnonzero(split == "valid"):
        if int(row[i]) in places:  # others are beyond tuning.rows, and no part has seen them
            scores[i] = unseen[places[int(row[i])]]
    members = members_of(best.params)
    log(f"auto: {model.family} as tuning kept it, of {len(members)} members")
    balance = of_members(members, rows, params)
    return Trained(model, rows.y[rows.split == "valid"], scores[split == "valid"], row, split, scores, balance)


def calibrate_bag(model: Model, X: pd.DataFrame, held: pd.DataFrame, method: str, seed: int) -> np.ndarray:
    """Calibrate ``model``, and give the calibrated scores of the rows ``X`` by parts that had not seen them.

    ``held`` are these rows of ``held_out.parquet``. What their scores tell is right for one fold's models; the mean of
    all, which is served, gets its own slope, so that the same number means the same probability from both.
    """
    unseen = scores_in(held)
    if not find_kind(model.kind).calibrated:
        return unseen
    fixed = calibrate(method, unseen, held[TARGET].to_numpy(float), model.kind)
    model.calibration = fixed
    folds = held[[c for c in held if str(c).startswith(FOLD)]].to_numpy(int)
    if method == "auto" and folds.shape[1]:
        assert isinstance(model.fitted, Bag)
        some = np.arange(len(held))
        if len(some) > COMPARED:
            some = np.sort(np.random.default_rng(seed).choice(some, COMPARED, replace=False))
        Z = model.encoder.transform(X.iloc[some])
        model.calibration = calibrate_mean(fixed, *model.fitted.one_and_mean(Z, folds[some]))
    return unseen if fixed is None else fixed.apply(unseen)


def _fold_of(held: pd.DataFrame, rows: Dataset) -> bool:
    """Whether only some of the training rows were held out: then the parts were fitted on validation rows as well."""
    trained = rows.row[rows.split == "train"]
    found = np.isin(trained, held[ROW])
    return bool(found.any() and not found.all())


def _fit_again(own: Settings, rows: Dataset, params: Params, log: Log) -> Trained:
    """The members that tuning chose, each fitted once on all training rows, with the weights that tuning gave them."""
    count = int((rows.split == "train").sum())
    fold, setup = rows.fold, replace(rows.setup(params), calibration="none")
    encoders: dict[str, tuple[Encoder, int]] = {}
    parts: list[BagPart] = []
    for number, member in enumerate(members := members_of(own)):
        log(f"auto: fitting {member.family} again on {count:,} rows, with weight {member.weight:.2f}")
        one = fit_family(member.family, member.params, fold, setup)
        width = sum(len(encoder.names) for encoder, _ in encoders.values())
        alike = f"{find_family(member.family).NEEDS} {member.params.get('imbalance')}"
        assert isinstance(one.encoder, Encoder)
        encoder, start = encoders.setdefault(alike, (one.encoder, width))
        stop = start + len(encoder.names)
        parts.append(BagPart(number, one.fitted, start, stop, encoder.dtype, member.weight))
    joined = Joined([encoder for encoder, _ in encoders.values()])
    bag = Bag(parts, members, len(encoders))
    model = Model("auto", rows.kind, len(rows.classes), joined, bag, params=own)
    if params.training.calibration != "none" and find_kind(rows.kind).calibrated:
        scores = model.predict(fold.X_valid)
        model.calibration = calibrate(params.training.calibration, scores, fold.y_valid, rows.kind)
    return replace(scored(model, rows), balance=of_members(members, rows, params))
