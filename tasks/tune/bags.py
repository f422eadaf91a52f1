"""Rows that ``auto`` fits and judges on: folds over all labelled rows where they are exchangeable, else the holdout.

With folds every row is predicted by models that have not seen it, and the fold models together are what is served.

With a holdout by time the validation rows come right after the training rows, and what is served will be asked further
ahead: the test rows begin only where the validation rows end. Where features have left the range of the training rows
by then (a trend), a model can be good nearby and go astray further on, as networks do. There each setting is also
fitted on the older training rows, which are as far from the validation rows as the training rows are from the test
rows, and members and weights are chosen by these fits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.encoding.folds import Parts, by_number, dealt, rarest
from tasks.families import find_family
from tasks.files import optional_json, replacing_dir, write_json
from tasks.fitting.base import Fitted, Fold
from tasks.fitting.forest import Forest
from tasks.fitting.imbalance import ROWS
from tasks.fitting.rows import Dataset
from tasks.fitting.setup import Setup
from tasks.fitting.space import Settings
from tasks.kinds import find_kind
from tasks.metrics import measure
from tasks.models import Prepared
from tasks.models.check import weighs
from tasks.params import Params
from tasks.stored import Frame
from tasks.tune.folds import fold_of, fold_rows, grouped, newest
from tasks.tune.messages import Attempt, FoldAttempt
from tasks.tune.objective import Objective, Watch

CELLS_A_SECOND = 400_000  # rows x columns x classes that one boosting fit gets through, roughly, on one core
BEYOND = 0.5  # share of validation rows
KEPT_CELLS = 30_000_000  # encoded numbers that a worker keeps between fits


@dataclass(frozen=True)
class Bags:
    """Folds, repeated with other cuts: ``held[i]`` are the positions in the pooled rows that fold ``i`` is judged on.

    ``size`` folds make one repeat, and each repeat covers all of ``y``'s rows once. Where ``beyond`` names features that
    leave the range of the training rows, there are two: fitted on all training rows (to be served), and on the older
    ones (to choose by), both judged on all of ``y``. ``declared`` names the ``tuning.split`` that was asked for.
    """

    folds: list[Fold]
    held: list[np.ndarray]
    y: np.ndarray
    size: int
    beyond: tuple[str, ...] = ()
    declared: str = ""

    @property
    def crossed(self) -> bool:
        """Whether folds were cut out of pooled rows."""
        return self.size > 1 and not self.beyond

    @property
    def mark(self) -> str:
        """A name of this cut: what was fitted on another one's folds (more seconds, more of them) is not taken up."""
        sizes = np.array([self.size, *(len(y) for _, y, _, _ in self.folds)])
        return hashlib.sha256(b"".join(a.astype("<i8").tobytes() for a in (sizes, *self.held))).hexdigest()[:12]

    @property
    def repeats(self) -> int:
        """How often the rows are cut into folds."""
        return len(self.folds) // self.size

    @property
    def numbers(self) -> np.ndarray:
        """``(n, repeats)``: in which fold of each repeat a row is held."""
        out = np.empty((len(self.y), self.repeats), dtype=int)
        for fold, held in enumerate(self.held):
            out[held, fold // self.size] = fold % self.size
        return out


def make_bags(rows: Dataset, params: Params, seconds: float, cores: int) -> tuple[Bags, np.ndarray]:
    """The folds of a problem, and the positions in ``rows`` of what they are judged on (:attr:`Bags.y`).

    Dataset of a random split are exchangeable, so training and validation rows are pooled and cut anew. Dataset split by time
    or by a group are not: there, and where time does not suffice for folds, the validation split is the holdout.

    A ``tuning.split`` that was declared is kept to, as by named families: its folds are cut out of the training rows.
    """
    tuning, seed = params.tuning, params.seed
    if tuning.split != "holdout":
        return declared(rows, fold_rows(rows, tuning, seed), tuning.split)
    train, valid = (newest(rows, split, tuning.rows, seed) for split in ("train", "valid"))
    if params.split.kind == "random" and "split" not in tuning.model_fields_set:
        at = np.sort(np.concatenate([train, valid]))
        y = rows.y[at]
        size, repeats = fold_count(len(at), rows.frame.shape[1], rows.kind, y, seconds, cores)
        if size > 1:
            group = None if rows.group is None else rows.group[at]
            if group is None or len(np.unique(group)) >= size:
                return cross(_at(rows.frame, at), y, rows.kind, size, repeats, seed, group), at
    near = holdout(_at(rows.frame, train), rows.y[train], _at(rows.frame, valid), rows.y[valid])
    if params.split.kind == "time" and (beyond := left_behind(near.folds[0][0], near.folds[0][2])):
        older = train[_as_far(*(rows.time.iloc[at] for at in (train, valid, np.flatnonzero(rows.split == "test"))))]
        whole = not find_kind(rows.kind).output.classes or len(np.unique(rows.y[older])) == len(
            np.unique(rows.y[train])
        )
        if 2 * len(older) >= len(train) and whole:
            far = Fold(_at(rows.frame, older), rows.y[older], *near.folds[0][2:])
            return Bags([near.folds[0], far], near.held * 2, near.y, 2, beyond), valid
    return near, valid


def left_behind(X: pd.DataFrame, X_valid: pd.DataFrame) -> tuple[str, ...]:
    """Numbers of which most validation rows lie beyond all training rows.

    >>> old, new = pd.DataFrame({"year": [1.0, 2.0], "x": [0.0, 9.0]}), pd.DataFrame({"year": [2.0, 3.0, 4.0], "x": 5.0})
    >>> left_behind(old, new)
    ('year',)
    """
    numbers = [str(c) for c in X if X[c].dtype.kind == "f" and X[c].notna().any()]
    low, high = X[numbers].min(), X[numbers].max()
    out = ((X_valid[numbers] < low) | (X_valid[numbers] > high)).mean()
    return tuple(c for c in numbers if out[c] > BEYOND)


def declared(rows: Dataset, parts: Parts, name: str) -> tuple[Bags, np.ndarray]:
    """Bags of the folds that ``tuning.split`` names, and the positions of all rows that are held out in one."""
    at = np.sort(np.concatenate([held for _, held in parts]))
    folds = [fold_of(rows, a, b) for a, b in parts]
    return Bags(folds, [np.searchsorted(at, held) for _, held in parts], rows.y[at], len(parts), declared=name), at


def _as_far(train: pd.Series, valid: pd.Series, test: pd.Series) -> np.ndarray:
    """Mask of the training rows that end as long before the validation rows begin as all end before the test rows do.

    That is the distance at which the test rows will be told: the validation rows lie between, and before and after them
    the time that labels wait to be known.
    """
    if train.isna().any() or valid.isna().any() or test.isna().any() or test.empty:
        return np.zeros(len(train), dtype=bool)
    return (train <= valid.min() - (test.min() - train.max())).to_numpy()


def holdout(X: pd.DataFrame, y: np.ndarray, X_valid: pd.DataFrame, y_valid: np.ndarray) -> Bags:
    """One fold: fitted on the training rows, judged on the validation rows."""
    return Bags([Fold(X, y, X_valid, y_valid)], [np.arange(len(y_valid))], y_valid, 1)


def cross(X: pd.DataFrame, y: np.ndarray, kind: str, size: int, repeats: int, seed: int,
          group: np.ndarray | None = None) -> Bags:  # fmt: skip
    """``repeats`` times ``size`` folds over pooled rows, even over the classes or over the sorted targets.

    Dataset of equal ``group`` (n,) stay in one fold.
    """
    folds: list[Fold] = []
    held: list[np.ndarray] = []
    classes = find_kind(kind).output.classes
    for turn in range(repeats):
        if group is not None:
            cut = grouped(group, y.astype(int) if classes else None, size, seed + turn)
        else:
            rng = np.random.default_rng([seed, turn])
            cut = by_number(dealt(y, rng, partial(_deck, rng, size, classes)), size)
        for fitted, out in cut:
            folds.append(Fold(_at(X, fitted), y[fitted], _at(X, out), y[out]))
            held.append(out)
    return Bags(folds, held, y, size)


def _deck(rng: np.random.Generator, size: int, classes: bool, rows: int) -> np.ndarray:
    """The folds of rows in the order of their targets: by turns, or one of each at random for each run of neighbours."""
    if classes:
        return (np.arange(rows) + int(rng.integers(size))) % size
    return np.concatenate([rng.permutation(size) for _ in range(-(-rows // size))])[:rows]


def fold_count(rows: int, columns: int, kind: str, y: np.ndarray, seconds: float, cores: int) -> tuple[int, int]:
    """Folds and repeats that a budget suffices for; ``(1, 1)`` says that one holdout has to do.

    From sizes alone, so that the same problem is cut in the same way on a busy and on a quiet machine.

    >>> y = np.tile([0.0, 1.0], 5000)
    >>> fold_count(10_000, 10, "binary", y, 300, 2), fold_count(1_000_000, 50, "binary", y, 60, 2)
    ((8, 1), (1, 1))
    """
    output = find_kind(kind).output
    classes = output.heads(int(y.max()) + 1)
    fit = 0.2 + rows * columns * classes / CELLS_A_SECOND
    if (rarest(y) if output.classes else rows) < 10:
        return 1, 1
    for size, settings in ((8, 20), (5, 15)):
        if size * settings * fit / cores <= 0.8 * seconds:
            return size, (2 if rows <= 3_000 and size == 8 else 1)
    return 1, 1


def _at(X: Frame, rows: np.ndarray) -> pd.DataFrame:
    return X.iloc[rows].reset_index(drop=True)


@dataclass
class Fits(Objective):
    """As :class:`Objective`, but one fold a call, and what was fitted is kept on disk.

    A call's attempt is a :class:`FoldAttempt`, whose ``folder`` gets ``result.json`` with the value,
    ``scores.npy`` of the held-out rows, and the estimator; the fold's encoder goes to ``encoders/`` beside it. A setting's
    own ``imbalance`` goes before the problem's.
    """

    encoders: str = ""
    _order: list[tuple[str, int, str]] = field(default_factory=list, repr=False)

    def value(self, attempt: Attempt, watch: Watch | None = None, deadline: float | None = None) -> list[float]:
        """The metric of the fold's held-out rows. ``watch`` is asked nothing."""
        assert isinstance(attempt, FoldAttempt)
        family, number, own = attempt.family, attempt.fold, dict(attempt.params)
        imbalance = str(own.pop("imbalance", self.setup.imbalance))
        prepared = self._ready(family, number, imbalance)
        fitted = _light(prepared.fit(own, deadline=deadline), self.setup)
        scores = prepared.scores(fitted)
        value = float(measure(self.metric, prepared.y_valid, scores, self.setup.kind))
        if not np.isfinite(scores).all():
            raise ValueError("the scores are not numbers")
        encoder = encoder_folder(Path(self.encoders), family, number, imbalance)
        if not encoder.exists():
            with replacing_dir(encoder) as folder:
                prepared.encoder.save(folder)
        with replacing_dir(attempt.folder) as folder:
            fitted.save(folder)
            np.save(folder / "scores.npy", scores, allow_pickle=False)
            write_json(folder / "result.json", {"value": value, "format": fitted.FORMAT, "counts": prepared.counts})
        return [value]

    def _ready(self, family: str, number: int, imbalance: str) -> Prepared:
        """The encoded fold; the oldest ones are forgotten where memory would fill."""
        found = self.prepared(family, number, imbalance)
        key = (family, number, imbalance)
        self._order = [k for k in self._order if k != key] + [key]
        cells = sum(p.Z.size + p.Z_valid.size for p in self._prepared.values())
        while cells > KEPT_CELLS and len(self._order) > 1:
            old = self._prepared.pop(self._order.pop(0))
            cells -= old.Z.size + old.Z_valid.size
        return found


def _light(fitted: Fitted, setup: Setup) -> Fitted:
    """Forests as plain arrays: a bag holds thousands of trees."""
    from sklearn.ensemble._forest import ForestClassifier, ForestRegressor

    estimator = getattr(fitted, "estimator", None)
    if not isinstance(estimator, (ForestClassifier, ForestRegressor)):
        return fitted
    return Forest.of(estimator, setup.kind, setup.classes)


def encoder_folder(root: Path, family: str, number: int, imbalance: str) -> Path:
    """Where the encoder of a fold is: the same one for all families with the same needs, and rows balanced alike."""
    return root / f"{find_family(family).NEEDS}-{number}-{imbalance}"


def tried_without(queue: list[tuple[str, Settings]], imbalance: str) -> list[tuple[str, Settings]]:
    """The settings that a search begins with where ``training.imbalance`` is ``imbalance``.

    Where that changes which rows there are, each family's first setting comes a second time on the real rows, so that what
    predicts better is what is kept. Families that cannot weigh rows are left out where it weighs them.

    >>> [own for _, own in tried_without([("tree", {"max_depth": 3}), ("tree", {"max_depth": 9})], "smote")]
    [{'max_depth': 3}, {'max_depth': 3, 'imbalance': 'none'}, {'max_depth': 9}]
    """
    out: list[tuple[str, Settings]] = []
    for name, own in queue:
        if imbalance == "class_weight" and not weighs(name):
            continue
        first = not any(name == other for other, _ in out)
        own = {k: v for k, v in own.items() if k != "imbalance" or imbalance in ROWS}
        out.append((name, own))
        if first and imbalance in ROWS and "imbalance" not in own:
            out.append((name, own | {"imbalance": "none"}))
    return out


def read_result(folder: Path) -> dict[str, Any] | None:
    """A finished fit, or None."""
    result: dict[str, Any] | None = optional_json(folder / "result.json")
    return result
