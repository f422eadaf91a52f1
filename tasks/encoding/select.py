"""Which features to keep, judged on training rows alone; every dropped one has its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tasks.encoding.encoder import Encoder
from tasks.errors import RefitError, some
from tasks.kinds import find_kind
from tasks.params import Select

ROWS = 20_000  # rows that are looked at; more change no decision worth making


@dataclass(frozen=True)
class Selection:
    """Features kept, in their old order, and why the others were dropped."""

    kept: list[str]
    dropped: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"kept": self.kept, "dropped": self.dropped}


def select(
    X: pd.DataFrame,
    y: np.ndarray,
    kind: str,
    how: Select,
    kinds: Mapping[str, str],
    time: pd.Series | None = None,
    seed: int = 0,
) -> Selection:
    """Apply the ways of ``how`` one after another.

    Parameters
    ----------
    X, y : training rows. Text columns are always kept.
    kind, kinds : of the problem, and of each feature.
    time : prediction times of the rows, for ``time_auc``.

    Raises
    ------
    RefitError
        If ``keep`` names an unknown feature, ``time_auc`` has no times, or nothing would be left.
    """
    if unknown := [c for c in how.keep if c not in X]:
        raise RefitError(f"features.select.keep: {some(unknown)} not among the features {some(X.columns)}")
    looked_at = "the training rows"
    if len(X) > ROWS:
        looked_at = f"a sample of {ROWS:,} training rows"
        at = np.sort(np.random.default_rng(seed).choice(len(X), ROWS, replace=False))
        X, y, time = X.iloc[at], y[at], None if time is None else time.iloc[at]
    judged = [c for c in X.columns if kinds[c] != "text"]
    table = _table(X[judged], y, kind, {c: kinds[c] for c in judged}, seed)
    dropped: dict[str, str] = {}

    def drop(reasons: Mapping[str, str]) -> None:
        nonlocal table
        for name, reason in reasons.items():
            if name not in how.keep:
                dropped[name] = reason
        table = table[[c for c in table.columns if c not in dropped]]

    constant = {c: f"has one value in {looked_at}" for c in table.columns if table[c].nunique() < 2}
    drop(constant)
    if how.correlation is not None:
        drop(_correlated(table, how.correlation, how.keep))
    if how.time_auc is not None:
        drop(_dated(table, time, how.time_auc, seed))
    for way, limit in (
        ("univariate", how.univariate),
        ("l1", how.l1),
        ("importance", how.importance),
        ("rfe", how.rfe),
    ):
        if limit is not None and table.shape[1] > 1:
            drop(WAYS[way](table, y, kind, limit, seed))
    kept = [c for c in X.columns if c not in dropped]
    if not kept:
        raise RefitError("features.select: nothing is left; loosen it, or name features in features.select.keep")
    return Selection(kept, dropped)


def _table(X: pd.DataFrame, y: np.ndarray, kind: str, kinds: Mapping[str, str], seed: int) -> pd.DataFrame:
    """One standardised number a feature, nothing missing; categories as cross-fitted target means."""
    columns = {}
    for name in X.columns:
        _, Z = Encoder.fit_transform(
            X[[name]], y, "dense", kind, kinds={name: kinds[name]}, seed=seed, categories="target"
        )
        if not Z.shape[1]:  # missing in every row
            columns[name] = np.zeros(len(X))
            continue
        missing = Z.shape[1] > 1 and np.ptp(Z[:, 0]) == 0  # one value: what tells rows apart is where it is missing
        column = Z[:, -1] if kinds[name] == "categorical" or missing else Z[:, 0]
        spread = column.std()
        columns[name] = (column - column.mean()) / spread if spread > 0 else np.zeros(len(column))
    return pd.DataFrame(columns)


def _correlated(table: pd.DataFrame, limit: float, keep: tuple[str, ...]) -> dict[str, str]:
    """Of two features with a rank correlation above ``limit``, the later one goes."""
    names = list(table.columns)
    ranks = table.rank().to_numpy()
    matrix = np.atleast_2d(np.corrcoef(ranks, rowvar=False))
    gone: dict[str, str] = {}
    for j, name in enumerate(names):
        for i in range(j):
            alike = abs(matrix[i, j])
            if names[i] not in gone and name not in keep and alike > limit:
                gone[name] = f"rank correlation {alike:.3f} with {names[i]}"
                break
    return gone


def _dated(table: pd.DataFrame, time: pd.Series | None, limit: float, seed: int) -> dict[str, str]:
    """Adversarial check: features from which alone a small tree tells the older half of the rows from the newer."""
    from sklearn.model_selection import cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    if time is None or time.isna().all():
        raise RefitError(
            "features.select.time_auc: the rows have no time; set problem.prediction_time, or leave it out"
        )
    newer = (time.to_numpy() > np.sort(time.to_numpy())[len(time) // 2]).astype(int)
    if newer.min() == newer.max():
        return {}
    gone = {}
    for name in table.columns:
        tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=max(5, len(table) // 200), random_state=seed)
        auc = float(cross_val_score(tree, table[[name]].to_numpy(), newer, scoring="roc_auc", cv=3).mean())
        if auc > limit:
            gone[name] = f"tells older from newer rows with AUC {auc:.3f}"
    return gone


def _univariate(table: pd.DataFrame, y: np.ndarray, kind: str, limit: float, seed: int) -> dict[str, str]:
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    score = mutual_info_classif if find_kind(kind).output.classes else mutual_info_regression
    found = score(table.to_numpy(), find_kind(kind).output.targets(y), random_state=seed)
    return _top(table, found, int(limit), "mutual information")


def _l1(table: pd.DataFrame, y: np.ndarray, kind: str, limit: float, seed: int) -> dict[str, str]:
    from sklearn.linear_model import Lasso, LogisticRegression

    if not find_kind(kind).output.classes:
        spread = float(y.std()) or 1.0
        coef = (
            Lasso(alpha=1.0 / (limit * len(y)), random_state=seed).fit(table.to_numpy(), (y - y.mean()) / spread).coef_
        )
    else:
        model = LogisticRegression(C=limit, l1_ratio=1.0, solver="saga", tol=1e-2, max_iter=200, random_state=seed)
        coef = np.abs(model.fit(table.to_numpy(), y.astype(int)).coef_).max(axis=0)
    return {
        name: f"an L1 penalty (C={limit:g}) leaves its weight at zero"
        for name, weight in zip(table.columns, coef, strict=True)
        if weight == 0
    }


def _forest(kind: str, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

    forest = ExtraTreesClassifier if find_kind(kind).output.classes else ExtraTreesRegressor
    return forest(60, min_samples_leaf=5, random_state=seed)


def _importance(table: pd.DataFrame, y: np.ndarray, kind: str, limit: float, seed: int) -> dict[str, str]:
    forest = _forest(kind, seed).fit(table.to_numpy(), find_kind(kind).output.targets(y))
    return _top(table, forest.feature_importances_, int(limit), "importance in a forest")


def _rfe(table: pd.DataFrame, y: np.ndarray, kind: str, limit: float, seed: int) -> dict[str, str]:
    from sklearn.feature_selection import RFE

    if table.shape[1] <= limit:
        return {}
    found = RFE(_forest(kind, seed), n_features_to_select=int(limit), step=0.25)
    found.fit(table.to_numpy(), find_kind(kind).output.targets(y))
    return {
        name: f"eliminated {rank - 1} rounds before the last (recursive elimination)"
        for name, rank in zip(table.columns, found.ranking_, strict=True)
        if rank > 1
    }


def _top(table: pd.DataFrame, values: np.ndarray, limit: int, what: str) -> dict[str, str]:
    order = sorted(range(len(values)), key=lambda j: (-values[j], j))
    return {
        str(table.columns[j]): f"{what} {values[j]:.4g} is number {place + 1}; {limit} are kept"
        for place, j in enumerate(order)
        if place >= limit
    }


WAYS = {"univariate": _univariate, "l1": _l1, "importance": _importance, "rfe": _rfe}
