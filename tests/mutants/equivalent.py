"""Changes that survive because they change nothing that can be seen; each with its reason. The score leaves them out.

A change that is seen only in speed or memory belongs here; one that no test notices yet does not. ``key`` is the file, the
function and the change in words, as the run prints them.
"""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "tasks/evaluate/diagnosis.py",
        "_overfitting",
        "Gt becomes GtE in large > 0",
    ): "where both errors are 0 nothing is lost, and the growth of the error is not asked for",
    (
        "tasks/engine/history.py",
        "Slice.equals",
        "1 becomes 2",
    ): "a bound of how large terms are: room for one more digit, and the same sums",
    (
        "tasks/metrics/recalibration.py",
        "recalibration",
        "Lt becomes LtE in 0 < y.sum() < len(y)",
    ): "of one class only no finite number fits, which the fit finds out too, after a hundred steps",
}
