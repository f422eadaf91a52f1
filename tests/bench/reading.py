"""Awkward files through ``init``, ``ingest`` and ``validate``: right values or a clear refusal; rivals on the same files.

    python -m tests.bench.reading [--quick]

Each file of ``_reading_files.py`` has its values, or the refusal that it deserves, declared beside it. Wrong is a value
that differs, a row lost, a decision not said, a refusal that does not name the fault, and any other exception. Of some
files a package is made, and every row is asked as the service is asked, its cells as the file has them: the answer must be
the pipeline's to the last bit. The cases of ``_reading_sources.py`` are folders, globs, packed files and databases. pandas, PyArrow and DuckDB (where installed) read the same files by their defaults, which
is right where every declared column has its values, or where a file to be refused is. ``--quick`` makes fewer packages.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import tasks.stage  # noqa: F401  (threads and telemetry, before the heavy imports)

import numpy as np  # isort: skip
import pandas as pd  # isort: skip

from deploy.rows import RowReader
from tasks import files, params
from tasks.errors import RefitError
from tasks.profile import infer, to_yaml
from tasks.profile.comments import Remark
from tasks.profile.giveaways import remark
from tests.bench import _reading_sources as awkward
from tests.bench._flights import emit
from tests.bench._reading_files import Case, cases

QUICK_PACKAGES = 3


def init(case: Case) -> list[str]:
    """What ``refit init`` does for the file in this folder, but for making it a repository; what it says."""
    said: list[Remark] = []
    tree = infer(case.file, case.target, lambda tree: said.extend(remark(tree, case.file)), tell=said.append)
    written = to_yaml(tree)
    Path("params.yaml").write_text(written, encoding="utf-8")
    params.load()
    return [*map(str, said), written]


def read(case: Case, validated: bool = True) -> list[str]:
    """What is wrong with the reading of a case; run in an empty folder."""
    Path(case.file).write_bytes(case.content)
    try:
        said = "\n".join(init(case))
        from tasks.ingest.__main__ import main as ingest

        with contextlib.redirect_stdout(io.StringIO()):
            ingest()
    except RefitError as error:
        return [] if case.refused and re.search(case.refused, str(error)) else [f"refused: {error}"]
    if case.refused:
        return ["not refused"]
    declared = params.load()
    table = declared.data.tables[declared.problem.table]
    raw = pd.read_parquet(f"data/raw/{declared.problem.table}.parquet")
    wrong = [] if declared.problem.kind == case.kind else [f"kind {declared.problem.kind}"]
    wrong += [f"{name}: {why}" for name, values in case.truth.items() if (why := differs(raw.get(name), values))]
    wrong += [f"{name} is not ignored" for name in case.ignored if table.columns[name].kind != "ignore"]
    wrong += [] if case.said in said else [f"does not say {case.said!r}, but: {said[:400]}"]
    if validated and not wrong:
        from tasks.validate.__main__ import main as validate

        try:
            with contextlib.redirect_stdout(io.StringIO()), patch.object(sys, "argv", ["validate"]):
                validate()
        except RefitError as error:
            return [f"validate: {error}"]
        found = files.read_json("data/validated/summary.json")["tables"][declared.problem.table]["accepted"]
        wrong += [] if found == case.rows else [f"{found} rows accepted, not {case.rows}"]
    return wrong


def differs(found: pd.Series | None, truth: list[Any]) -> str:
    """How a column differs from the values that it should have; empty where it does not."""
    if found is None:
        return "is not read"
    if len(found) != len(truth):
        return f"{len(found)} rows, not {len(truth)}"
    kinds = {type(value) for value in truth if value is not None}
    if kinds <= {float, int, bool} and not pd.api.types.is_numeric_dtype(found):
        return f"holds {found.dtype}"
    for i, (value, wanted) in enumerate(zip(found, truth, strict=True)):
        if pd.isna(value) != (wanted is None) or (wanted is not None and value != wanted):
            return f"row {i}: {value!r}, not {wanted!r}"
    return ""


def served(case: Case) -> list[str]:
    """Whether a package that is made of the file answers its rows, cell by cell, as the pipeline does; run after :func:`read`."""
    from tasks.bundle import Bundle
    from tasks.fitting.base import Fold
    from tasks.fitting.setup import Setup
    from tasks.models import fit_family, save_model
    from tests.tasks.package.projects import package

    declared = params.load()
    with contextlib.redirect_stdout(io.StringIO()):
        from tasks.features.__main__ import main as features

        features()
        frame = files.read_table("data/features/features.parquet")
        summary = files.read_json("data/features/summary.json")
        names = [f["name"] for f in summary["features"]]
        kinds = {f["name"]: f["kind"] for f in summary["features"]}
        part = {name: (frame["__split__"] == name).to_numpy() for name in ("train", "valid")}
        y = frame["__target__"].to_numpy(float)
        X = frame[names]
        model = fit_family("logistic", {}, Fold(X[part["train"]], y[part["train"]], X[part["valid"]], y[part["valid"]]), Setup(declared.problem.kind, classes=len(summary["classes"]), columns=kinds))  # fmt: skip
        save_model(model, Path("data/models/logistic/model"))
        choice = {
            "family": "logistic", "members": ["logistic"], "weights": [1.0], "metric": declared.problem.metric, "valid": 0.0, "test": 0.0,
            "threshold": 0.4 if declared.problem.kind == "binary" else None, "baseline": 0.0, "reason": "a benchmark",
        }  # fmt: skip
        files.write_json("data/evaluation/choice.json", choice)
        bundle = Bundle.load(package(Path.cwd())).start()
    rows = RowReader(bundle.schema)
    known = {name.strip(): cells for name, cells in case.cells.items()}
    for at, position in enumerate(frame["__row__"]):
        body = json.dumps({name: known[name][position] for name in rows.fields}, default=str)
        found = bundle.predict_row(rows.one(body.encode()))
        answer = bundle.predict(X.iloc[[at]])[0]  # alone, since the sums of a batch are taken in another order
        if not np.array_equal(np.asarray(found.scores), answer):
            return [f"row {position}: served {found.scores}, the pipeline's is {answer}"]
    return []


def rivals() -> dict[str, Callable[[Path], pd.DataFrame]]:
    """Other readers by their defaults."""
    import pyarrow.csv as pv
    import pyarrow.parquet as pq

    def typed(path: Path) -> bool:
        return path.suffix == ".parquet"

    found: dict[str, Callable[[Path], pd.DataFrame]] = {
        "pandas": lambda path: pd.read_parquet(path) if typed(path) else pd.read_csv(path),
        "pyarrow": lambda path: (pq.read_table(path) if typed(path) else pv.read_csv(path)).to_pandas(),
    }
    if importlib.util.find_spec("duckdb"):
        import duckdb

        found["duckdb"] = lambda path: duckdb.sql(f"SELECT * FROM '{path}'").df()
    if importlib.util.find_spec("polars"):
        import polars

        found["polars"] = lambda path: (polars.read_parquet if typed(path) else polars.read_csv)(path).to_pandas()
    return found


def right(case: Case, reader: Callable[[Path], pd.DataFrame], path: Path) -> bool:
    """Whether another reader reads the file right: columns by place where it names them otherwise; any truth of two levels."""
    try:
        frame = reader(path)
    except Exception:  # whatever it raises is a refusal
        return bool(case.refused)
    if case.refused:
        return False
    for name, truth in case.truth.items():
        column = frame[name] if name in frame and isinstance(frame[name], pd.Series) else None
        if column is not None and pd.api.types.is_datetime64_any_dtype(column):
            column = column.dt.tz_localize("UTC") if column.dt.tz is None else column.dt.tz_convert("UTC")
        if column is not None and {type(v) for v in truth if v is not None} == {bool} and column.nunique() == 2:
            column = column == column[truth.index(True)]
        if column is not None and column.dtype == bool and len(levels := {v for v in truth if v is not None}) == 2:
            column = column.map({column[truth.index(level)]: level for level in levels})
        if differs(column, truth):
            return False
    return True


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as root, contextlib.chdir(root):
        yield Path(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    began, wrong, packages = time.perf_counter(), 0, 0
    others = dict.fromkeys(rivals(), 0)
    listed = cases()
    for case in listed:
        with folder() as root:
            try:
                faults = read(case)
                if case.served and not faults and not (quick and packages >= QUICK_PACKAGES):
                    packages += 1
                    faults = [f"served: {fault}" for fault in served(case)]
            except Exception as error:
                faults = [f"{type(error).__name__}: {error}"]
            wrong += bool(faults)
            read_right = [name for name, reader in rivals().items() if right(case, reader, root / case.file)]
            for name in read_right:
                others[name] += 1
        print(f"{'WRONG' if faults else 'right'}  {case.name}  (also {', '.join(read_right) or 'none'})", flush=True)
        for fault in faults:
            print(f"       {fault}", flush=True)
    for source in (sources := awkward.cases()):
        with folder():
            try:
                faults = awkward.wrong(source)
            except Exception as error:
                faults = [f"{type(error).__name__}: {error}"]
        wrong += bool(faults)
        print(f"{'WRONG' if faults else 'right'}  {source.name}", flush=True)
        for fault in faults:
            print(f"       {fault}", flush=True)
    emit(
        {
            "files": len(listed) + len(sources), "of_them_sources": len(sources), "wrong": wrong, "refused": sum(bool(c.refused) for c in [*listed, *sources]), "packages": packages,
            "rivals_right": others, "not_installed": [n for n in ("duckdb", "polars") if n not in others],
            "seconds": round(time.perf_counter() - began, 1),
        }
    )  # fmt: skip


if __name__ == "__main__":
    main()
