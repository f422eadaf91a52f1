"""Drift of a whole table: every column by a cheap measure, the ones worth a look by Evidently, and the sum of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.drift.columns import MISSING, choose, compare, is_drift, strength
from tasks.drift.evidently_report import Asked, measure

LISTED = 24


def answers(scores: np.ndarray, kind: str, classes: tuple[str, ...]) -> pd.Series:
    """The model's answers as one column: probability of the positive class, class, or number.

    >>> answers(np.array([[0.2, 0.8]]), "multiclass", ("a", "b")).tolist()
    ['b']
    """
    if kind == "multiclass":
        return pd.Series(pd.array([classes[i] for i in scores.argmax(axis=1)], dtype="str"), name="prediction")
    return pd.Series(scores[:, 1] if kind == "binary" else scores, name="prediction", dtype=float)


def compare_tables(reference: pd.DataFrame, current: pd.DataFrame, kinds: dict[str, str]) -> list[dict[str, Any]]:
    """An entry per column of ``kinds`` (name: ``numeric`` or ``categorical``; text is left out), in that order."""
    rows = min(len(reference), len(current))
    looked = {name: kind for name, kind in kinds.items() if kind in ("numeric", "categorical")}
    return [compare(n, k, reference[n], current[n], rows, len(looked)) for n, k in looked.items()]


def listed(entries: list[dict[str, Any]], limit: int = LISTED) -> list[str]:
    """Columns worth Evidently's time: the first of the plan (raw ones come first) and the ones that moved most."""
    fit = [e for e in entries if e["test"] != "missing values"]
    moved = sorted(fit, key=lambda e: (-strength(e), e["column"]))
    chosen = dict.fromkeys([e["column"] for e in moved[: limit // 2]] + [e["column"] for e in fit])
    return list(chosen)[:limit]


def confirm(
    entries: list[dict[str, Any]], prediction: dict[str, Any], reference: pd.DataFrame, current: pd.DataFrame
) -> tuple[list[dict[str, Any]], dict[str, Any], str]:
    """Let Evidently measure the listed columns and the prediction; its figures replace ours.

    Returns the entries (drifted ones first, strongest first), the prediction's entry, and the page.
    """
    names = ["prediction", *listed(entries)]
    by_name = {e["column"]: e for e in [prediction, *entries]}
    asked = [Asked(n, by_name[n]["kind"], by_name[n]["test"], by_name[n]["threshold"]) for n in names]
    asked = [a for a in asked if a.test != "missing values"]
    scores, html = measure(reference, current, asked)
    rows = min(len(reference), len(current))
    for name, score in scores.items():
        entry = by_name[name]
        moved = abs(entry["missing"][1] - entry["missing"][0]) > MISSING
        test, _ = choose(entry["kind"], rows, 1)
        by_name[name] = entry | {
            "statistic": score,
            "drifted": is_drift(test, score, entry["threshold"]) or moved,
            "source": "evidently",
        }
    ordered = sorted(
        (by_name[e["column"]] for e in entries), key=lambda e: (not e["drifted"], -strength(e), e["column"])
    )
    return ordered, by_name["prediction"], html


def summarise(entries: list[dict[str, Any]], prediction: dict[str, Any], drift_share: float) -> dict[str, Any]:
    """``{"drifted", "share", "drift_share", "sentence"}`` of a table: drifted where the share of columns reaches ``drift_share``."""
    count, total = sum(bool(e["drifted"]) for e in entries), len(entries)
    share = count / total if total else 0.0
    drifted = share >= drift_share and count > 0
    sentence = (
        f"{count} of {total} columns drifted ({share:.0%}; {drift_share:.0%} counts as drift of the table), "
        f"and the predictions {'did too' if prediction['drifted'] and count else 'did' if prediction['drifted'] else 'did not'}."
    )
    return {"drifted": drifted, "share": share, "drift_share": drift_share, "sentence": sentence}
