"""Groups of rows on which the model is worse: declared ones, and weak ones found and then confirmed.

Weak slices are searched for on validation rows and tested on test rows, so that the search does not
flatter itself; the tests are corrected for their number (Holm).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from tasks.metrics import measure
from tasks.paired import holm

LEAST_ROWS = 30
FOUND = 20
BINS = 4


@dataclass(frozen=True)
class Rows:
    """Feature rows with what the model said of them: ``loss`` (n,) is the squared error of the prediction."""

    X: pd.DataFrame
    y: np.ndarray
    scores: np.ndarray

    @property
    def loss(self) -> np.ndarray:
        if self.scores.ndim == 1:
            return (self.scores - self.y) ** 2
        truth = np.eye(self.scores.shape[1])[self.y.astype(np.int64)]
        return ((self.scores - truth) ** 2).sum(axis=1) / 2


def bands(valid: pd.DataFrame, test: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Codes of a feature's values in validation and test rows, and what each code is called.

    Categories as they are; numbers in at most four bands of about equal size, cut on validation rows;
    a missing value is a band of its own. Code -1: a category that validation rows do not have.
    """
    a, b = valid[column], test[column]
    if pd.api.types.is_numeric_dtype(a):
        known = a.to_numpy(dtype=float)
        known = known[np.isfinite(known)]
        cuts = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.zeros(0)
        values = np.unique(known)
        if len(values) == 0:
            names, codes = [], [np.full(len(x), -1) for x in (a, b)]
        elif len(values) <= BINS:
            names = [f"= {v:.6g}" for v in values]
            codes = [np.searchsorted(values, x.to_numpy(dtype=float)).clip(0, len(values) - 1) for x in (a, b)]
            codes = [np.where(values[c] == x.to_numpy(dtype=float), c, -1) for c, x in zip(codes, (a, b), strict=True)]
        else:
            edges = [f"{c:.6g}" for c in cuts]
            names = [f"≤ {edges[0]}"]
            names += [f"{low} to {high}" for low, high in pairwise(edges)]
            names += [f"> {edges[-1]}"]
            codes = [np.searchsorted(cuts, x.to_numpy(dtype=float), side="left") for x in (a, b)]
    else:
        values = pd.Index(sorted(a.dropna().unique()))
        names = [f"= {v}" for v in values]
        codes = [values.get_indexer(x) for x in (a, b)]
    gone = [x.isna().to_numpy() for x in (a, b)]
    if any(g.any() for g in gone):
        names = [*names, "missing"]
        codes = [np.where(g, len(names) - 1, c) for g, c in zip(gone, codes, strict=True)]
    return codes[0].astype(np.int64), codes[1].astype(np.int64), names


def _excess(loss: np.ndarray, codes: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Welch's t of each code's mean loss against all other rows', and its number of rows; -1 codes are left out."""
    inside = codes >= 0
    n = np.bincount(codes[inside], minlength=size).astype(float)
    s = np.bincount(codes[inside], weights=loss[inside], minlength=size)
    q = np.bincount(codes[inside], weights=loss[inside] ** 2, minlength=size)
    m, total, squares = float(len(loss)), loss.sum(), (loss**2).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, rest = s / n, (total - s) / (m - n)
        var = (q / n - mean**2) / n
        var_rest = ((squares - q) / (m - n) - rest**2) / (m - n)
        t = (mean - rest) / np.sqrt(var + var_rest)
    return np.where((n >= 2) & (m - n >= 2), t, 0.0), n


def weak(valid: Rows, test: Rows, columns: list[str], metric: str, kind: str, threshold: float) -> list[dict[str, Any]]:
    """Slices by one feature or two whose loss is larger than the other rows', worst first.

    The search looks at every band of every feature, and at pairs of bands of the eight features with the
    weakest bands, on validation rows. What it finds is tested on test rows, one-sided, Holm-corrected.
    """
    from scipy.stats import norm

    least = max(LEAST_ROWS, round(0.005 * len(valid.y)))
    loss = valid.loss
    coded: dict[str, tuple[np.ndarray, np.ndarray, list[str]]] = {}
    found: list[tuple[float, dict[str, str], np.ndarray, np.ndarray]] = []
    tops: list[tuple[float, str]] = []

    def look(names: tuple[str, ...], a: np.ndarray, b: np.ndarray, labels: list[dict[str, str]]) -> float:
        t, n = _excess(loss, a, len(labels))
        t = np.where(n >= least, t, 0.0)
        found.extend((float(t[k]), labels[k], a == k, b == k) for k in np.flatnonzero(t > 1.5))
        return float(t.max(initial=0.0))

    for column in columns:
        coded[column] = bands(valid.X, test.X, column)
        a, b, names = coded[column]
        if 1 < len(names) <= 200:
            tops.append((look((column,), a, b, [{column: name} for name in names]), column))
    best = [column for _, column in sorted(tops, key=lambda item: (-item[0], item[1]))[:8]]
    for i, one in enumerate(best):
        for two in best[i + 1 :]:
            (a1, b1, n1), (a2, b2, n2) = coded[one], coded[two]
            if len(n1) * len(n2) > 400:
                continue
            a = np.where((a1 < 0) | (a2 < 0), -1, a1 * len(n2) + a2)
            b = np.where((b1 < 0) | (b2 < 0), -1, b1 * len(n2) + b2)
            look((one, two), a, b, [{one: x, two: y} for x in n1 for y in n2])
    found.sort(key=lambda item: (-item[0], str(item[1])))
    chosen: list[tuple[dict[str, str], np.ndarray, np.ndarray]] = []
    for _, label, in_valid, in_test in found:
        if len(chosen) == FOUND:
            break
        if all((in_valid & other).sum() < 0.6 * (in_valid | other).sum() for _, other, _ in chosen):
            chosen.append((label, in_valid, in_test))
    tested = [(label, inside) for label, _, inside in chosen if LEAST_ROWS <= inside.sum() <= len(inside) - LEAST_ROWS]
    if not tested:
        return []
    t = [float(_excess(test.loss, inside.astype(np.int64), 2)[0][1]) for _, inside in tested]
    p = norm.sf(np.array(t))
    out = [
        {**describe(test, inside, metric, kind, threshold), "where": label, "p": float(raw), "p_holm": float(adjusted)}
        for (label, inside), raw, adjusted in zip(tested, p, holm(p), strict=True)
    ]
    return sorted(out, key=lambda item: (item["p_holm"], -item["loss"] + item["loss_elsewhere"]))


def declared(
    valid: Rows, test: Rows, columns: list[str], metric: str, kind: str, threshold: float
) -> list[dict[str, Any]]:
    """Every band of the declared features, with the two-sided test of its loss against the others', Holm-corrected."""
    from scipy.stats import norm

    out: list[dict[str, Any]] = []
    for column in columns:
        _, codes, names = bands(valid.X, test.X, column)
        t, n = _excess(test.loss, codes, len(names))
        for k in np.flatnonzero(n > 0):
            about = describe(test, codes == k, metric, kind, threshold)
            out.append({**about, "where": {column: names[k]}, "p": float(2 * norm.sf(abs(t[k])))})
    for item, adjusted in zip(out, holm(np.array([item["p"] for item in out])), strict=True):
        item["p_holm"] = float(adjusted)
    return out


def describe(rows: Rows, inside: np.ndarray, metric: str, kind: str, threshold: float) -> dict[str, Any]:
    """Size of a slice, its loss and the other rows', the metric, and what is said against what happens there."""
    y, scores, loss = rows.y[inside], rows.scores[inside], rows.loss
    value = measure(metric, y, scores, kind, threshold) if len(y) else float("nan")
    out = {
        "rows": int(inside.sum()),
        "share": float(inside.mean()),
        "loss": float(loss[inside].mean()),
        "loss_elsewhere": float(loss[~inside].mean()) if (~inside).any() else None,
        "metric": float(value) if np.isfinite(value) else None,
    }
    if kind == "multiclass":
        out |= {"accuracy": float((scores.argmax(axis=1) == y).mean())}
    else:
        said = scores[:, 1] if kind == "binary" else scores
        out |= {"predicted": float(said.mean()), "observed": float(y.mean())}
    return out
