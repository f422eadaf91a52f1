"""What a challenger must not do, however good it is otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tasks.artifacts import GuardrailResult
from tasks.bands import bands
from tasks.bundle import Bundle
from tasks.compare.scores import Pair
from tasks.files import folder_size
from tasks.fitting.measured import milliseconds
from tasks.paired import ContingencyTable, diebold_mariano, holm, mcnemar
from tasks.params import Guardrails

LEAST_ROWS = 50
DOUBT = 0.05


def check(pair: Pair, rows: pd.DataFrame, limits: Guardrails, package: Path) -> list[GuardrailResult]:
    """Every guardrail that can be judged from scores and files."""
    out = []
    if limits.slice_drop is not None:
        out.append(_slices(pair, rows, limits))
    if limits.calibration is not None:
        out.append(_calibration(pair, limits.calibration))
    if limits.size_mb is not None:
        size = folder_size(package) / 1e6
        out.append(_result("size_mb", limits.size_mb, size, f"the package has {size:.1f} MB"))
    return out


def _result(name: str, limit: float, found: float, said: str, passed: bool | None = None) -> GuardrailResult:
    passed = found <= limit if passed is None else passed
    return GuardrailResult(name=name, limit=limit, found=found, passed=bool(passed), said=said)


def _calibration(pair: Pair, limit: float) -> GuardrailResult:
    """Rise of the calibration error: of classes the expected one, of numbers the absolute bias."""
    one, two = (pair.problem.miscalibration(pair.y, s) for s in (pair.challenger, pair.champion))
    return _result("calibration", limit, one - two, f"calibration error {one:.4f}, the champion's {two:.4f}")


def _slices(pair: Pair, rows: pd.DataFrame, limits: Guardrails) -> GuardrailResult:
    """The slice that loses most. It fails where the loss is over the limit and is no accident (Holm, 5%)."""
    assert limits.slice_drop is not None
    found: list[tuple[str, float, float]] = []
    mine, theirs = pair.problem.slice_losses(pair.y, pair.challenger, pair.champion, pair.decided)
    for column in limits.slices:
        for name, inside in _bands(rows[column]):
            if inside.sum() < LEAST_ROWS:
                continue
            found.append((f"{column} {name}", *_drop(mine[inside], theirs[inside], pair.decided is not None)))
    if not found:
        return _result("slice_drop", limits.slice_drop, 0.0, f"no slice has {LEAST_ROWS} rows")
    adjusted = holm(np.array([p for _, _, p in found]))
    failing = [i for i, (_, drop, _) in enumerate(found) if drop > limits.slice_drop and adjusted[i] <= DOUBT]
    worst = max(failing or range(len(found)), key=lambda i: found[i][1])
    name, drop, _ = found[worst]
    said = f"where {name}, the challenger is {'worse' if drop > 0 else 'better'} by {abs(drop):.4f} (p {adjusted[worst]:.2g})"
    return _result("slice_drop", limits.slice_drop, drop, said, not failing)


def _drop(mine: np.ndarray, theirs: np.ndarray, decided: bool) -> tuple[float, float]:
    """How much more the challenger loses, and how likely chance makes it so.

    Of decisions the share of wrong ones, by McNemar's test; else a share of the champion's loss, by Diebold and Mariano's.
    """
    if decided:
        right, other = 1 - mine, 1 - theirs
        return float(other.mean() - right.mean()), mcnemar(ContingencyTable.of(other, right)).p_better
    drop = float(mine.mean() / theirs.mean() - 1) if theirs.mean() > 0 else 0.0
    return drop, diebold_mariano(theirs, mine).p_better


def _bands(column: pd.Series) -> list[tuple[str, np.ndarray]]:
    """A column's values, or its quarters where it holds more than ten different numbers."""
    cut = bands(column, most=10)
    codes = cut.codes(column)
    return [(name, codes == k) for k, name in enumerate(cut.names)]


def latency(bundle: Bundle, rows: pd.DataFrame, count: int = 50) -> list[float]:
    """Milliseconds that single rows take, features included, after ten rows to warm up; sorted."""
    bundle.start()
    asked = [{str(k): v for k, v in row.items()} for row in rows.tail(count + 10).to_dict("records")]
    return sorted(milliseconds(bundle.predict_row, asked, warm_up=10))


def judge_latency(spent: list[float], limit: float) -> GuardrailResult:
    """The median against the limit. Only pass or fail is said: the milliseconds differ from run to run."""
    passed = float(np.median(spent)) <= limit
    said = f"half of the rows are answered within {limit:g} ms" if passed else f"most rows take over {limit:g} ms"
    return GuardrailResult(name="latency_ms", limit=limit, found=None, passed=passed, said=said)
