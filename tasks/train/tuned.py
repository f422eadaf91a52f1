"""``auto``: tuning has kept its model (a bag of fold models), so training takes it, and calibrates it if wanted.

Where ``tuning.rows`` kept rows from it, its members are fitted again, for the final fit uses all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tasks.families import Model, Rows, find_family, load_model, read_rows
from tasks.families._bag import Bag, Joined, Part
from tasks.families._calibrate import Calibration
from tasks.families._xgboost_large import Trained
from tasks.files import read_json, read_table
from tasks.params import Params
from tasks.train.whole import fit_rows, scored


def take_tuned(folder: Path, features: list[str], params: Params, log: Callable[[str], None]) -> Trained | None:
    """The model that tuning kept in ``folder``, or None.

    Its parts were fitted on folds of the training and validation rows. So a validation row's scores are those of the
    parts that had not seen it, and not of the whole, which would look better than it is.
    """
    if not (folder / "model").is_dir():
        return None
    rows = read_rows().only(features)
    method = params.training.calibration
    best = read_json(folder / "best.json")
    if best["left_out"]:
        return _fit_again(best["params"], rows, params, log)
    model = load_model(folder / "model")
    held = read_table(folder / "held_out.parquet")
    unseen = held[[c for c in map(str, held.columns) if c.startswith("score")]].to_numpy(float)
    unseen = unseen[:, 0] if rows.kind == "regression" else unseen
    if method != "none":
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


def _fit_again(own: dict[str, Any], rows: Rows, params: Params, log: Callable[[str], None]) -> Trained:
    """The members that tuning chose, each fitted once on all training rows, with the weights that tuning gave them."""
    count = int((rows.split == "train").sum())
    encoders: dict[str, tuple[Any, int]] = {}
    parts: list[Part] = []
    for number, member in enumerate(own["members"]):
        log(f"auto: fitting {member['family']} again on {count:,} rows, with weight {member['weight']:.2f}")
        one = fit_rows(member["family"], member["params"], rows, params)
        width = sum(len(encoder.names) for encoder, _ in encoders.values())
        encoder, start = encoders.setdefault(find_family(member["family"]).NEEDS, (one.encoder, width))
        stop = start + len(encoder.names)
        parts.append(Part(number, one.fitted, start, stop, encoder.dtype, member["weight"]))
    joined = Joined([encoder for encoder, _ in encoders.values()])
    bag = Bag(parts, own["members"], len(encoders))
    model = Model("auto", rows.kind, len(rows.classes), joined, bag, params=own)
    if params.training.calibration != "none":
        X_valid, y_valid = rows.of("valid")
        model.calibration = Calibration.fit(params.training.calibration, model.predict(X_valid), y_valid)
    return scored(model, rows)
