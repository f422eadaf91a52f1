"""Golden rows asked again: does a package answer here, now, as it did where it was made?

Its files are told by their hashes. What they do not tell is whether this machine's libraries do the same with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.artifacts import GoldenRow, Number
from tasks.bundle.rows import from_json
from tasks.errors import RefitError

if TYPE_CHECKING:
    from tasks.bundle import Answer, Bundle

# Another processor's matrix products round the last bits otherwise; more than that is another answer.
RELATIVE, ABSOLUTE = 1e-6, 1e-9


def close(found: Sequence[float], wanted: Sequence[float]) -> bool:
    """Whether scores are equal but for rounding on another processor."""
    return len(found) == len(wanted) and np.allclose(found, wanted, rtol=RELATIVE, atol=ABSOLUTE)


def replay(bundle: Bundle) -> None:
    """Answer the golden rows, alone and as one batch, and compare features, scores and decisions with what is written.

    Raises
    ------
    RefitError
        For the first answer that differs by more than another processor's rounding.
    """
    rows = bundle.golden
    asked = [from_json(row.input, bundle.schema.fields) for row in rows]
    for i, (row, together) in enumerate(zip(rows, bundle.predict_rows(asked), strict=True)):
        _same(bundle, i, bundle.predict_row(asked[i]), row, row.scores, row.decision)
        _same(bundle, i, together, row, row.batch_scores, row.batch_decision)


def _same(bundle: Bundle, i: int, found: Answer, row: GoldenRow, scores: list[float],
          decision: str | Number) -> None:  # fmt: skip
    wrong = [name for name, value in row.features.items() if not _alike(found.features.get(name), value)]
    said = None
    if wrong:
        said = f"feature {wrong[0]!r} is {found.features.get(wrong[0])!r}, and was {row.features[wrong[0]]!r}"
    elif not close(found.scores, scores):
        said = f"scores are {list(found.scores)}, and were {scores}"
    elif bundle.problem.output.classes and bundle.label(found.decision) != decision:
        said = f"the decision is {bundle.label(found.decision)!r}, and was {decision!r}"
    if said:
        raise RefitError(
            f"{bundle.path}: golden row {i} is answered otherwise than when the package was made: {said}. This is not the "
            "model that was judged. Serve it with the libraries of its lock file, or make it again with `refit run`."
        )


def _alike(found: float | str | None, wanted: float | str | None) -> bool:
    if wanted is None:
        return found is None or found != found
    if isinstance(wanted, str) or isinstance(found, str) or found is None:
        return bool(found == wanted)
    return close([found], [wanted])
