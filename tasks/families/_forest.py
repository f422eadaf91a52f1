"""What forests share: their space, and sizes that stay moderate on large tables."""

from __future__ import annotations

from typing import Any

from tasks.families._base import Fitted, Job
from tasks.families._sklearn import fit_estimator
from tasks.families._space import Number, Space, whole


def forest_space(rows: int) -> Space:
    return {
        "n_estimators": whole(50, 300, 100, log=True),
        "max_features": Number(0.05, 1.0, 0.3, limits=(0.001, 1.0)),
        # Leaves of a single row make a forest of gigabytes on a large table, and hardly a better one.
        "min_samples_leaf": whole(1, max(5, rows // 500), max(1, rows // 3000), log=True),
    }


def fit_forest(classifier: Any, regressor: Any, params: dict[str, Any], job: Job, **fixed: Any) -> Fitted:
    kind = regressor if job.kind == "regression" else classifier
    return fit_estimator(kind(random_state=job.seed, n_jobs=job.threads, **(fixed | params)), job)
