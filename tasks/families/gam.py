"""Generalised additive model (pygam): a smooth curve a number, an effect a category."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tasks.fitting.base import Curves, Fitted, Job, Notes
from tasks.fitting.estimators import sampled
from tasks.fitting.space import Number, Settings, Space, as_int, whole
from tasks.kinds import NUMBER, TWO, find_kind

if TYPE_CHECKING:
    from pygam import GAM

NAME = "gam"
OUTPUTS = (TWO, NUMBER)
ALSO = ("rows",)  # parameters beside those of the space
NEEDS = "codes"
HARDWARE = "cpu"
ROWS, CURVES, POINTS = 20_000, 15, 257  # rows fitted on, numbers that get a curve, points a curve is kept at


def space(kind: str, rows: int, columns: int) -> Space:
    return {"lam": Number(0.1, 1000.0, 10.0, log=True), "n_splines": whole(5, 20, 10, limits=(4, 50))}


class Additive:
    """A sum of tabulated curves: exactly what is stored, and a single row costs microseconds."""

    FORMAT: ClassVar[str] = "additive"

    def __init__(self, columns: np.ndarray, x: np.ndarray, f: np.ndarray, intercept: float, kind: str) -> None:
        self.columns, self.x, self.f, self.intercept, self.kind = columns, x, f, intercept, kind
        self.history: Curves = {}
        self.notes: Notes = {}

    def predict(self, Z: np.ndarray) -> np.ndarray:
        total = np.full(len(Z), self.intercept)
        for at, x, f in zip(self.columns, self.x, self.f, strict=True):
            total += np.interp(Z[:, at], x, f)
        return find_kind(self.kind).output.of_margins(total[:, None])

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        intercept = np.array([self.intercept])
        arrays = {"columns": self.columns, "x": self.x, "f": self.f, "intercept": intercept}
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / "additive.safetensors")

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> Additive:
        from safetensors.numpy import load_file

        found = load_file(folder / "additive.safetensors")
        return cls(found["columns"], found["x"], found["f"], float(found["intercept"][0]), kind)


FORMATS = {Additive.FORMAT: Additive.load}


def fit(params: Settings, job: Job) -> Fitted:
    """Numbers that vary most with the target get a curve, the others a straight line."""
    from pygam import GAM, f, l, s
    from sklearn.feature_selection import f_classif, f_regression
    from threadpoolctl import threadpool_limits

    how = {"lam": 10.0, "n_splines": 10} | params
    job, splines = sampled(job, as_int(how.pop("rows", ROWS))), as_int(how["n_splines"])
    X = job.X.astype(float)
    varied = [j for j in range(X.shape[1]) if np.ptp(X[:, j]) > 0]
    plain = [j for j in varied if j not in job.coded]
    test = f_classif if job.output.classes else f_regression
    strength = dict(zip(plain, np.nan_to_num(test(X[:, plain], job.y)[0]), strict=True)) if plain else {}
    curved = {j for j in sorted(plain, key=lambda j: (-strength[j], j))[:CURVES] if len(np.unique(X[:, j])) > splines}
    terms = None
    for at, j in enumerate(varied):
        if j in job.coded:
            term = f(at, lam=how["lam"])
        elif j in curved:
            term = s(at, n_splines=splines, lam=how["lam"])
        else:
            term = l(at, lam=how["lam"])
        terms = term if terms is None else terms + term
    distribution, link = ("binomial", "logit") if job.output.classes else ("normal", "identity")
    model = GAM(terms, distribution=distribution, link=link, max_iter=25)
    # Its matrices are small: BLAS threads only wait for each other. And it prints its complaints.
    one = threadpool_limits(1, user_api="blas")
    with one, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        model.fit(X[:, varied], job.y, weights=job.weight)
    if not np.isfinite(model.coef_).all():
        raise ArithmeticError("the additive model did not converge; raise lam")
    return _tabulated(model, X, varied, job)


def _tabulated(model: GAM, X: np.ndarray, varied: list[int], job: Job) -> Additive:
    base = np.median(X[:, varied], axis=0)
    for at, j in enumerate(varied):
        if j in job.coded:  # factors know the codes they were fitted with, and no others
            base[at] = X[0, j]

    def margin(rows: np.ndarray) -> np.ndarray:
        return np.asarray(model._linear_predictor(rows), dtype=float)

    start = float(margin(base[None])[0])
    x = np.empty((len(varied), POINTS))
    curves = np.empty_like(x)
    for at, j in enumerate(varied):
        if j in job.coded:
            seen = np.unique(X[:, j])
            grid = np.append(seen, np.full(max(0, POINTS - len(seen)), seen[-1]))[:POINTS]
        else:
            grid = np.linspace(X[:, j].min(), X[:, j].max(), POINTS)
        rows = np.tile(base, (POINTS, 1))
        rows[:, at] = grid
        x[at], curves[at] = grid, margin(rows) - start
    return Additive(np.asarray(varied, dtype=np.int64), x, curves, start, job.kind)
