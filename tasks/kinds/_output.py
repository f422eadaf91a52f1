"""What a model gives for one row: the chances of two classes or of many, or a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Output:
    """The form of a model's scores, and of what they are learnt from.

    ``least`` and ``most``: how many classes there may be (``most`` None: any number); 0 where there are none.
    Scores of classes are ``(n, classes)`` probabilities, of no class ``(n,)`` numbers.
    """

    name: str
    least: int = 0
    most: int | None = 0

    @property
    def classes(self) -> bool:
        """Whether rows belong to classes."""
        return self.least > 0

    def fits(self, count: int) -> bool:
        """Whether a problem with so many classes has this output."""
        return self.least <= count and (self.most is None or count <= self.most)

    def heads(self, classes: int) -> int:
        """How many margins a model computes for a row: one, or one a class."""
        return classes if self.most is None else 1

    def of_margins(self, margins: np.ndarray) -> np.ndarray:
        """Scores from margins ``(n, heads)``: by the logistic function, by softmax, or as they are."""
        if not self.classes:
            return margins[:, 0]
        return softmax(margins) if self.most is None else two_columns(sigmoid(margins[:, 0]))

    def of_positive(self, found: np.ndarray) -> np.ndarray:
        """Scores from what libraries answer: of two classes the second one's probability alone ``(n,)``."""
        import numpy as np

        found = np.asarray(found, dtype=float)
        return two_columns(found) if self.classes and self.most is not None else found

    def free(self, scores: np.ndarray) -> np.ndarray:
        """The scores ``(n, k)`` that say all: of two probabilities the second, of others each."""
        if not self.classes:
            return scores[:, None]
        return scores if self.most is None else scores[:, 1:]

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Targets ``(n,)`` as libraries want them: class indexes as int64, numbers as they are."""
        import numpy as np

        return y.astype(np.int64) if self.classes else y

    def indicators(self, y: np.ndarray) -> np.ndarray:
        """Targets as columns ``(n, k)``: of many classes 0 or 1 a class, else ``y`` itself."""
        import numpy as np

        if self.classes and self.most is None:
            return np.eye(int(y.max()) + 1)[y.astype(int)]
        return y[:, None]


TWO = Output("two classes", 2, 2)
MANY = Output("many classes", 2, None)
NUMBER = Output("a number")


def score_columns(scores: np.ndarray) -> list[str]:
    """Names of the columns in which scores are kept: ``score_0 …``, or ``score`` for ``(n,)`` numbers.

    >>> import numpy as np
    >>> score_columns(np.zeros(3)), score_columns(np.zeros((3, 2)))
    (['score'], ['score_0', 'score_1'])
    """
    return ["score"] if scores.ndim == 1 else [f"score_{k}" for k in range(scores.shape[1])]


def or_half(threshold: float | None) -> float:
    """The threshold of the second class; a half where none was chosen."""
    return 0.5 if threshold is None else threshold


def two_columns(positive: np.ndarray) -> np.ndarray:
    """Probabilities of both classes from those of the positive one."""
    import numpy as np

    positive = np.asarray(positive, dtype=float)
    return np.column_stack([1.0 - positive, positive])


def softmax(margins: np.ndarray) -> np.ndarray:
    """Row-wise softmax of ``(n, k)``, stable for large values."""
    import numpy as np

    shifted = np.exp(margins - margins.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def sigmoid(margin: np.ndarray) -> np.ndarray:
    """Logistic function, stable for large values."""
    import numpy as np

    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(margin, dtype=float)))
