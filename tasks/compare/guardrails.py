"""What a challenger must not do, however good it is otherwise."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.bands import bands
from tasks.bundle import Bundle
from tasks.compare.scores import Pair, right
from tasks.metrics import measure
from tasks.paired import Table, diebold_mariano, holm, mcnemar, row_losses
from tasks.params import Guardrails

LEAST_ROWS = 50
DOUBT = 0.05


def check(pair: Pair, rows: pd.DataFrame, limits: Guardrails, package: Path) -> list[dict[str, Any]]:
    """Every guardrail that can be judged from scores and files: ``{"name", "limit", "found", "passed", "said"}``."""
    out = []
    if limits.slice_drop is not None:
        out.append(_slices(pair, rows, limits))
    if limits.calibration is not None:
        out.append(_calibration(pair, limits.calibration))
    if limits.size_mb is not None:
        size = sum(p.stat().st_size for p in package.rglob("*") if p.is_file()) / 1e6
        out.append(_result("size_mb", limits.size_mb, size, f"the package has {size:.1f} MB"))
    return out


def _result(name: str, limit: float, found: float, said: str, passed: bool | None = None) -> dict[str, Any]:
    passed = found <= limit if passed is None else passed
    return {"name": name, "limit": limit, "found": found, "passed": bool(passed), "said": said}


def _calibration(pair: Pair, limit: float) -> dict[str, Any]:
    """Rise of the expected calibration error (regression: of the absolute bias, as a share of the target's spread)."""
    if pair.kind == "regression":
        spread = float(pair.y.std()) or 1.0
        one, two = (abs(float((s - pair.y).mean())) / spread for s in (pair.challenger, pair.champion))
    else:
        one, two = (measure("ece", pair.y, s, pair.kind) for s in (pair.challenger, pair.champion))
    return _result("calibration", limit, one - two, f"calibration error {one:.4f}, the champion's {two:.4f}")


def _slices(pair: Pair, rows: pd.DataFrame, limits: Guardrails) -> dict[str, Any]:
    """The slice that loses most. It fails where the loss is over the limit and is no accident (Holm, 5%)."""
    assert limits.slice_drop is not None
    found: list[tuple[str, float, float]] = []
    if pair.kind == "regression":
        mine, theirs = (row_losses("mae", pair.y, scores) for scores in (pair.challenger, pair.champion))
    else:
        mine, theirs, _ = right(pair)
    for column in limits.slices:
        for name, inside in _bands(rows[column]):
            if inside.sum() < LEAST_ROWS:
                continue
            one, two = mine[inside], theirs[inside]
            if pair.kind == "regression":
                drop = float(one.mean() / two.mean() - 1) if two.mean() > 0 else 0.0
                p = diebold_mariano(two, one).p_better
            else:
                drop, p = float(two.mean() - one.mean()), mcnemar(Table.of(two, one)).p_better
            found.append((f"{column} {name}", drop, p))
    if not found:
        return _result("slice_drop", limits.slice_drop, 0.0, f"no slice has {LEAST_ROWS} rows")
    adjusted = holm(np.array([p for _, _, p in found]))
    failing = [i for i, (_, drop, _) in enumerate(found) if drop > limits.slice_drop and adjusted[i] <= DOUBT]
    worst = max(failing or range(len(found)), key=lambda i: found[i][1])
    name, drop, _ = found[worst]
    said = f"where {name}, the challenger is {'worse' if drop > 0 else 'better'} by {abs(drop):.4f} (p {adjusted[worst]:.2g})"
    return _result("slice_drop", limits.slice_drop, drop, said, not failing)


def _bands(column: pd.Series) -> list[tuple[str, np.ndarray]]:
    """A column's values, or its quarters where it holds more than ten different numbers."""
    cut = bands(column, most=10)
    codes = cut.codes(column)
    return [(name, codes == k) for k, name in enumerate(cut.names)]


def latency(bundle: Bundle, rows: pd.DataFrame, count: int = 50) -> list[float]:
    """Milliseconds that single rows take, features included, after ten rows to warm up; sorted."""
    bundle.start()
    asked: list[dict[str, Any]] = [
        {str(k): v for k, v in row.items()} for row in rows.tail(count + 10).to_dict("records")
    ]
    spent = []
    for row in asked:
        before = time.perf_counter()
        bundle.predict_row(row)
        spent.append((time.perf_counter() - before) * 1000)
    return sorted(spent[min(10, len(spent) - 1) :])


def judge_latency(spent: list[float], limit: float) -> dict[str, Any]:
    """The median against the limit. Only pass or fail is said: the milliseconds differ from run to run."""
    passed = float(np.median(spent)) <= limit
    return {"name": "latency_ms", "limit": limit, "found": None, "passed": passed,
            "said": f"half of the rows are answered within {limit:g} ms" if passed else f"most rows take over {limit:g} ms"}  # fmt: skip
