"""What forests share: their space, sizes that stay moderate on large tables, and a form that is quick to serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tasks.fitting.base import Curves, Fitted, Job, Notes
from tasks.fitting.estimators import fit_estimator
from tasks.fitting.space import Number, Setting, Settings, Space, whole
from tasks.kinds import find_kind

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.ensemble._forest import BaseForest

WALKED = 500_000  # rows x trees at once while predicting


def forest_space(rows: int) -> Space:
    """What is searched of any forest, for a table of so many rows."""
    return {
        "n_estimators": whole(50, 300, 100, log=True),
        "max_features": Number(0.05, 1.0, 0.3, limits=(0.001, 1.0)),
        # Leaves of a single row make a forest of gigabytes on a large table, and hardly a better one.
        "min_samples_leaf": whole(1, max(5, rows // 500), max(1, rows // 3000), log=True),
    }


def fit_forest(
    classifier: type[BaseEstimator], regressor: type[BaseEstimator], params: Settings, job: Job, **fixed: Setting
) -> Fitted:
    """Fit one of the two by what the model is to give; ``fixed`` are settings that ``params`` may replace."""
    estimator = classifier if job.output.classes else regressor
    return fit_estimator(estimator(random_state=job.seed, n_jobs=job.threads, **(fixed | params)), job)


class Forest:
    """A forest of scikit-learn as plain arrays: all trees' nodes in a row, children by absolute position.

    All trees are walked at once, so that one row takes well under a millisecond, and storing takes none of the seconds
    that hundreds of estimator objects take.
    """

    FORMAT: ClassVar[str] = "forest"

    def __init__(self, arrays: dict[str, np.ndarray], kind: str) -> None:
        self.arrays, self.kind = arrays, kind
        self.history: Curves = {}
        self.notes: Notes = {}

    @classmethod
    def of(cls, estimator: BaseForest, kind: str, classes: int) -> Forest:
        """From a fitted forest of scikit-learn; ``classes`` without training rows get probability 0."""
        found: dict[str, list[np.ndarray]] = {
            k: [] for k in ("feature", "threshold", "left", "right", "missing", "value")
        }
        roots, base = [], 0
        for tree in (one.tree_ for one in estimator.estimators_):
            here = np.arange(tree.node_count)
            leaf = tree.children_left < 0
            found["feature"].append(np.where(leaf, 0, tree.feature))
            found["threshold"].append(_rounded_down(np.where(leaf, 0.0, tree.threshold)))
            found["left"].append(base + np.where(leaf, here, tree.children_left))
            found["right"].append(base + np.where(leaf, here, tree.children_right))
            found["missing"].append(np.where(leaf, 0, tree.missing_go_to_left))
            value = tree.value[:, 0, :]
            if find_kind(kind).output.classes:
                wide = np.zeros((len(value), classes))
                wide[:, np.asarray(estimator.classes_, dtype=int)] = value
                value = wide
            found["value"].append(value)
            roots.append(base)
            base += tree.node_count
        types = {"threshold": np.float32, "value": np.float32, "missing": np.uint8}
        arrays = {k: np.concatenate(v).astype(types.get(k, np.int32)) for k, v in found.items()}
        return cls(arrays | {"roots": np.asarray(roots, dtype=np.int32)}, kind)

    def predict(self, Z: np.ndarray) -> np.ndarray:
        """As :meth:`Fitted.predict`."""
        a = self.arrays
        size = max(1, WALKED // len(a["roots"]))
        out = []
        for start in range(0, len(Z), size):
            rows = np.ascontiguousarray(Z[start : start + size], dtype=np.float32)  # as the trees were grown
            at = np.tile(a["roots"], (len(rows), 1))
            number = np.arange(len(rows))[:, None]
            while True:
                seen = rows[number, a["feature"][at]]
                left = (seen <= a["threshold"][at]) | (np.isnan(seen) & (a["missing"][at] > 0))
                following = np.where(left, a["left"][at], a["right"][at])
                if np.array_equal(following, at):
                    break
                at = following
            out.append(a["value"][at].astype(float).sum(axis=1) / at.shape[1])
        found = np.concatenate(out)
        return found / found.sum(axis=1, keepdims=True) if find_kind(self.kind).output.classes else found[:, 0]

    def save(self, folder: Path) -> None:
        """As :meth:`Fitted.save`."""
        from safetensors.numpy import save_file

        save_file({k: np.ascontiguousarray(v) for k, v in self.arrays.items()}, folder / "forest.safetensors")

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> Forest:
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file

        return cls(load_file(folder / "forest.safetensors"), kind)


def _rounded_down(threshold: np.ndarray) -> np.ndarray:
    """As float32, never above: rows are float32 too, so ``row <= threshold`` says the same as in float64."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)
