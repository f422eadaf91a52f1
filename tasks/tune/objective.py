"""What a trial is worth: fit on each fold, score its held-out rows. Runs inside a worker process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from tasks.families import find_family
from tasks.fitting.base import Fold, Predict, Stopped
from tasks.fitting.setup import Setup
from tasks.fitting.space import Settings, as_int
from tasks.metrics import measure
from tasks.models import Model, Prepared, prepare
from tasks.models.costs import COSTS
from tasks.process import threads
from tasks.tune.messages import Attempt

FEW = 2000  # rows whose fits are too short to be worth a guess
SPACING = 1.4  # each step that is scored is at least this multiple of the one before
Watch = Callable[[int, float], bool]


@dataclass
class Objective:
    """One family on one problem. ``folds`` are training and held-out rows, one or several."""

    family: str
    setup: Setup
    metric: str
    folds: list[Fold]
    fixed: Settings = field(default_factory=dict)
    costs: tuple[str, ...] = ()  # goals besides the metric, of COSTS
    _prepared: dict[tuple[str, int, str], Prepared] = field(default_factory=dict, repr=False)

    def prepared(self, family: str, number: int, imbalance: str | None = None) -> Prepared:
        """The encoded fold, balanced by ``imbalance`` (the problem's own where None); done once for all trials."""
        imbalance = imbalance or self.setup.imbalance
        key = (family, number, imbalance)
        if key not in self._prepared:
            self._prepared[key] = prepare(family, self.folds[number], replace(self.setup, imbalance=imbalance))
        return self._prepared[key]

    def value(self, attempt: Attempt, watch: Watch | None = None, deadline: float | None = None) -> list[float]:
        """Mean metric over the folds, and after it the ``costs`` that are asked for.

        ``watch(step, value)`` hears of the steps of a single fold (ever wider apart, as pruners look), or of each
        fold of several, and stops the trial by returning True (:class:`Stopped` is raised).
        """
        params, family = self.fixed | attempt.params, attempt.family or self.family
        values: list[float] = []
        for number in range(len(self.folds)):
            prepared = self.prepared(family, number)

            def score(scores: np.ndarray, y: np.ndarray = prepared.y_valid) -> float:
                return float(measure(self.metric, y, scores, self.setup.kind))

            seen = 0

            def steps(step: int, predict: Predict) -> bool:
                nonlocal seen
                if watch is None or step < SPACING * seen:
                    return False
                seen = step
                return watch(step, score(predict()))

            single = watch is not None and len(self.folds) == 1
            if attempt.turn is not None:  # it goes on from where another turn ended
                fitted = prepared.turn(params, attempt.turn, deadline)
            else:
                fitted = prepared.fit(params, deadline=deadline, watch=steps if single else None)
            values.append(score(prepared.scores(fitted)))
            if watch is not None and len(self.folds) > 1 and watch(number + 1, float(np.mean(values))):
                raise Stopped
        found = [float(np.mean(values))]
        if self.costs:
            model = Model(family, self.setup.kind, self.setup.classes, prepared.encoder, fitted)
            found += [COSTS[name](model, self.folds[-1][2]) for name in self.costs]
        return found

    def least_seconds(self, params: Settings) -> float:
        """A guess at the shortest time a trial can take, from fits of a twentieth and a tenth of the rows.

        The fits are told that time is up, so that a family that can stop early does. 0 where rows are few or the
        fits too short to judge by.
        """
        params = self.fixed | params
        X, y, X_held, y_held = self.folds[0]
        rows = min(len(X), as_int(params.get("rows", getattr(find_family(self.family), "ROWS", len(X)))))
        if rows < FEW:
            return 0.0
        order = np.argsort(y, kind="stable")  # evenly over the targets, so that no class is lost
        seconds = []
        for part in (200, rows // 20, rows // 20, rows // 10, rows // 10):  # the first loads the libraries
            at = np.sort(order[np.linspace(0, len(X) - 1, part).astype(int)])
            fold = Fold(X.iloc[at].reset_index(drop=True), y[at], X_held[:200], y_held[:200])
            # Made rows only add to the time, and so few rows may be too few to make any from.
            plain = self.setup.imbalance if self.setup.imbalance == "under_sample" else "none"
            prepared = replace(self, folds=[fold], _prepared={}).prepared(self.family, 0, plain)
            # The processor's time, as if all threads had shared it: a busy machine makes no fit look hopeless.
            begun = time.process_time()
            prepared.fit(params, deadline=time.monotonic())
            seconds.append((time.process_time() - begun) / threads())
        half, whole = min(seconds[1:3]), min(seconds[3:5])
        if whole < 0.02:
            return 0.0
        growth = float(np.clip(np.log2(whole / half), 0, 2))  # seconds ~ rows ** growth
        return whole * 10**growth * len(self.folds)
