"""Several models behind one: the weighted mean of bags of fold models, stored in sub-folders.

:class:`Joined` puts the encoders' outputs side by side, :class:`Bag` gives each fitted estimator its columns. So the
whole is an encoder and a fitted estimator like any other, and whatever serves or explains a model needs not know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from tasks.artifacts import Member
from tasks.encoding import Encoder
from tasks.encoding.encoder import Unseen
from tasks.files import read_json, write_json
from tasks.fitting.base import Curves, Fitted, Notes
from tasks.models.formats import load_fitted

FILE = "bag.json"


class Joined:
    """Encoders side by side: ``transform`` gives ``(n, sum of widths)``; names repeat."""

    def __init__(self, encoders: list[Encoder]) -> None:
        self.encoders = encoders

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Encoded rows ``(n, sum of widths)``."""
        return np.hstack([e.transform(X) for e in self.encoders])

    def unseen(self, X: pd.DataFrame, Z: np.ndarray) -> list[Unseen]:
        """Of every encoder, by the columns of the whole."""
        found: list[Unseen] = []
        start = 0
        for encoder, width in zip(self.encoders, self._widths, strict=True):
            stop = start + width
            found += [replace(one, column=start + one.column) for one in encoder.unseen(X, Z[:, start:stop])]
            start = stop
        return found

    @cached_property
    def _widths(self) -> list[int]:
        return [len(encoder.names) for encoder in self.encoders]

    @property
    def levels(self) -> dict[str, frozenset[str]]:
        """The levels that any encoder's training rows had, by feature."""
        found: dict[str, frozenset[str]] = {}
        for encoder in self.encoders:
            for name, levels in encoder.levels.items():
                found[name] = found.get(name, frozenset()) | levels
        return found

    @property
    def names(self) -> list[str]:
        """Names of the output columns; they repeat."""
        return [name for e in self.encoders for name in e.names]

    @property
    def columns(self) -> dict[str, list[str]]:
        """Features used, by their kind."""
        found: dict[str, list[str]] = {}
        for encoder in self.encoders:
            for kind, names in encoder.columns.items():
                found[kind] = list(dict.fromkeys(found.get(kind, []) + names))
        return found

    @property
    def coded(self) -> dict[int, int]:
        """Output columns that hold codes of categories: position to number of codes."""
        out: dict[int, int] = {}
        start = 0
        for encoder in self.encoders:
            out |= {start + j: levels for j, levels in encoder.coded.items()}
            start += len(encoder.names)
        return out

    def save(self, folder: Path) -> None:
        """Write each part into a folder of its own."""
        for i, encoder in enumerate(self.encoders):
            part = folder / "encoders" / str(i)
            part.mkdir(parents=True, exist_ok=True)
            encoder.save(part)

    @classmethod
    def load(cls, folder: Path) -> Joined:
        """Read what :meth:`save` wrote."""
        return cls([Encoder.load(folder / "encoders" / str(i)) for i in range(read_json(folder / FILE)["encoders"])])


@dataclass
class BagPart:
    """One fitted estimator: on which columns of the joined encoding, and with what weight in the mean."""

    member: int
    fitted: Fitted
    start: int
    stop: int
    dtype: str
    weight: float


def _asked(part: BagPart, Z: np.ndarray) -> np.ndarray:
    return part.fitted.predict(np.ascontiguousarray(Z[:, part.start : part.stop], dtype=part.dtype))


class Bag:
    """The weighted mean of parts. ``members`` says what they are: family, parameters, weight, and value."""

    FORMAT: ClassVar[str] = "bag"

    def __init__(self, parts: list[BagPart], members: list[Member], encoders: int) -> None:
        self.parts, self.members, self.encoders = parts, members, encoders
        self.history: Curves = {}
        self.notes: Notes = {
            "members": [{"family": m.family, "weight": m.weight} for m in members],
            "models": len(parts),
        }

    def predict(self, Z: np.ndarray) -> np.ndarray:
        """As :meth:`Fitted.predict`."""
        total = np.zeros(())
        for part in self.parts:
            total = total + part.weight * _asked(part, Z)
        return np.asarray(total, dtype=float)

    def one_and_mean(self, Z: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What one fold's models say of rows that they were fitted on, and the mean of all models that were.

        Parameters
        ----------
        Z : encoded rows ``(n, p)`` that the bag was fitted on.
        folds : ``(n, cuts)``: the fold of each cut in which a row was left out. A member's parts are in the order of
            the cuts and their folds.

        Returns
        -------
        two arrays ``(m, classes)``, row by row of the same input: the rows that the first fold's models had, then those
        that the second fold's had, and so on. "One fold's" are a member's parts with that number in every cut.
        """
        size = int(folds.max()) + 1
        ones = [np.zeros(())] * size
        known = [np.ones(len(Z), dtype=bool) for _ in range(size)]
        mean = np.zeros(())
        for member in sorted({part.member for part in self.parts}):
            own = [part for part in self.parts if part.member == member]
            weight = sum(part.weight for part in own)
            total = np.zeros(())
            count = np.zeros(len(Z))
            for place, part in enumerate(own):
                cut, fold = divmod(place, size)
                found, seen = _asked(part, Z), folds[:, cut] != fold
                ones[fold] = ones[fold] + part.weight * size * found
                known[fold] &= seen
                total = total + seen[:, None] * found
                count += seen
            mean = mean + weight * total / count[:, None]
        return np.concatenate([one[at] for one, at in zip(ones, known, strict=True)]), np.concatenate(
            [mean[at] for at in known]
        )

    def save(self, folder: Path) -> None:
        """Write each part into a folder of its own."""
        listed = []
        for i, part in enumerate(self.parts):
            own = folder / "parts" / str(i)
            own.mkdir(parents=True, exist_ok=True)
            part.fitted.save(own)
            listed.append(
                {
                    "member": part.member,
                    "format": part.fitted.FORMAT,
                    "start": part.start,
                    "stop": part.stop,
                    "dtype": part.dtype,
                    "weight": part.weight,
                }
            )
        write_json(
            folder / FILE, {"encoders": self.encoders, "members": [m.to_dict() for m in self.members], "parts": listed}
        )

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> Bag:
        """Read what :meth:`save` wrote."""
        state = read_json(folder / FILE)
        parts = [
            BagPart(
                p["member"],
                load_fitted(p["format"], folder / "parts" / str(i), kind, classes),
                p["start"],
                p["stop"],
                p["dtype"],
                p["weight"],
            )
            for i, p in enumerate(state["parts"])
        ]
        return cls(parts, [Member.model_validate(m) for m in state["members"]], state["encoders"])
