"""Imbalanced classes: weights, or other rows. Only ever applied to training rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import RefitError


def balanced_weight(y: np.ndarray, classes: int) -> np.ndarray:
    """A weight a row, so that every class weighs the same and the mean is 1.

    >>> balanced_weight(np.array([0.0, 0.0, 0.0, 1.0]), 2).round(2).tolist()
    [0.67, 0.67, 0.67, 2.0]
    """
    counts = np.bincount(y.astype(int), minlength=classes)
    present = counts > 0
    per_class = np.zeros(classes)
    per_class[present] = len(y) / (present.sum() * counts[present])
    return per_class[y.astype(int)]


def resample(X: pd.DataFrame, y: np.ndarray, how: str, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Balance rows by ``smote``, ``adasyn``, ``under_sample`` or ``smote_tomek`` (imbalanced-learn).

    Real rows keep their missing values; made-up rows are interpolated between rows imputed with medians,
    and take the nearest category.
    """
    from imblearn import combine, over_sampling, under_sampling

    labels = y.astype(int)
    if how == "under_sample":
        sampler = under_sampling.RandomUnderSampler(random_state=seed)
        sampler.fit_resample(np.zeros((len(X), 1)), labels)
        kept = np.sort(sampler.sample_indices_)
        return X.iloc[kept].reset_index(drop=True), y[kept]
    smallest = int(np.bincount(labels)[np.unique(labels)].min())
    if smallest < 2:
        raise RefitError(
            f"training.imbalance: {how!r} interpolates between rows of a class, and one class has {smallest}; "
            "use class_weight, or gather more rows"
        )
    near = min(5, smallest - 1)
    samplers: dict[str, Any] = {
        "smote": lambda: over_sampling.SMOTE(random_state=seed, k_neighbors=near),
        "adasyn": lambda: over_sampling.ADASYN(random_state=seed, n_neighbors=near),
        "smote_tomek": lambda: combine.SMOTETomek(
            random_state=seed, smote=over_sampling.SMOTE(random_state=seed, k_neighbors=near)
        ),
    }
    table, levels = _numbers(X)
    center, spread = table.mean(axis=0), table.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    try:
        made, classes = samplers[how]().fit_resample((table - center) / spread, labels)
    except (ValueError, RuntimeError) as error:
        raise RefitError(f"training.imbalance: {how!r} cannot balance these rows: {error}") from None
    made = made * spread + center
    # Rows that came through unchanged are real ones: SMOTE and ADASYN append, Tomek links then drop some.
    fresh = made if how == "smote_tomek" else made[len(X) :]
    fresh_y = classes if how == "smote_tomek" else classes[len(X) :]
    frame = pd.DataFrame({c: _column(X[c], fresh[:, j], levels.get(c)) for j, c in enumerate(X.columns)})
    if how == "smote_tomek":
        return frame, fresh_y.astype(float)
    joined = pd.concat([X.reset_index(drop=True), frame], ignore_index=True)
    return joined, np.concatenate([y, fresh_y.astype(float)])


def _numbers(X: pd.DataFrame) -> tuple[np.ndarray, dict[str, list[str]]]:
    """The frame as numbers without gaps: medians for missing ones, codes for categories."""
    levels: dict[str, list[str]] = {}
    columns = []
    for name in X.columns:
        if pd.api.types.is_numeric_dtype(X[name]):
            values = X[name].to_numpy(float)
            known = values[np.isfinite(values)]
            columns.append(np.where(np.isfinite(values), values, np.median(known) if len(known) else 0.0))
        else:
            codes, found = pd.factorize(X[name], sort=True)
            levels[str(name)] = [str(v) for v in found]
            columns.append(codes.astype(float))
    return np.column_stack(columns), levels


def _column(like: pd.Series, values: np.ndarray, levels: list[str] | None) -> pd.Series:
    if levels is None:
        return pd.Series(values, dtype=float)
    codes = np.rint(values).astype(int)
    return pd.Series([levels[c] if 0 <= c < len(levels) else None for c in codes], dtype=like.dtype)
