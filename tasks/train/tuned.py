"""``auto``: tuning has kept its model (a bag of fold models), so training takes it, and calibrates it if wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tasks.errors import RefitError
from tasks.families import load_model, read_rows
from tasks.families._calibrate import Calibration
from tasks.families._xgboost_large import Trained
from tasks.files import read_table
from tasks.params import Params


def take_tuned(folder: Path, features: list[str], params: Params, log: Callable[[str], None]) -> Trained | None:
    """The model that tuning kept in ``folder``, or None.

    Its parts were fitted on folds of the training and validation rows. So a validation row's scores are those of the
    parts that had not seen it, and not of the whole, which would look better than it is.
    """
    if not (folder / "model").is_dir():
        return None
    model = load_model(folder / "model")
    rows = read_rows().only(features)
    held = read_table(folder / "held_out.parquet")
    unseen = held[[c for c in map(str, held.columns) if c.startswith("score")]].to_numpy(float)
    unseen = unseen[:, 0] if rows.kind == "regression" else unseen
    method = params.training.calibration
    if method != "none":
        if rows.kind == "regression":
            raise RefitError(f"training.calibration: {method!r} needs classes, and problem.kind is 'regression'")
        model.calibration = Calibration.fit(method, unseen, held["__target__"].to_numpy(float))
        unseen = model.calibration.apply(unseen)
    chosen = np.isin(rows.split, ("valid", "test"))
    row, split = rows.row[chosen], rows.split[chosen]
    scores = model.predict(rows.frame[chosen])
    places = {int(r): i for i, r in enumerate(held["__row__"])}
    for i in np.flatnonzero(split == "valid"):
        if int(row[i]) in places:  # others are beyond tuning.rows, and no part has seen them
            scores[i] = unseen[places[int(row[i])]]
    log(f"auto: {model.family} as tuning kept it, of {len(model.notes.get('members', [1]))} members")
    return Trained(model, rows.y[rows.split == "valid"], scores[split == "valid"], row, split, scores)
