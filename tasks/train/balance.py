"""Other rows for rare classes are kept only where they help on validation rows, which are always real ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tasks.artifacts import Balance, Member
from tasks.fitting.base import Compress, Counts, Fitted, Log
from tasks.fitting.imbalance import ROWS
from tasks.fitting.rows import Dataset
from tasks.fitting.space import Settings
from tasks.kinds import find_kind
from tasks.metrics import better, measure
from tasks.models import Model, fit_family
from tasks.params import Params


def fit_better(
    name: str,
    own: Settings,
    rows: Dataset,
    params: Params,
    log: Log,
    fitted: Fitted | None = None,
    compression: Compress | None = None,
) -> tuple[Model, Balance | None]:
    """The family with ``training.imbalance`` or without it, whichever is better on validation rows; without, if equal.

    Both have the same settings, calibration and compression. Metrics of decisions are taken at the threshold that
    ``training.threshold`` chooses for each. Also what :func:`told` says; None where the rows are left as they are (``none``
    and ``class_weight``, which is not questioned). ``fitted`` is kept as the one with it, where tuning has trained it.
    """
    asked, fold, setup = params.training.imbalance, rows.fold, rows.setup(params)
    model = fit_family(name, own, fold, setup, fitted=fitted, compression=compression, log=log)
    if asked not in ROWS:
        return model, None
    # Without `fitted`: what tuning trained saw the balanced rows.
    plain = fit_family(name, own, fold, replace(setup, imbalance="none"), compression=compression, log=log)
    metric = params.problem.metric
    with_it, without = (value_of(m, rows, params) for m in (model, plain))
    helps = better(metric, with_it, without)
    log(
        f"{name}: {metric} on validation rows is {with_it:.4g} with {asked} and {without:.4g} without it: "
        + (f"{asked} is kept" if helps else f"fitted on the real rows, without {asked}")
    )
    both = {"with": _number(with_it), "without": _number(without)}
    return (model if helps else plain), told(params, rows, asked if helps else "none", model.counts, **both)


def value_of(model: Model, rows: Dataset, params: Params) -> float:
    """``problem.metric`` of the validation rows, as the candidates are compared by it."""
    X, y = rows.of("valid")
    scores = model.predict(X)
    threshold = find_kind(rows.kind).threshold(scores, y, params.training)
    return measure(params.problem.metric, y, scores, rows.kind, threshold)


def told(params: Params, rows: Dataset, used: str, counts: Counts, **more: Any) -> Balance:
    """What ``candidate.json`` says of balancing: the way asked for and the one used, and training rows of each class."""
    named: dict[str, Any] = {k: dict(zip(rows.classes, v, strict=True)) for k, v in counts.items()}
    return Balance(asked=params.training.imbalance, used=used, metric=params.problem.metric, **named, **more)


def of_members(members: list[Member], rows: Dataset, params: Params) -> Balance | None:
    """The same of ``auto``, whose search tried each family with and without: ``without_it`` are members on the real rows.

    The counts are those of the first fold.
    """
    asked = params.training.imbalance
    if asked not in ROWS:
        return None
    without = [m.family for m in members if m.params.get("imbalance") == "none"]
    counts: Counts = next((m.counts for m in members if m.counts), {})
    used = "none" if len(without) == len(members) else asked
    return told(params, rows, used, counts, without_it=without, members=len(members))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
