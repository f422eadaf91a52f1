"""Mixed-effects model (statsmodels): fixed effects of all columns, a random intercept a group."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np

from tasks.errors import RefitError
from tasks.fitting.base import Curves, Fitted, Job, Notes
from tasks.fitting.estimators import refuse_weights, sampled
from tasks.fitting.space import Number, Settings, Space, as_float, as_int
from tasks.kinds import NUMBER, TWO, find_kind

NAME = "mixed_effects"
OUTPUTS = (TWO, NUMBER)
ALSO = ("rows",)  # parameters beside those of the space
NEEDS = "codes"
HARDWARE = "cpu"
WEIGHS = False  # rows: statsmodels' BinomialBayesMixedGLM takes no weights
ROWS = 20_000


def space(kind: str, rows: int, columns: int) -> Space:
    return {"ridge": Number(1e-3, 100.0, 1.0, log=True)}


class MixedEffects:
    """Fixed coefficients and an intercept a group; a group never seen has the overall one."""

    FORMAT: ClassVar[str] = "mixed"

    def __init__(self, coef: np.ndarray, intercept: float, effects: dict[int, np.ndarray], kind: str) -> None:
        self.coef, self.intercept, self.effects, self.kind = coef, intercept, effects, kind
        self.history: Curves = {}
        self.notes: Notes = {}

    def predict(self, Z: np.ndarray) -> np.ndarray:
        total = Z @ self.coef + self.intercept
        for column, effect in self.effects.items():
            total = total + effect[Z[:, column].astype(int)]
        return find_kind(self.kind).output.of_margins(total[:, None])

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        arrays = {"coef": self.coef, "intercept": np.array([self.intercept])}
        arrays |= {f"effect.{k}": v for k, v in self.effects.items()}
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / "mixed.safetensors")

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> MixedEffects:
        from safetensors.numpy import load_file

        found = load_file(folder / "mixed.safetensors")
        effects = {int(k.removeprefix("effect.")): v for k, v in found.items() if k.startswith("effect.")}
        return cls(found["coef"], float(found["intercept"][0]), effects, kind)


FORMATS = {MixedEffects.FORMAT: MixedEffects.load}


def fit(params: Settings, job: Job) -> Fitted:
    """Every categorical column is a grouping. ``ridge`` shrinks fixed effects, which keeps collinear ones finite.

    Regression: restricted maximum likelihood with one variance a grouping. Binary: the posterior mode of
    statsmodels' BinomialBayesMixedGLM, where ``ridge`` is the prior precision of the fixed effects.
    """
    if not job.coded:
        raise RefitError("models.mixed_effects: needs a categorical column as its groups, and there is none")
    if job.output == TWO:
        refuse_weights(job, NAME)
    how = {"ridge": 1.0} | params
    job = sampled(job, as_int(how.pop("rows", ROWS)))
    X = job.X.astype(float)
    fixed = [j for j in range(X.shape[1]) if j not in job.coded and np.ptp(X[:, j]) > 0]
    groups = {j: X[:, j].astype(int) for j in sorted(job.coded)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence chatter; the result is judged on validation rows
        solve = _binary if job.output.classes else _linear
        slopes, intercept, effects = solve(X[:, fixed], job.y, groups, job, as_float(how["ridge"]))
    coef = np.zeros(X.shape[1])
    coef[fixed] = slopes
    return MixedEffects(coef, intercept, effects, job.kind)


def _linear(
    X: np.ndarray, y: np.ndarray, groups: dict[int, np.ndarray], job: Job, ridge: float
) -> tuple[np.ndarray, float, dict[int, np.ndarray]]:
    """Variance shares from statsmodels' MixedLM, then the mixed-model equations (Henderson, 1950) with ridge."""
    import statsmodels.api as sm
    from scipy.linalg import solve

    scale: dict[int, float] = {}
    rest = y - X @ np.linalg.solve(X.T @ X + max(ridge, 1e-6) * np.eye(X.shape[1]), X.T @ (y - y.mean()))
    for column, codes in groups.items():
        fitted = sm.MixedLM(rest, np.ones((len(y), 1)), groups=codes).fit(reml=True, method="lbfgs")
        between = float(np.asarray(fitted.cov_re).ravel()[0])
        scale[column] = float(fitted.scale) / max(between, 1e-6 * float(fitted.scale))
    sizes = [job.coded[j] for j in groups]
    hot = [np.eye(size)[codes] for size, codes in zip(sizes, groups.values(), strict=True)]
    design = np.hstack([np.ones((len(y), 1)), X, *hot])
    penalty = np.concatenate(
        [[0.0], np.full(X.shape[1], ridge), *(np.full(s, scale[j]) for s, j in zip(sizes, groups, strict=True))]
    )
    weight = np.ones(len(y)) if job.weight is None else job.weight
    found = solve(design.T @ (design * weight[:, None]) + np.diag(penalty), design.T @ (weight * y), assume_a="pos")
    return _split(found, X.shape[1], sizes, list(groups))


def _binary(
    X: np.ndarray, y: np.ndarray, groups: dict[int, np.ndarray], job: Job, ridge: float
) -> tuple[np.ndarray, float, dict[int, np.ndarray]]:
    from scipy import sparse
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

    sizes = [job.coded[j] for j in groups]
    hot = [sparse.csr_matrix(np.eye(size)[codes]) for size, codes in zip(sizes, groups.values(), strict=True)]
    ident = np.repeat(np.arange(len(sizes)), sizes)
    exog = np.hstack([np.ones((len(y), 1)), X])
    model = BinomialBayesMixedGLM(
        y, exog, sparse.hstack(hot).tocsr(), ident=ident, vcp_p=1.0, fe_p=1.0 / np.sqrt(ridge)
    )
    fitted = model.fit_map(method="L-BFGS-B", minim_opts={"maxiter": 300}, scale_fe=True, rng=job.seed)
    found = np.concatenate([fitted.fe_mean, fitted.vc_mean])
    return _split(found, X.shape[1], sizes, list(groups))


def _split(
    found: np.ndarray, width: int, sizes: list[int], columns: list[int]
) -> tuple[np.ndarray, float, dict[int, np.ndarray]]:
    cuts = np.cumsum([1, width, *sizes])
    parts = np.split(found, cuts)
    return parts[1], float(parts[0][0]), dict(zip(columns, parts[2:-1], strict=True))
