"""Learning and validation curves, and what they say about bias and variance."""

from __future__ import annotations

import numpy as np

from tasks.artifacts import Candidate, CurvePoint, Figure, FitDiagnosis, LossCurve, Trial, TriedValue
from tasks.metrics import higher_is_better
from tasks.metrics.intervals import Z95

POINTS = 100
CERTAIN = 2.5758293035489004  # of a 99% interval: choices made on validation rows shift their figure a little


def histories(candidate: Candidate) -> dict[str, LossCurve]:
    """A candidate's loss curves, thinned: by name, the steps (from 1) and the values."""
    out = {}
    for name, values in candidate.history.items():
        count = len(values)
        keep = (
            np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int)) if count else np.zeros(0, int)
        )
        out[name] = LossCurve(step=[int(k) + 1 for k in keep], value=[values[k] for k in keep])
    return out


def validation_curves(trials: list[Trial]) -> dict[str, list[TriedValue]]:
    """For every tuned parameter its values, sorted, and what each complete trial with it reached.

    >>> one, two = (Trial(number=n, params={"depth": 5 - 2 * n}, value=0.7 - n / 10, state="complete", intermediate={})
    ...             for n in (0, 1))
    >>> validation_curves([one, two])
    {'depth': [TriedValue(value=3, metric=0.6), TriedValue(value=5, metric=0.7)]}
    """
    done = [(t.params, t.value) for t in trials if t.value is not None and t.state == "complete"]
    names = sorted({name for given, _ in done for name in given})
    out = {}
    for name in names:
        points = [TriedValue(value=given[name], metric=reached) for given, reached in done if name in given]
        numbers = [p.value for p in points if isinstance(p.value, int | float)]
        keys = numbers if len(numbers) == len(points) else [str(p.value) for p in points]
        order = sorted(range(len(points)), key=lambda i: (keys[i], points[i].metric))
        out[name] = [points[i] for i in order]
    return out


def diagnose(metric: str, train: Figure, valid: Figure, test: Figure, baseline: float, curve: list[CurvePoint],
             rows: int, by_time: bool) -> FitDiagnosis:  # fmt: skip
    """Bias and variance in words, from the values of one metric and how certain they are.

    What a model gains over the baseline on rows it was trained on is its reach; the part of that gain which
    is lost on validation rows is variance; a small reach is bias (or noise that nothing can explain). Two figures are
    called different only where their difference is beyond chance, and alike only where it is known to be small.

    Parameters
    ----------
    curve : the same family fitted on fewer rows, smallest first.
    rows : all training rows; the curve may end earlier.
    by_time : whether test rows are newer than validation rows, and these than training rows.
    """
    sign = 1.0 if higher_is_better(metric) else -1.0
    kind, said = _overfitting(metric, train, valid, baseline, sign)
    out = [said]
    change, error = sign * (test.value - valid.value), float(np.hypot(test.error, valid.error))
    if abs(change) > CERTAIN * error:
        out.append(_later(metric, valid, test, change > 0, by_time))
    if len(curve) >= 2 and curve[-1].gain_error is not None:
        out.append(_more_rows(metric, curve, sign, sign * (valid.value - baseline), rows))
    return FitDiagnosis(kind=kind, metric=metric, train=train, valid=valid, test=test, baseline=baseline, said=out)


def _overfitting(metric: str, train: Figure, valid: Figure, baseline: float, sign: float) -> tuple[str, str]:
    """What is lost between training and validation rows: the kind of trouble, and a sentence."""
    reach, kept = sign * (train.value - baseline), sign * (valid.value - baseline)
    if reach <= 0:
        return "underfit", ("Even on its training rows the model is no better than without features: it underfits, or "
                            "the features say nothing.")  # fmt: skip
    lost, error = reach - kept, Z95 * float(np.hypot(train.error, valid.error))
    small, large = (
        (v.value if sign < 0 else 1 - v.value) for v in (train, valid)
    )  # errors; 1 is the best of the others
    growth = large / small if small > 0 else np.inf if large > 0 else 1.0
    figures = f"{metric} is {train.value:.4g} on training rows and {valid.value:.4g} on validation rows"
    share = "all" if kept <= 0 else f"{lost / reach:.0%}"
    if lost <= 0 or (lost + error <= 0.2 * reach and (lost <= error or (lost <= 0.05 * reach and growth <= 1.1))):
        told = "no worse" if lost <= 0 else "about the same"
        return "bias", (f"{figures}, {told}: what is missing is bias or noise. Better features or a more flexible model "
                        "can help.")  # fmt: skip
    if lost <= error:
        return "unclear", (f"{figures}. Whether the model overfits, {valid.rows:,} validation rows cannot tell: the "
                           f"difference of {lost:.2g} may be anything from {lost - error:.2g} to {lost + error:.2g}.")  # fmt: skip
    if lost > 0.5 * reach:
        return "variance", (f"{figures}: {share} of the gain on training rows is lost, so the model overfits. More rows, "
                            "stronger regularisation or fewer features should help.")  # fmt: skip
    worse = f", and the error is {growth:.2g} times as large" if 2 <= growth < np.inf else ""
    return "some variance", (f"{figures}: {share} of the gain on training rows is lost{worse}. That is some overfitting, "
                             "as usual for flexible models.")  # fmt: skip


def _later(metric: str, valid: Figure, test: Figure, better: bool, by_time: bool) -> str:
    """Why test rows may differ from validation rows beyond chance."""
    said = (f"Test rows come out {'better' if better else 'worse'} than validation rows by more than chance explains "
            f"({metric} {test.value:.4g} against {valid.value:.4g})")  # fmt: skip
    if by_time:
        return said + (": the problem changes over time." if better else
                       ": the problem changes over time, or choices made on the validation rows flatter them.")  # fmt: skip
    if better:
        return said + ". The rows were split at random, so the two parts differ by an unlikely accident."
    return said + (". The rows were split at random, so this is the price of having chosen parameters, family and threshold "
                   "on the validation rows: trust the test rows.")  # fmt: skip


def _more_rows(metric: str, curve: list[CurvePoint], sign: float, kept: float, rows: int) -> str:
    """Whether the last step of the learning curve speaks for more rows."""
    last, before = curve[-1], curve[-2]
    assert last.gain is not None
    assert last.gain_error is not None
    gain, error = sign * last.gain, Z95 * last.gain_error
    step = f"The last step of the learning curve, from {before.rows:,} to {last.rows:,} training rows,"
    interval = f"{gain - error:+.2g} to {gain + error:+.2g}"
    least = 0.05 * abs(kept)  # a gain that would be worth the effort
    if gain > max(error, least):
        if last.rows < rows:
            return f"{step} still improved {metric} by {gain:.3g}; the model itself has {rows:,}."
        return f"{step} still improved {metric} by {gain:.3g}: more rows are worth having."
    if gain + error <= max(2 * least, error / 2):
        return f"{step} improved {metric} by {gain:+.2g} ({interval}): more of the same rows would change little."
    return (f"{step} improved {metric} by {gain:+.2g}, which may be anything from {gain - error:+.2g} to {gain + error:+.2g}: "
            "it does not tell whether more rows are worth having.")  # fmt: skip
