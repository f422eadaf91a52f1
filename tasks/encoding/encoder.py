"""The encoder: one fitted object from a feature frame to a float array, stored as JSON and safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.encoding.category import ENCODINGS, Category
from tasks.encoding.numeric import SCALES, Numeric
from tasks.encoding.text import Text
from tasks.errors import RefitError, nearest, some
from tasks.files import read_json, write_json
from tasks.values.numbers import LARGEST

NEEDS = ("trees", "dense", "distances", "codes")
ENCODER_KEYS = ("scale", "bins", "categories", "max_levels", "words")
LARGE = 20_000_000  # cells; above, float32 halves the memory


@dataclass(frozen=True)
class Unseen:
    """Rows of one output column whose level is new, and the codes that stand in for it."""

    column: int
    rows: np.ndarray  # (n,) bool
    codes: np.ndarray


class Encoder:
    """Encodes a feature frame for one of :data:`NEEDS`.

    ``trees``: numbers as they are (NaN stays), categories as codes (unseen: NaN, see :meth:`unseen`). ``dense``: imputed with
    missing flags, scaled, categories one-hot. ``distances``: as ``dense``, but no value lies far out unless ``scale``
    says otherwise. ``codes``: numbers as in ``dense``, then one column of codes a category (0: missing or unseen), for
    embeddings.
    """

    def __init__(
        self,
        needs: str,
        columns: dict[str, list[str]],
        numeric: Numeric | None,
        categories: list[Category],
        texts: list[Text],
        dtype: str,
    ) -> None:
        self.needs, self.columns, self.dtype = needs, columns, dtype
        self.numeric, self.categories, self.texts = numeric, categories, texts

    # Fitting -------------------------------------------------------------------------------------
    @classmethod
    def fit(cls, X: pd.DataFrame, y: np.ndarray, needs: str, kind: str, **options: Any) -> Encoder:
        """Fit on training rows ``X`` and their targets ``y``. See :meth:`fit_transform`."""
        return cls._fitted(X, y, needs, kind, **options)[0]

    @classmethod
    def fit_transform(
        cls,
        X: pd.DataFrame,
        y: np.ndarray,
        needs: str,
        kind: str,
        kinds: Mapping[str, str] | None = None,
        seed: int = 0,
        groups: np.ndarray | None = None,
        **how: Any,
    ) -> tuple[Encoder, np.ndarray]:
        """Fit, and encode the training rows themselves (cross-fitted where the encoding uses the target).

        Parameters
        ----------
        X, y : training rows and their targets.
        needs : one of :data:`NEEDS`.
        kind : binary, multiclass or regression.
        kinds : feature name to numeric, categorical or text; guessed from the dtypes if left out.
        groups : (n,), where some rows were made from others: rows of one group stay together in cross-fitting.
        **how : ``scale``, ``bins``, ``categories``, ``max_levels``, ``words``, as in ``features.encode``.
        """
        encoder, crossed = cls._fitted(X, y, needs, kind, kinds, seed, groups, **how)
        return encoder, encoder._encode(X, crossed)

    @classmethod
    def _fitted(
        cls,
        X: pd.DataFrame,
        y: np.ndarray,
        needs: str,
        kind: str,
        kinds: Mapping[str, str] | None = None,
        seed: int = 0,
        groups: np.ndarray | None = None,
        **how: Any,
    ) -> tuple[Encoder, dict[int, np.ndarray]]:
        """The encoder, and by category the training rows' cross-fitted columns."""
        _check(needs, how)
        kinds = kinds or {
            c: "numeric" if pd.api.types.is_numeric_dtype(X[c]) else "categorical" for c in map(str, X.columns)
        }
        columns = {k: [c for c in X.columns if kinds[c] == k] for k in ("numeric", "categorical", "text")}
        # A feature that is missing in every training row says nothing, and histogram boosting fails on it.
        columns["numeric"] = [c for c in columns["numeric"] if X[c].notna().any()]
        numeric = None
        if needs != "trees":
            numbers = X[columns["numeric"]].to_numpy(float)
            scale = how.get("scale") or ("smooth" if needs == "distances" else "standard")
            numeric = Numeric.fit(numbers, scale, int(how.get("bins", 8)))
        method = how.get("categories") or ("native" if needs == "trees" else "one_hot")
        if needs == "codes":
            method = "native"
        elif method == "native" and needs != "trees":
            method = "one_hot"  # numbers that are multiplied can do nothing with codes, and nothing at all with a gap
        most = int(how.get("max_levels") or (250 if method != "one_hot" else 100))
        least = 1 if method != "one_hot" else max(1, min(10, len(X) // 100))
        categories = [Category.fit(X[c], method, most, least) for c in columns["categorical"]]
        if method in ("native", "ordinal"):
            for c, category in zip(columns["categorical"], categories, strict=True):
                category.fit_stand_ins(X[c], np.asarray(y, dtype=float), kind)
        texts = [Text.fit(X[c], int(how.get("words", 300))) for c in columns["text"]]
        crossed: dict[int, np.ndarray] = {}
        if method == "target":
            crossed = {
                i: category.fit_target(X[c], y, kind, seed, groups)
                for i, (c, category) in enumerate(zip(columns["categorical"], categories, strict=True))
            }
        encoder = cls(needs, columns, numeric, categories, texts, "float64")
        if len(X) * len(encoder.names) > LARGE:
            encoder.dtype = "float32"
        return encoder, crossed

    # Applying ------------------------------------------------------------------------------------
    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Encode rows to ``(n, width)``; columns are found by name, others are ignored.

        A number beyond :data:`LARGEST` counts as that.
        """
        return self._encode(X, {})

    def _encode(self, X: pd.DataFrame, crossed: dict[int, np.ndarray]) -> np.ndarray:
        try:
            numbers = X[self.columns["numeric"]].to_numpy(float)
            parts = [numbers if self.numeric is None else self.numeric.transform(numbers)]
            for i, (name, category) in enumerate(zip(self.columns["categorical"], self.categories, strict=True)):
                parts.append(crossed[i] if i in crossed else self._codes(category, X[name]))
            parts += [text.transform(X[name]) for name, text in zip(self.columns["text"], self.texts, strict=True)]
        except KeyError:
            missing = [c for group in self.columns.values() for c in group if c not in X]
            raise RefitError(f"the features {some(missing)} are missing; the model was trained with them.") from None
        out = np.empty((len(X), sum(p.shape[1] for p in parts)), dtype=self.dtype)
        at = 0
        # In float32 what is beyond becomes infinite for a moment. One row is to cost microseconds.
        with np.errstate(over="ignore") if self.dtype == "float32" else nullcontext():
            for part in parts:
                out[:, at : at + part.shape[1]] = part
                at += part.shape[1]
        if self.numeric is None:
            np.maximum(np.minimum(out, LARGEST, out=out), -LARGEST, out=out)
        return out

    def _codes(self, category: Category, values: pd.Series) -> np.ndarray:
        if self.needs == "codes":
            return (category.codes(values) + 1.0)[:, None]
        return category.transform(values)

    def unseen(self, X: pd.DataFrame, Z: np.ndarray) -> list[Unseen]:
        """Where rows, encoded as ``Z``, have levels that training never saw, and known ones that stand in for them."""
        found: list[Unseen] = []
        first = self._first_category
        shift = 1.0 if self.needs == "codes" else 0.0
        for i, (name, category) in enumerate(zip(self.columns["categorical"], self.categories, strict=True)):
            if not category.stand_ins:
                continue
            codes = Z[:, first + i] - shift
            gone = ~(codes >= 0)  # missing, or new
            if gone.any() and (new := gone & pd.notna(X[name]).to_numpy()).any():
                found.append(Unseen(first + i, new, np.asarray(category.stand_ins) + shift))
        return found

    @property
    def levels(self) -> dict[str, frozenset[str]]:
        """The levels that training saw, by the name of each categorical feature."""
        return {n: c.levels for n, c in zip(self.columns["categorical"], self.categories, strict=True)}

    @cached_property
    def _first_category(self) -> int:
        """Position of the first output column of categories."""
        start = len(self.columns["numeric"])
        return start if self.numeric is None else len(self.numeric.names(self.columns["numeric"]))

    # What came out -------------------------------------------------------------------------------
    @property
    def names(self) -> list[str]:
        """Names of the output columns."""
        names = list(self.columns["numeric"])
        if self.numeric is not None:
            names = self.numeric.names(names)
        for column, category in zip(self.columns["categorical"], self.categories, strict=True):
            names += [column] if self.needs == "codes" else category.names(column)
        for column, text in zip(self.columns["text"], self.texts, strict=True):
            names += text.names(column)
        return names

    @property
    def coded(self) -> dict[int, int]:
        """Output columns that hold codes of categories: position to number of codes."""
        if any(c.how != "native" for c in self.categories):
            return {}
        start = len(self.columns["numeric"])
        if self.numeric is not None:
            start += len(self.numeric.arrays["flagged"])
        extra = 1 if self.needs == "codes" else 0
        return {start + i: c.size + extra for i, c in enumerate(self.categories)}

    # Storing -------------------------------------------------------------------------------------
    def save(self, folder: Path) -> None:
        """Write ``encoder.json`` and ``encoder.safetensors``; the bytes depend on the fitted state alone."""
        from safetensors.numpy import save_file

        numeric: dict[str, str | int] | None = None
        arrays: dict[str, np.ndarray] = {}
        if self.numeric is not None:
            numeric, found = self.numeric.state()
            arrays |= {f"numeric.{k}": np.ascontiguousarray(v) for k, v in found.items()}
        arrays |= {f"text.{i}.idf": np.ascontiguousarray(t.idf) for i, t in enumerate(self.texts)}
        state = {
            "needs": self.needs,
            "dtype": self.dtype,
            "columns": self.columns,
            "numeric": numeric,
            "categories": [c.state() for c in self.categories],
            "texts": [t.terms for t in self.texts],
        }
        write_json(folder / "encoder.json", state)
        save_file(arrays, folder / "encoder.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Encoder:
        """From the folder that :meth:`save` wrote."""
        from safetensors.numpy import load_file

        state = read_json(folder / "encoder.json")
        arrays = load_file(folder / "encoder.safetensors")
        numeric = None
        if state["numeric"] is not None:
            own = {k.removeprefix("numeric."): v for k, v in arrays.items() if k.startswith("numeric.")}
            numeric = Numeric(state["numeric"]["scale"], own, state["numeric"]["bins"])
        texts = [Text(terms, arrays[f"text.{i}.idf"]) for i, terms in enumerate(state["texts"])]
        categories = [Category.from_state(s) for s in state["categories"]]
        return cls(state["needs"], state["columns"], numeric, categories, texts, state["dtype"])


def _check(needs: str, how: Mapping[str, Any]) -> None:
    allowed: dict[str, tuple[str, ...]] = {"scale": SCALES, "categories": ENCODINGS}
    if needs not in NEEDS:
        raise RefitError(f"needs: {needs!r} is not one of {some(NEEDS)}." + nearest(needs, NEEDS))
    for key, value in how.items():
        if key not in ENCODER_KEYS:
            raise RefitError(
                f"features.encode: unknown key {key!r}; allowed: {some(ENCODER_KEYS)}." + nearest(key, ENCODER_KEYS)
            )
        if key in allowed and value is not None and value not in allowed[key]:
            raise RefitError(
                f"features.encode.{key}: {value!r} is not one of {some(allowed[key])}." + nearest(value, allowed[key])
            )
