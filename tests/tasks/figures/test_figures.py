"""Every figure of three small runs is what it was when somebody last looked at it.

A comparison of wholes, beside the tests that say what single parts have to be: whoever changes what comes out of a run sees
all of it here. ``python -m tests.tasks.figures.test_figures`` writes the figures anew; what differs is to be read, and to be meant.
Figures hold within a ten-thousandth: sums come out otherwise on other processors. What depends on the code, the clock or the
machine is left out.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.files import read_json
from tests.shared import shared
from tests.tasks.figures.projects import PROJECTS, finish

HERE = Path(__file__).parent
CLOSE = 1e-4
LONG = 12  # numbers of a list, from which on their sums stand for them
HASH = re.compile(r"\b[0-9a-f]{12,64}\b")
COARSE = (
    "evaluation/rows.json",
    "ordinary/about.json",
    "evaluation/explain.json",
)  # large: one sum for all that is below a key
COPIES = ("data/package/accepted", "data/package/plan.json", "data/package/model")
LEFT_OUT = (
    *COPIES,
    "receipt.json",
    "timing.json",
    "data/code/",
    "data/raw/manifest.json",
    "drift.html",
    "data/champion/",
)
Figures = dict[str, Any]


def figures(root: Path) -> dict[str, Figures]:
    """What each file of the run holds: JSON as it is, many numbers in like places and columns of Parquet by their sums."""
    out: dict[str, Figures] = {}
    for path in sorted(root.glob("data/**/*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or any(part in name for part in LEFT_OUT):
            continue
        if path.suffix == ".json":
            out[name] = _whole(read_json(path), name.endswith(COARSE))
        elif path.suffix == ".parquet":
            out[name] = {str(c): _column(column) for c, column in pd.read_parquet(path).items()}
    return out


def _whole(value: Any, coarse: bool) -> Figures:
    """A JSON value by place. Where more than :data:`LONG` numbers stand in like places, their sums stand for them."""
    alike: dict[str, Figures] = {}
    for at, one in _flat(value):
        like = re.sub(r"/[0-9.]+(?=/|$)", "/*", at)
        alike.setdefault("/".join(like.split("/")[:3]) if coarse else like, {})[at] = one
    out: Figures = {}
    for places, found in alike.items():
        numbers = [v for v in found.values() if not isinstance(v, str | bool)]
        if len(numbers) > LONG:
            out[places] = _sums(np.array([np.nan if v in (None, [], {}) else v for v in numbers], dtype=float))
            found = {at: v for at, v in found.items() if isinstance(v, str | bool)}
        if len(found) > LONG:
            out[f"{places} texts"] = [len(found), sha256("\n".join(map(str, found.values())).encode()).hexdigest()[:8]]
        else:
            out |= found
    return out


def _flat(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _flat(one, f"{at}/{key}")
    elif isinstance(value, list) and value:
        for i, one in enumerate(value):
            yield from _flat(one, f"{at}/{i}")
    else:
        yield (
            at,
            HASH.sub("#", value) if isinstance(value, str) else _rounded(value) if isinstance(value, float) else value,
        )


def _sums(numbers: np.ndarray) -> list[float]:
    """How many there are, their sum, and the sum weighted by place, so that no two can change places."""
    there = np.isfinite(numbers)
    whole = np.where(there, numbers, 0.0)
    scale = max(1.0, float(np.abs(whole).max(initial=0.0)))
    place = 1 + np.arange(len(numbers)) % 97
    return [float(there.sum()), _rounded(whole.sum() / scale), _rounded((whole * place).sum() / scale), _rounded(scale)]


def _column(column: pd.Series) -> Any:
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _sums(np.where(column.isna(), np.nan, column.astype("int64") / 6e10))
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _sums(column.to_numpy(float))
    kinds, codes = np.unique(column.fillna("").astype(str), return_inverse=True)
    return [*(HASH.sub("#", kind) for kind in kinds[:5]), *_sums(codes.astype(float))]


def _rounded(number: float) -> float:
    return float(f"{number:.7g}")


def differing(now: dict[str, Figures], before: dict[str, Figures]) -> list[str]:
    """What differs, one line each: the file, the place in it, what it was and what it is."""
    out = [f"{name}: only {'now' if name in now else 'before'}" for name in sorted(set(now) ^ set(before))]
    for name in sorted(set(now) & set(before)):
        for at in sorted(set(now[name]) | set(before[name])):
            old, new = (side[name].get(at, "nothing") for side in (before, now))
            if not _same(old, new):
                out.append(f"{name}{'' if at.startswith('/') else ' '}{at}: {old!r} is now {new!r}")
    return out


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_same(a, b) for a, b in zip(old, new, strict=True))
    if (
        isinstance(old, bool)
        or isinstance(new, bool)
        or not isinstance(old, int | float)
        or not isinstance(new, int | float)
    ):
        return bool(old == new)
    return math.isclose(old, new, rel_tol=CLOSE, abs_tol=1e-9)


@pytest.mark.parametrize("name", PROJECTS)
def test_a_run_has_the_figures_that_it_had(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = shared(tmp_path_factory, f"figures-{name}", lambda folder: finish(folder, name))
    found = differing(figures(root), json.loads((HERE / f"{name}.json").read_text()))
    assert not found, f"{len(found)} figures of the {name} run differ:\n" + "\n".join(found[:40])


def test_what_differs_is_seen() -> None:
    before = {"a.json": {"/x": 1.0, "/y": "p", "/z": [3.0, 1.0]}, "b.json": {"/x": None}}
    assert differing(before, before) == []
    assert differing({"a.json": {"/x": 1.00001, "/y": "p", "/z": [3.0, 1.0]}, "b.json": {"/x": None}}, before) == []
    assert differing({"a.json": {"/x": 1.001, "/y": "q", "/z": [3.0, 1.1]}, "c.json": {}}, before) == [
        "b.json: only before", "c.json: only now", "a.json/x: 1.0 is now 1.001", "a.json/y: 'p' is now 'q'",
        "a.json/z: [3.0, 1.0] is now [3.0, 1.1]",
    ]  # fmt: skip
    assert differing({"b.json": {"/x": False}}, {"b.json": {"/x": 0}}) == []
    swapped = np.arange(20.0)
    swapped[[3, 4]] = swapped[[4, 3]]
    assert _sums(np.arange(20.0)) != _sums(swapped)


def main() -> None:
    for name in PROJECTS:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
            now = figures(finish(Path(folder), name))
        file = HERE / f"{name}.json"
        before = json.loads(file.read_text()) if file.exists() else {}
        text = json.dumps(now, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        file.write_text(re.sub(r',"(?=/)|(?<=[}{]),?"(?=data/)', lambda m: m[0].replace('"', '\n"'), text) + "\n")
        print("\n".join([f"{name}:", *differing(now, before)]))


if __name__ == "__main__":
    main()
