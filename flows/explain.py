"""Why a model answers a row as it does: what each of the row's values adds to the answer, in words (``refit explain``).

The answer is the one of ``refit predict``; what it is made of are SHAP values, as the report's (:mod:`tasks.evaluate.explain`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import RefitError, shortened

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from flows.predict import Answering
    from tasks.bundle import Bundle
    from tasks.evaluate.explain import Explained

MOST = 200  # rows at once
SHOWN = 12  # reasons in words; the others are summed
ODDS = "Odds are p / (1 − p): a usual row's, times all these factors, are this row's."
NO_CAUSE = "This explains the model and not the world: what it leans on need not be a cause."


@dataclass(frozen=True)
class Reason:
    """What one feature's value adds to an answer, and its standard error (0: it is exact)."""

    feature: str
    value: str | float | None
    adds: float
    error: float = 0.0


@dataclass(frozen=True)
class RowReasons:
    """Why a row has its answer: ``base``, the mean answer, and all reasons add up to ``total``.

    Attributes
    ----------
    row : its number in what was asked, from 1.
    version : what the answers call the model.
    answer : the decision's name, or the number.
    of : the class whose probability is explained; empty where the answer is a number.
    score, threshold : of that class's probability; of a number the number, and None.
    unit, space : what is added up, and that in a sentence.
    odds : whether the unit is log-odds, so that a value multiplies the odds.
    warnings : what ``refit predict`` warns of.
    """

    row: int
    version: str
    answer: str | float
    of: str
    score: float
    threshold: float | None
    base: float
    total: float
    unit: str
    space: str
    odds: bool
    reasons: tuple[Reason, ...]
    warnings: str = ""

    def headline(self) -> str:
        """The answer in a sentence."""
        if not self.of:
            return f"row {self.row}: version {self.version} answers {self.score:,.6g}"
        at = f" (threshold {self.threshold:.3g})" if self.threshold is not None else ""
        return f"row {self.row}: version {self.version} answers {self.answer!r}; the probability of {self.of!r} is {_share(self.score)}{at}"

    def start(self) -> str:
        """Where the sum begins, in a sentence."""
        if self.odds:
            mean = 1 / (1 + math.exp(-self.base))
            return f"a usual row has {_share(mean)}; what this row's values do to its odds, the strongest first:"
        return f"a usual row has {self.base:.4g}; what this row's values add to it ({self.unit}), the strongest first:"

    def effect(self, adds: float) -> str:
        """What a reason does: a factor of the odds, or what it adds."""
        return f"× {math.exp(adds):.3g}" if self.odds else f"{adds:+.3g}"

    def shown(self, most: int = SHOWN) -> tuple[tuple[Reason, ...], Reason | None]:
        """The strongest reasons, and what the others come to together; None where there are none."""
        first, others = self.reasons[:most], self.reasons[most:]
        if not others:
            return first, None
        error = math.sqrt(sum(one.error**2 for one in others))
        return first, Reason(f"{len(others)} others", None, sum(one.adds for one in others), error)

    def lines(self) -> Iterator[str]:
        """The answer and its reasons, a line each."""
        first, others = self.shown()
        rows = [(self.effect(one.adds), _verb(one.adds), one.feature, _value(one.value)) for one in first]
        rows += [(self.effect(others.adds), _verb(others.adds), others.feature, "")] if others else []
        wide = max((len(row[0]) for row in rows), default=0)
        named = min(50, max((len(row[2]) for row in rows), default=0))
        yield self.headline()
        if self.warnings:
            yield f"warning: {self.warnings}"
        yield self.start()
        for effect, verb, feature, value in rows:
            yield f"  {effect:>{wide}}  {verb}  {shortened(feature, 50):<{named}}  {value}".rstrip()
        yield self.ending()

    def ending(self) -> str:
        """How the reasons come to the answer, and how exact they are."""
        most = max((one.error for one in self.reasons), default=0.0)
        sums = ODDS if self.odds else self.space
        return sums + (f" Each is drawn, with a standard error of at most {most:.2g}." if most else "") + f" {NO_CAUSE}"

    def _repr_html_(self) -> str:
        from flows.notebook import table

        first, others = self.shown()
        rows = [(one.feature, _value(one.value), self.effect(one.adds), _verb(one.adds)) for one in first]
        rows += [(others.feature, "", self.effect(others.adds), _verb(others.adds))] if others else []
        head = ("feature", "value", "odds" if self.odds else self.unit, "")
        return table(rows, head, f"{self.headline()}; {self.start().removesuffix(', the strongest first:')}")


def explain(by: Answering, source: Path, numbers: Sequence[int]) -> list[RowReasons]:
    """Why rows of a file (by their numbers, from 1) are answered as they are.

    Raises
    ------
    RefitError
        For too many rows, a row that is not there, or one that cannot be answered.
    """
    from deploy.predict import answer_rows
    from tasks.artifacts import Receipt
    from tasks.evaluate.explain import shap_values
    from tasks.models.mixture import Mixture

    if not 1 <= len(numbers) <= MOST:
        raise RefitError(f"explain: takes 1 to {MOST} rows at once, found {len(numbers):,}. Choose those that matter.")
    bundle = by.bundle
    answers, features = answer_rows(bundle, by.version, source, numbers, by.tables, by.horizon, by.refuse)
    for number, why in zip(numbers, answers["error"], strict=True):
        if isinstance(why, str):
            raise RefitError(f"row {number}: {why}")
    mixture = Mixture.of(bundle.members, list(bundle.weights), bundle.calibration)
    usual, seed = usual_rows(bundle, [str(name) for name in features]), Receipt.read(bundle.path).seed or 0
    answered = bundle.predict(features)
    scores, decisions = answered.reshape(len(features), -1), bundle.decide(answered)
    made: list[RowReasons] = []
    while len(made) < len(numbers):  # a model that can only be asked gets through a part of them at a time
        at = len(made)
        parts = shap_values(mixture, features.iloc[at:], usual, seed)
        for i in range(len(parts.values)):
            k = at + i
            warned = answers["warnings"].iloc[k]
            about = (int(numbers[k]), by.version, warned if isinstance(warned, str) else "")
            made.append(_row(bundle, about, parts, i, features.iloc[k], scores[k], float(decisions[k])))
    return made


def _row(
    bundle: Bundle,
    about: tuple[int, str, str],
    parts: Explained,
    i: int,
    values: pd.Series,
    scores: np.ndarray,
    decision: float,
) -> RowReasons:
    """One row taken apart, for the positive class, else for the class that was decided on."""
    import numpy as np

    several, asked = parts.values.shape[2] > 1, bundle.problem.positive
    output = int(decision) if several else 0
    which = (int(decision) if asked is None else asked) if bundle.classes else 0
    own = parts.values[i, :, output]
    doubt = np.zeros(len(own)) if parts.asked is None else parts.asked.errors[i, :, output]
    order = [j for j in np.argsort(-np.abs(own), kind="stable").tolist() if own[j]]
    base = float(parts.base[output])
    return RowReasons(
        row=about[0],
        version=about[1],
        answer=bundle.label(decision),
        of=bundle.classes[which] if bundle.classes else "",
        score=float(scores[which]),
        threshold=bundle.threshold,
        base=base,
        total=base + float(own.sum()),
        unit=parts.unit,
        space=bundle.problem.adds_up(parts.unit),
        odds=bool(bundle.classes) and not several and parts.unit == bundle.problem.margin_unit,
        reasons=tuple(
            Reason(str(values.index[j]), _plain(values.iloc[j]), float(own[j]), float(doubt[j])) for j in order
        ),
        warnings=about[2],
    )


def usual_rows(bundle: Bundle, features: list[str]) -> pd.DataFrame:
    """Features of rows that the package was made from, as far as it keeps them: what an explained row is held against."""
    import numpy as np

    from tasks.artifacts.columns import SPLIT
    from tasks.evaluate.explain import BACKGROUND
    from tasks.files import read_table

    kept = read_table(bundle.path / "reference.parquet")
    fitted = kept[kept[SPLIT] == "train"] if SPLIT in kept else kept
    rows = kept if fitted.empty else fitted
    at = np.unique(np.linspace(0, len(rows) - 1, min(BACKGROUND, len(rows))).astype(int))
    return rows.iloc[at][features].reset_index(drop=True)


def _share(probability: float) -> str:
    """A probability; one that would be rounded to 0 or 1 as what it is less or more than."""
    if 0.001 <= probability <= 0.999:
        return f"{probability:.3f}"
    return "below 0.001" if probability < 0.5 else "above 0.999"


def _verb(adds: float) -> str:
    return "raises" if adds > 0 else "lowers"


def _plain(value: object) -> str | float | None:
    return None if value != value or value is None else value if isinstance(value, str) else float(value)  # type: ignore[arg-type]


def _value(value: str | float | None) -> str:
    return "missing" if value is None else f"{value:.6g}" if isinstance(value, float) else shortened(value, 40)
