"""`python -m tasks.train FAMILY`: fit a family with the parameters found, and predict valid and test rows."""

from tasks import stage  # isort: skip

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.errors import RefitError
from tasks.families import Rows, check_kind, fit_family, read_rows, save_model
from tasks.families._model import Model
from tasks.files import read_json, replacing_dir, write_json, write_table
from tasks.metrics import report
from tasks.params import load


def predictions(model: Model, rows: Rows) -> pd.DataFrame:
    """Scores of the valid and test rows: ``__row__``, ``__split__`` and the score columns."""
    chosen = np.isin(rows.split, ("valid", "test"))
    scores = model.predict(rows.frame[chosen])
    table = pd.DataFrame({"__row__": rows.row[chosen], "__split__": pd.Series(rows.split[chosen], dtype="str")})
    if scores.ndim == 1:
        return table.assign(score=scores)
    return pd.concat([table, pd.DataFrame(scores, columns=[f"score_{k}" for k in range(scores.shape[1])])], axis=1)


def main() -> None:
    if len(sys.argv) != 2:
        raise RefitError("usage: python -m tasks.train FAMILY")
    name = sys.argv[1]
    params = load()
    check_kind(name, params.problem.kind)
    rows = read_rows()
    tuned = Path("data/tuning") / name
    best, chosen = read_json(tuned / "best.json"), read_json(tuned / "selection.json")
    rows = rows.only(chosen["kept"])
    X, y = rows.of("train")
    X_valid, y_valid = rows.of("valid")
    stage.log(f"{name}: fitting {len(X):,} rows x {X.shape[1]} features with {best['params']}")
    training = params.training
    model = fit_family(
        name,
        best["params"],
        X,
        y,
        X_valid,
        y_valid,
        rows.kind,
        classes=len(rows.classes),
        kinds=rows.kinds,
        encode=params.features.encode.model_dump(exclude_unset=True) if params.features.encode else {},
        imbalance=training.imbalance,
        calibration=training.calibration,
        seed=params.seed,
        device=training.device,
        log=stage.log,
    )
    metrics = report(y_valid, model.predict(X_valid), rows.kind)
    with replacing_dir(Path("data/models") / name) as folder:
        save_model(model, folder / "model")
        write_table(folder / "predictions.parquet", predictions(model, rows))
        write_json(
            folder / "candidate.json",
            {
                "family": name,
                "params": best["params"],
                "metric": params.problem.metric,
                "valid": metrics,
                "features": list(X.columns),
                "dropped": chosen["dropped"],
                "notes": model.notes,
                "history": model.history,
            },
        )
    value = metrics[params.problem.metric]
    stage.log(f"{name}: {params.problem.metric} on validation rows {value if value is None else round(value, 4)}")


if __name__ == "__main__":
    stage.run(main)
