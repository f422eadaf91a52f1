"""Why the chosen model says what it says: SHAP values and partial dependence, within a budget of rows.

The budget is counted in rows and predictions, not in seconds, so that the same inputs give the same bytes. How SHAP
values are found by asking alone stands in :mod:`tasks.evaluate.shapley`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tasks.artifacts import (
    Contribution,
    ExplainedRow,
    Explanation,
    FeatureValues,
    PartialDependence,
    ShapError,
    Surface,
)
from tasks.artifacts.pages import Value
from tasks.evaluate.shapley import Asked, by_asking
from tasks.kinds import TWO, find_kind
from tasks.models import Model
from tasks.models.mixture import Mixture

SHAP_ROWS = 1000  # rows explained by formulas that know the model's inside
BACKGROUND = 200
DRAWN = 20  # rows drawn at random, from which importance is their mean alone
SHOWN_ROWS = 200
SHOWN_FEATURES = 15
PDP_FEATURES = 6
PDP_ROWS = 300
GRID = 20


@dataclass(frozen=True)
class Explained:
    """SHAP values ``(n, features, outputs)`` of rows, ``base`` (outputs,), and in which unit they add up.

    ``asked``: how exact they are, where they were found by asking alone.
    """

    values: np.ndarray
    base: np.ndarray
    method: str
    unit: str
    asked: Asked | None = None


def groups(model: Model, features: Sequence[str]) -> list[np.ndarray]:
    """Positions of the encoder's output columns that come from each feature."""
    owner: dict[str, list[int]] = {f: [] for f in features}
    by_length = sorted(features, key=len, reverse=True)
    for at, name in enumerate(model.encoder.names):
        found = name if name in owner else next(f for f in by_length if name.startswith(f))
        owner[found].append(at)
    return [np.array(owner[f], dtype=np.int64) for f in features]


def _gather(values: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
    """Sum ``(n, columns, outputs)`` over the columns of each feature."""
    return np.stack([values[:, part].sum(axis=1) for part in parts], axis=1)


def shap_values(mixture: Mixture, X: pd.DataFrame, background: pd.DataFrame, seed: int) -> Explained:
    """SHAP values by the quickest way that fits: trees, linear models, or by asking anything else.

    An ensemble is explained by asking, in the unit that it answers in. So is a calibrated model, unless its
    calibration scales log-odds: then it scales their parts.
    """
    models = mixture.models
    own = models[0].calibration
    scale = None if own is None else own.scale
    if len(models) == 1 and (own is None or (scale is not None and "limit" not in scale)):
        inside = _from_inside(models[0], X, background)
        if inside is not None and scale is None:
            return inside
        if inside is not None and scale is not None and inside.unit == "log-odds":
            base = scale["slope"] * inside.base + scale.get("shift", 0.0)
            return replace(inside, values=scale["slope"] * inside.values, base=base)
    return asked_shap(mixture, X, background, seed)


def _from_inside(model: Model, X: pd.DataFrame, background: pd.DataFrame) -> Explained | None:
    name, fitted = model.fitted.FORMAT, model.fitted
    unit = find_kind(model.kind).margin_unit
    Z, parts = model.encoder.transform(X), groups(model, [str(c) for c in X])
    if name == "xgboost":
        import xgboost

        booster = fitted.booster  # type: ignore[attr-defined]
        matrix = xgboost.DMatrix(Z, feature_types=booster.feature_types, enable_categorical=True, nthread=1)
        raw = _outputs_last(np.asarray(booster.predict(matrix, pred_contribs=True), dtype=float))
    elif name == "lightgbm":
        booster = fitted.booster  # type: ignore[attr-defined]
        found = np.asarray(booster.predict(Z, pred_contrib=True, num_threads=1), dtype=float)
        raw = found.reshape(len(Z), -1, Z.shape[1] + 1).transpose(0, 2, 1)
    elif name == "linear":
        coef, centre = fitted.coef, model.encoder.transform(background).mean(axis=0)  # type: ignore[attr-defined]
        values = (Z - centre)[:, :, None] * coef[None]
        return Explained(_gather(values, parts), centre @ coef + fitted.intercept, "linear", unit)  # type: ignore[attr-defined]
    elif name == "skops":
        return _from_trees(model, Z[:SHOWN_ROWS], parts)
    else:
        return None
    return Explained(_gather(raw[:, :-1], parts), raw[0, -1], "tree", unit)


def _from_trees(model: Model, Z: np.ndarray, parts: list[np.ndarray]) -> Explained | None:
    """scikit-learn's trees by shap's TreeExplainer; None for estimators that it does not know, or gets wrong.

    (It reads the category splits of histogram boosting as numeric ones.) So its values are taken only where they add up
    to the estimator's own answer, which also tells their unit.
    """
    import shap

    try:
        explainer = shap.TreeExplainer(model.fitted.estimator)  # type: ignore[attr-defined]
        found = np.asarray(explainer.shap_values(Z, check_additivity=False), dtype=float)
    except Exception:  # shap has no common exception for "not a tree that I know"
        return None
    found = found[:, :, None] if found.ndim == 2 else found
    base = np.atleast_1d(np.asarray(explainer.expected_value, dtype=float))
    problem = find_kind(model.kind)
    if found.shape[2] == 2 and problem.output == TWO:
        found, base = found[:, :, 1:], base[1:]
    total, answers = found.sum(axis=1) + base, problem.output.free(model.fitted.predict(Z))
    if total.shape == answers.shape and np.allclose(total, answers, atol=1e-5, rtol=1e-5):
        unit = problem.unit
    elif problem.output.classes and np.allclose(_probabilities(total), answers, atol=1e-5):
        unit = problem.margin_unit
    else:
        return None
    return Explained(_gather(found, parts), base, "tree", unit)


def _probabilities(total: np.ndarray) -> np.ndarray:
    """Log-odds ``(n, 1)`` by the logistic function, ``(n, classes)`` by softmax."""
    if total.shape[1] == 1:
        return 0.5 * (1.0 + np.tanh(0.5 * total))
    shifted = np.exp(total - total.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _outputs_last(raw: np.ndarray) -> np.ndarray:
    """XGBoost's ``(n, columns + 1)`` or ``(n, outputs, columns + 1)`` as ``(n, columns + 1, outputs)``."""
    return raw[:, :, None] if raw.ndim == 2 else raw.transpose(0, 2, 1)


def asked_shap(mixture: Mixture, X: pd.DataFrame, background: pd.DataFrame, seed: int) -> Explained:
    """SHAP values of as many of the first rows as the budget allows, by asking the models only."""
    models = mixture.models
    problem = find_kind(models[0].kind)
    rows, back = [m.encoder.transform(X) for m in models], [m.encoder.transform(background) for m in models]

    def answer(encoded: list[np.ndarray]) -> np.ndarray:
        return problem.output.free(mixture.mean([_score(m, Z) for m, Z in zip(models, encoded, strict=True)]))

    parts = [groups(m, [str(c) for c in X]) for m in models]
    found = by_asking(answer, rows, back, parts, sum(cost(m.fitted) for m in models), seed)
    return Explained(found.values, found.base, "exact" if found.exact else "permutation", problem.unit, found)


def _score(model: Model, Z: np.ndarray) -> np.ndarray:
    """:meth:`Model.score`; of a network in large batches, ten times as quick: the last bits are no matter here."""
    fitted: Any = model.fitted
    if fitted.FORMAT != "network":
        return model.score(Z)
    from tasks.families.mlp.network import margins, scores_of

    raw = scores_of(margins(fitted.network, Z), model.kind, fitted.center, fitted.spread)
    return raw if model.calibration is None else model.calibration.apply(raw)


SLOW = {"realmlp": 20.0, "tabm": 20.0}  # networks that answer in blocks of a few rows


def cost(fitted: Any) -> float:
    """About how many times as long as a small network's a row's answer takes, by what the fitted model is made of."""
    if fitted.FORMAT == "bag":
        return sum(cost(part.fitted) for part in fitted.parts)
    inside = getattr(fitted, "estimator", None)
    seen = getattr(inside, "n_samples_fit_", 0) + int(np.sum(getattr(inside, "n_support_", 0)))  # neighbours, vectors
    trees = getattr(inside, "n_estimators", 0) or 0
    return max(SLOW.get(fitted.FORMAT, 1.0), seen / 500, trees / 20)


def partial_dependence(predict: Callable[[pd.DataFrame], np.ndarray], X: pd.DataFrame, feature: str,
                       kind: str) -> PartialDependence:  # fmt: skip
    """Mean score of the rows ``X`` with ``feature`` set to each of some values (Friedman, 2001).

    Numbers: up to 20 quantiles from 1% to 99%; categories: the ten most frequent. ``mean`` has one list an output.
    """
    column = X[feature]
    if pd.api.types.is_numeric_dtype(column):
        known = column.dropna().to_numpy(dtype=float)
        grid: list[Value] = np.unique(np.quantile(known, np.linspace(0.01, 0.99, GRID))).tolist() if len(known) else []
    else:
        grid = column.value_counts().sort_index().sort_values(ascending=False, kind="stable").index[:10].tolist()
    if not grid:
        return PartialDependence(feature=feature, values=[], mean=[])
    many = pd.concat([X] * len(grid), ignore_index=True)
    many[feature] = pd.Series(np.repeat(np.array(grid, dtype=object), len(X))).astype(column.dtype)
    answers = find_kind(kind).output.free(predict(many)).reshape(len(grid), len(X), -1).mean(axis=1)
    means = [[float(v) for v in answers[:, k]] for k in range(answers.shape[1])]
    return PartialDependence(feature=feature, values=grid, mean=means)


def surface(predict: Callable[[pd.DataFrame], np.ndarray], X: pd.DataFrame, two: tuple[str, str], kind: str,
            points: int = 24) -> Surface:  # fmt: skip
    """Scores over two numeric features, the others as in the most ordinary row: where decisions change.

    The ordinary row is the one with each number nearest its median rank; regression and binary give one grid,
    multiclass the most probable class.
    """
    numbers = X.select_dtypes("number")
    away = (numbers.rank(pct=True) - 0.5).abs().fillna(0.5).sum(axis=1).to_numpy()
    row = X.iloc[[int(np.argmin(away))]]
    ends = [np.nanquantile(X[f].to_numpy(dtype=float), [0.02, 0.98]) for f in two]
    axes = [np.linspace(float(low), float(high), points) for low, high in ends]
    many = pd.concat([row] * points * points, ignore_index=True)
    many[two[0]], many[two[1]] = np.tile(axes[0], points), np.repeat(axes[1], points)
    scores = predict(many)
    free = find_kind(kind).output.free(scores)
    flat = free[:, 0] if free.shape[1] == 1 else free.argmax(axis=1)
    score = np.asarray(flat, dtype=float).reshape(points, points).round(6).tolist()
    return Surface(features=list(two), x=axes[0].tolist(), y=axes[1].tolist(), score=score)


def explain(mixture: Mixture, X: pd.DataFrame, rows: np.ndarray, background: pd.DataFrame, notable: list[int],
            kind: str, seed: int) -> Explanation:  # fmt: skip
    """``explain.json``: importance (bar), summary points (beeswarm), single rows, partial dependence, a surface.

    Parameters
    ----------
    X, rows : test rows' features and their positions in the validated table.
    notable : positions in ``X`` of rows to be explained one by one.
    """
    features = [str(c) for c in X]
    rng = np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(len(X)), notable)
    drawn = np.sort(rng.choice(others, min(SHAP_ROWS, len(others)), replace=False))
    at = np.concatenate([np.asarray(notable, dtype=np.int64), rng.permutation(drawn)])
    back = background.iloc[np.sort(rng.choice(len(background), min(BACKGROUND, len(background)), replace=False))]
    found = shap_values(mixture, X.iloc[at], back, seed)
    at = at[: len(found.values)]
    size = np.abs(found.values).sum(axis=2)
    if len(at) - len(notable) >= DRAWN:
        size = size[len(notable) :]
    weight = size.mean(axis=0)
    doubt = size.std(axis=0, ddof=1) / np.sqrt(len(size)) if len(size) > 1 else np.full(len(features), np.nan)
    order = np.argsort(-weight, kind="stable")
    top = order[:SHOWN_FEATURES]
    shown = np.arange(len(at))[:SHOWN_ROWS]

    problem, predict = find_kind(kind), mixture.predict
    answers = problem.output.free(predict(X.iloc[at[: max(len(notable), 1)]]))
    sample = X.iloc[np.sort(at[:PDP_ROWS])]
    numeric = [
        features[j] for j in order if pd.api.types.is_numeric_dtype(X[features[j]]) and X[features[j]].nunique() > 8
    ]
    one_output = found.values.shape[2] == 1
    of_feature = [found.values[shown, j].sum(axis=1) if one_output else found.values[shown, j, -1] for j in top]
    return Explanation(
        method=f"mean absolute SHAP value, in {found.unit}",
        explainer=found.method,
        unit=found.unit,
        rows_explained=len(at),
        base=found.base.tolist(),
        space=problem.adds_up(found.unit),
        error=_error(found),
        importance={features[j]: float(weight[j]) for j in order},
        importance_error={features[j]: None if np.isnan(doubt[j]) else float(doubt[j]) for j in order},
        summary=[
            FeatureValues(
                feature=features[j], value=_values(X[features[j]].iloc[at[shown]]), shap=np.round(own, 6).tolist()
            )
            for j, own in zip(top, of_feature, strict=True)
        ],
        rows=[_one(found, X, rows, int(at[i]), i, features, answers[i]) for i in range(min(len(notable), len(at)))],
        partial_dependence=[partial_dependence(predict, sample, features[j], kind) for j in order[:PDP_FEATURES]],
        surface=surface(predict, X.iloc[np.sort(at)], (numeric[0], numeric[1]), kind) if len(numeric) > 1 else None,
    )


def _error(found: Explained) -> ShapError:
    """How far off single contributions may be: standard errors, in the unit and as shares of the answers' spread."""
    asked = found.asked
    if asked is None or asked.exact:
        return ShapError(kind="exact", background=None if asked is None else asked.background)
    return ShapError(
        kind="sampled",
        stated=asked.stated,
        spread=asked.spread,
        largest=float(asked.errors.max(initial=0.0)),
        typical=float(np.sqrt(np.mean(asked.errors**2))),
        within=float(np.mean(asked.errors.max(axis=(1, 2)) <= asked.stated * asked.spread)),
        walks=[int(asked.walks.min()), int(asked.walks.max())],
        background=asked.background,
        predictions=asked.predictions,
    )


def _one(found: Explained, X: pd.DataFrame, rows: np.ndarray, at: int, i: int, features: list[str], answer: np.ndarray) -> ExplainedRow:  # fmt: skip
    """One row's largest contributions, for the output that it raises most; ``answer`` is what the model says of it."""
    totals = found.values[i].sum(axis=0) + found.base
    output = int(np.argmax(totals))
    own = found.values[i, :, output]
    doubt = np.zeros(len(own)) if found.asked is None else found.asked.errors[i, :, output]
    order = np.argsort(-np.abs(own), kind="stable")[:10]
    values = [_values(X[features[j]].iloc[[at]])[0] for j in order]
    return ExplainedRow(
        row=int(rows[at]),
        output=output,
        base=float(found.base[output]),
        total=float(totals[output]),
        answer=float(answer[output]),
        contributions=[
            Contribution(feature=features[j], value=v, shap=float(own[j]), error=float(doubt[j]))
            for j, v in zip(order, values, strict=True)
        ],
        others=float(own.sum() - own[order].sum()),
    )


def _values(column: pd.Series) -> list[Value]:
    return [None if pd.isna(v) else v for v in column.tolist()]
