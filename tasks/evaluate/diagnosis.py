"""Learning and validation curves, and what they say about bias and variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.metrics import higher_is_better

POINTS = 100


def histories(info: dict[str, Any]) -> dict[str, Any]:
    """A candidate's loss curves, thinned: by name, the steps (from 1) and the values."""
    out = {}
    for name, values in (info.get("history") or {}).items():
        count = len(values)
        keep = (
            np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int)) if count else np.zeros(0, int)
        )
        out[name] = {"step": [int(k) + 1 for k in keep], "value": [values[k] for k in keep]}
    return out


def validation_curves(trials: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """For every tuned parameter its values, sorted, and what each trial with it reached.

    >>> trials = [{"params": {"depth": 5}, "value": 0.7, "state": "complete"},
    ...           {"params": {"depth": 3}, "value": 0.6, "state": "complete"}]
    >>> validation_curves(trials)
    {'depth': [{'value': 3, 'metric': 0.6}, {'value': 5, 'metric': 0.7}]}
    """
    done = [t for t in trials if t.get("value") is not None and t.get("state", "complete") == "complete"]
    names = sorted({name for t in done for name in t["params"]})
    out = {}
    for name in names:
        points = [{"value": t["params"][name], "metric": t["value"]} for t in done if name in t["params"]]
        numeric = all(isinstance(p["value"], int | float) for p in points)
        out[name] = sorted(points, key=lambda p: (p["value"] if numeric else str(p["value"]), p["metric"]))
    return out


def diagnose(metric: str, train: float, valid: float, test: float, baseline: float, interval: tuple[float, float] | None,
             curve: list[dict[str, Any]]) -> dict[str, Any]:  # fmt: skip
    """Bias and variance in words, from the values of one metric.

    What a model gains over the baseline on rows it was trained on is its reach; the part of that gain which
    is lost on validation rows is variance; a small reach is bias (or noise that nothing can explain).

    Parameters
    ----------
    curve : ``{"rows", "valid"}`` of the same family fitted on fewer rows, smallest first.
    """
    sign = 1.0 if higher_is_better(metric) else -1.0
    reach, kept, later = (sign * (v - baseline) for v in (train, valid, test))
    lost = reach - kept
    said = []
    if reach <= 0:
        kind = "underfit"
        said.append(
            "Even on its training rows the model is no better than without features: it underfits, or the features say nothing."
        )
    elif lost > 0.5 * reach:
        kind = "variance"
        said.append(f"Of the gain on training rows {lost / reach:.0%} is lost on validation rows: the model overfits. "
                    "More rows, stronger regularisation or fewer features should help.")  # fmt: skip
    elif lost > 0.2 * reach:
        kind = "some variance"
        said.append(
            f"Of the gain on training rows {lost / reach:.0%} is lost on validation rows: some overfitting, as usual for flexible models."
        )
    else:
        kind = "bias"
        said.append("Training and validation rows are judged about alike: what is missing is bias or noise. "
                    "Better features or a more flexible model can help.")  # fmt: skip
    if interval is not None and not interval[0] <= valid <= interval[1]:
        direction = "better" if later > kept else "worse"
        said.append(
            f"Test rows come out {direction} than validation rows by more than chance explains: the problem changes over time, or the splits differ."
        )
    if len(curve) >= 2:
        gain = sign * (curve[-1]["valid"] - curve[-2]["valid"])
        factor = curve[-1]["rows"] / curve[-2]["rows"]
        share = gain / abs(kept) if kept else 0.0
        rows = f"The last step from {curve[-2]['rows']:,} to {curve[-1]['rows']:,} training rows (times {factor:.2g})"
        if share > 0.05:
            said.append(f"{rows} still improved {metric} by {abs(gain):.3g}: more rows are worth having.")
        else:
            said.append(f"{rows} changed {metric} by {gain * sign:+.2g}: more of the same rows would change little.")
    return {
        "kind": kind,
        "metric": metric,
        "train": train,
        "valid": valid,
        "test": test,
        "baseline": baseline,
        "said": said,
    }
