"""Text columns: TF-IDF of words and word pairs, fitted and applied by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

WORDS = 300


@dataclass
class Text:
    """One text column; the state is its terms and their inverse document frequencies."""

    terms: list[str]
    idf: np.ndarray

    @classmethod
    def fit(cls, values: pd.Series, words: int = WORDS) -> Text:
        """Learn the ``words`` most frequent words and pairs of words of training texts."""
        vectorizer = _vectorizer(max_features=words)
        try:
            vectorizer.fit(_strings(values))
        except ValueError:  # nothing but stop words or empty strings
            return cls([], np.zeros(0))
        return cls([str(t) for t in vectorizer.get_feature_names_out()], vectorizer.idf_)

    @cached_property
    def _fitted(self) -> TfidfVectorizer:
        vectorizer = _vectorizer(vocabulary={term: i for i, term in enumerate(self.terms)})
        vectorizer.idf_ = self.idf
        return vectorizer

    def transform(self, values: pd.Series) -> np.ndarray:
        """``(n, terms)`` float64, rows of length one (or zero, where no term occurs)."""
        if not self.terms:
            return np.zeros((len(values), 0))
        return self._fitted.transform(_strings(values)).toarray()

    def names(self, column: str) -> list[str]:
        """Names of the encoded columns, one a term."""
        return [f"{column}: {term}" for term in self.terms]


def _vectorizer(**how: int | dict[str, int]) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, strip_accents="unicode", **how)


def _strings(values: pd.Series) -> list[str]:
    return ["" if pd.isna(v) else str(v) for v in values]
