"""How rows without a time are divided: the table's key, what must stay together, and the salt that balances the parts.

From counts and contents alone, never from a model: the key names a row for ever after; rows of one customer, and
near-twins (rows that agree in nearly all columns), must not lie in both training and test, since a model would know the
answer by heart; and of :data:`SALTS` salts the one is kept whose parts are most alike in size and classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

SALTS = 64
BANDS = 10  # of a number as target, each to be in each part alike
ID_NAME = r"(?i:(^|[_\W])(id|key|uuid|guid|pk)$)|[a-z](Id|ID)$|(?i:(order|invoice|ticket|case|transaction|booking|account|policy|loan|claim)[ _]?(no|nr|num|number)$)"
NO_ID = r"(?i)^(unnamed|index|row|rownames?|level_\d)"
WHO = re.compile(
    r"\b(customer|patient|subject|person|user|client|household|family|session|member|employee|student|animal|participant|"
    r"respondent|player|borrower|policy|donor|driver|individual|visitor|machine|device|engine|batch|group)s?( ?(id|key|no|nr|number|num|name|code|ref))?$"
)
PAIRS = 4_000  # pairs of rows looked at
ALIKE = 0.15  # pairs of one group agree in so many more of the columns than any pairs: the group is written
LARGE = 100  # larger groups on average are categories, which new rows share
TWINS_TOLD, TWINS_CLEAR = 0.02, 0.10  # shares of the newest test rows that have a near-twin elsewhere
DISTINCT = 20  # a column whose values are shared by no more rows than this tells families of rows apart
CHANCE = 0.05  # twins that a row may be expected to have by chance, were the columns independent
COLUMNS = 40


@dataclass(frozen=True)
class Together:
    """Columns whose equal values belong in one part (none: nothing found), why, and whether that is clear."""

    by: tuple[str, ...] = ()
    why: str = ""
    clear: bool = False


def names_rows(name: str) -> bool:
    """Whether a column's name says that it names rows: an id, but no mere position.

    >>> [names_rows(name) for name in ("id", "customerId", "order_no", "Unnamed: 0", "index", "paid")]
    [True, True, True, False, False, False]
    """
    return re.search(ID_NAME, name) is not None and re.search(NO_ID, name) is None


def groups(frame: pd.DataFrame, target: str) -> Together:
    """Columns of which rows with equal values are so alike that they must stay together.

    ``frame`` has the columns as declared, ids among them.
    """
    codes = _codes(frame.drop(columns=target))
    y = _codes(frame[[target]])[target]
    found: list[tuple[float, str, str, bool]] = []
    rng = np.random.default_rng(0)
    for name in codes:
        spaced = " ".join(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()))
        who, an_id = WHO.search(spaced) is not None, re.search(ID_NAME, name) is not None
        exact = pd.factorize(frame[name])[0]
        if not (who or an_id) or not _repeats(exact):
            continue
        rest = [codes[other] for other in codes if other != name]
        within = _pairs_within(exact, rng)
        random = rng.integers(0, len(frame), (PAIRS, 2))
        more = _agreement(rest, within) - _agreement(rest, random[random[:, 0] != random[:, 1]])
        same, chance = _agreement([y], within), _agreement([y], random)
        target_more = (same - chance) / max(1 - chance, 1e-9)
        if max(more, target_more) < ALIKE / 2:
            continue
        said = (
            f"rows of one {name} agree in {100 * more:.0f} points more of the other columns than any two rows, "
            f"and in the target in {100 * same:.0f}% against {100 * chance:.0f}%"
        )
        clear = max(more, target_more) >= ALIKE or (who and max(more, target_more) >= ALIKE / 2)
        found.append((max(more, target_more) + who, name, said, clear))
    if not found:
        return Together()
    _, name, said, clear = max(found)
    return Together((name,), said, clear)


def twins(frame: pd.DataFrame, target: str, part: np.ndarray) -> Together:
    """Columns in which near-twins agree, where many test rows have a near-twin in another part.

    Two rows are near-twins if they agree in all columns but one, in one at least whose values hardly repeat, and would
    not by chance: otherwise tables of a few categories would be full of them. Found by hashes that leave out each column in turn.
    """
    names = [str(name) for name in frame if name != target][:COLUMNS]
    if len(names) < 3 or len(frame) < 20:
        return Together()
    exact = np.column_stack([pd.factorize(frame[name], use_na_sentinel=False)[0] for name in names])
    repeats = np.array([len(frame) / max(len(np.unique(column)), 1) for column in exact.T])
    rare = repeats <= DISTINCT
    chance = np.array([float(((np.bincount(column) / len(column)) ** 2).sum()) for column in exact.T])
    if not rare.any():
        return Together()
    rng = np.random.default_rng(0)
    hashes = np.column_stack(
        [rng.integers(0, 2**63, size=int(column.max()) + 1, dtype=np.uint64)[column] for column in exact.T]
    )
    whole = hashes.sum(axis=1, dtype=np.uint64)
    pairs = []
    for j in range(len(names)):
        others = np.arange(len(names)) != j
        if not rare[others].any() or len(frame) * np.prod(chance[others]) > CHANCE:
            continue
        order = np.argsort(key := whole - hashes[:, j], kind="stable")
        next_to = key[order][1:] == key[order][:-1]
        pairs.append(np.column_stack([order[:-1][next_to], order[1:][next_to]]))
    both = np.concatenate(pairs) if pairs else np.empty((0, 2), int)
    apart = both[(part[both[:, 0]] != part[both[:, 1]])] if len(both) else both
    in_test = part == "test"
    touched = np.unique(apart[in_test[apart].any(axis=1)]) if len(apart) else np.empty(0, int)
    share = float(in_test[touched].sum() / max(in_test.sum(), 1))
    if share < TWINS_TOLD:
        return Together()
    agree = (exact[both[:, 0]] == exact[both[:, 1]]).mean(axis=0)
    by: list[int] = []
    for j in np.argsort(chance, kind="stable"):  # the fewest columns that tell the families of twins apart
        if agree[j] >= 0.98 and len(by) < 4 and len(frame) * np.prod(chance[by]) >= 0.5:
            by.append(int(j))
    said = f"{100 * share:.0f}% of test rows would have a near-twin in another part, alike in all columns but one"
    return Together(tuple(names[j] for j in sorted(by)), said, bool(by) and share >= TWINS_CLEAR)


def best_salt(rows: np.ndarray, target: pd.Series, shares: Mapping[str, float]) -> tuple[str, np.ndarray]:
    """The salt whose parts are most alike, and each row's part by it.

    Parameters
    ----------
    rows : uint64 (n,), equal for rows that stay together.
    target : classes, or numbers (whose quantile bands are balanced); rows without one do not count.
    shares : of ``test`` and ``valid``.
    """
    from tasks.identity import position

    labelled = target.notna().to_numpy()
    known = target[labelled]
    if pd.api.types.is_numeric_dtype(known) and known.nunique() > 2 * BANDS:
        known = pd.Series(np.floor(known.rank(pct=True, method="first") * BANDS * (1 - 1e-9)))
    classes, counts = np.unique(pd.factorize(known)[0], return_counts=True)
    code = pd.factorize(known)[0]
    wanted = np.array([shares["test"], shares["valid"], 1 - shares["test"] - shares["valid"]])
    expected = wanted[:, None] * counts[None, :]
    best: tuple[float, int] = (np.inf, 0)
    for salt in range(SALTS):
        at = position(rows[labelled], str(salt))
        place = (at >= wanted[0]).astype(int) + (at >= wanted[0] + wanted[1])
        table = np.bincount(place * len(classes) + code, minlength=3 * len(classes)).reshape(3, -1)
        best = min(best, (float((((table - expected) ** 2) / expected).sum()), salt))
    at = position(rows, str(best[1]))
    part = np.select([at < wanted[0], at < wanted[0] + wanted[1]], ["test", "valid"], "train").astype(object)
    return str(best[1]), np.where(labelled, part, "pending")


def _repeats(code: np.ndarray) -> bool:
    """Whether values are of groups: several rows each, many groups, and no group that is a large part of the rows."""
    code = code[code >= 0]
    counts = np.bincount(code) if len(code) else np.zeros(1)
    counts = counts[counts > 0]
    in_groups = counts[counts > 1].sum() / max(counts.sum(), 1)
    return len(counts) >= 10 and in_groups >= 0.2 and counts.mean() <= LARGE and counts.max() <= 0.1 * counts.sum()


def _codes(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Each column as codes: of numbers and times twenty bands, so that near values are equal."""
    out: dict[str, np.ndarray] = {}
    for name, column in frame.items():
        values: pd.Series | np.ndarray = column
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            continue
        if pd.api.types.is_numeric_dtype(column) and column.nunique() > 20:
            values = np.floor(column.rank(pct=True) * 20 * (1 - 1e-9))
        out[str(name)] = pd.factorize(values)[0]
    return out


def _pairs_within(code: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pairs of different rows of one group, each group once at most; (m, 2)."""
    order = rng.permutation(np.flatnonzero(code >= 0))
    order = order[np.argsort(code[order], kind="stable")]
    starts = np.flatnonzero(np.r_[True, code[order][1:] != code[order][:-1]])
    sizes = np.diff(np.r_[starts, len(order)])
    first = starts[sizes > 1][:PAIRS]
    return np.column_stack([order[first], order[first + 1]])


def _agreement(codes: list[np.ndarray], pairs: np.ndarray) -> float:
    if not codes or not len(pairs):
        return 0.0
    return float(np.mean([(code[pairs[:, 0]] == code[pairs[:, 1]]).mean() for code in codes]))
