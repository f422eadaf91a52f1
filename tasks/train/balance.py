"""Other rows for rare classes are kept only where they help on validation rows, which are always real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tasks.fitting.base import Fitted
from tasks.fitting.imbalance import ROWS
from tasks.fitting.rows import Rows
from tasks.kinds import find_kind
from tasks.metrics import better, measure
from tasks.models import Model
from tasks.params import Params
from tasks.train.whole import fit_rows


def fit_better(
    name: str,
    own: dict[str, Any],
    rows: Rows,
    params: Params,
    log: Callable[[str], None],
    fitted: Fitted | None = None,
    **more: Any,
) -> tuple[Model, dict[str, Any] | None]:
    """The family with ``training.imbalance`` or without it, whichever is better on validation rows; without, if equal.

    Both have the same settings, calibration and compression. Metrics of decisions are taken at the threshold that
    ``training.threshold`` chooses for each. Also what :func:`told` says; None where the rows are left as they are (``none``
    and ``class_weight``, which is not questioned). ``fitted`` is kept as the one with it, where tuning has trained it.
    """
    asked = params.training.imbalance
    model = fit_rows(name, own, rows, params, fitted=fitted, log=log, **more)
    if asked not in ROWS:
        return model, None
    # Without `fitted`: what tuning trained saw the balanced rows.
    plain = fit_rows(name, own, rows, params, imbalance="none", log=log, **more)
    metric = params.problem.metric
    with_it, without = (value_of(m, rows, params) for m in (model, plain))
    helps = better(metric, with_it, without)
    log(
        f"{name}: {metric} on validation rows is {with_it:.4g} with {asked} and {without:.4g} without it: "
        + (f"{asked} is kept" if helps else f"fitted on the real rows, without {asked}")
    )
    found = told(params, rows, asked if helps else "none", model.counts)
    return (model if helps else plain), found | {"with": _number(with_it), "without": _number(without)}


def value_of(model: Model, rows: Rows, params: Params) -> float:
    """``problem.metric`` of the validation rows, as the candidates are compared by it."""
    X, y = rows.of("valid")
    scores = model.predict(X)
    threshold = find_kind(rows.kind).threshold(scores, y, params.training)
    return measure(params.problem.metric, y, scores, rows.kind, threshold)


def told(params: Params, rows: Rows, used: str, counts: dict[str, list[int]]) -> dict[str, Any]:
    """What ``candidate.json`` says of balancing: the way asked for and the one used, and training rows of each class."""
    named = {k: dict(zip(rows.classes, v, strict=True)) for k, v in counts.items()}
    return {"asked": params.training.imbalance, "used": used, "metric": params.problem.metric, **named}


def of_members(members: list[dict[str, Any]], rows: Rows, params: Params) -> dict[str, Any] | None:
    """The same of ``auto``, whose search tried each family with and without: ``without_it`` are members on the real rows.

    The counts are those of the first fold.
    """
    asked = params.training.imbalance
    if asked not in ROWS:
        return None
    without = [m["family"] for m in members if m["params"].get("imbalance") == "none"]
    counts: dict[str, list[int]] = next((m["counts"] for m in members if m.get("counts")), {})
    used = "none" if len(without) == len(members) else asked
    return told(params, rows, used, counts) | {"without_it": without, "members": len(members)}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
