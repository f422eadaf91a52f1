"""The rivals of ``tests.bench.features``, each run in an environment of its own; knows nothing of Refit.

``python _features_rivals.py SYSTEM FLIGHTS OUT SECONDS``: reads the Parquet file of flights and writes the features, in
the rows' order, to another. The last line is one JSON object: ``compute`` (seconds by the clock and of processors, from
arrays in memory to arrays), ``versions``, and what the system's function adds. A feature's window holds the flights of
the key that landed from so long before the prediction time up to it, that moment excluded.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import Any

KEYS = (("carrier",), ("origin",), ("dest",), ("tailnum",), ("origin", "carrier"), ("origin", "dest"))
PARTS = ("carrier", "origin", "dest", "tailnum")
WINDOWS = {"3h": 3, "1d": 24, "7d": 168, "28d": 672}
AHEAD = 2  # hours from the prediction time to the scheduled departure
COLUMNS = [*PARTS, "sched_dep_at", "arrived_at", "arr_delay", "late"]


def name(by: tuple[str, ...], measure: str, window: str) -> str:
    """As the engine calls it; ``measure`` is ``count`` or such as ``mean(arr_delay)``."""
    return f"{'+'.join(by)}.{measure[:-1]}, {window})" if "(" in measure else f"{'+'.join(by)}.{measure}({window})"


def clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def since(began: tuple[float, float]) -> dict[str, float]:
    return {"seconds": time.perf_counter() - began[0], "cpu_seconds": time.process_time() - began[1]}


def temporian(path: str, out: str, _: float) -> dict[str, Any]:
    """Its moving windows with a sampling; keys as numbers, which it indexes faster than text."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq
    import temporian as tp

    flights = pq.read_table(path, columns=COLUMNS).to_pandas()
    began = clock()

    def seconds(column: str) -> Any:
        return flights[column].dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64) / 1e6

    codes = {c: pd.factorize(flights[c])[0] for c in PARTS}
    landed, happened = seconds("arrived_at"), flights["arrived_at"].notna().to_numpy()
    asked = seconds("sched_dep_at") - 3600 * AHEAD - 0.5  # its windows are open to the left and hold their end
    values = {c: flights[c].to_numpy() for c in ("arr_delay", "late")}
    made: dict[str, Any] = {}
    for by in KEYS:
        keyed = np.logical_and.reduce([codes[c] >= 0 for c in by])
        known = happened & keyed
        events = tp.event_set(
            landed[known], {**{c: codes[c][known] for c in by}, **{c: v[known] for c, v in values.items()}}, list(by)
        )
        rows = tp.event_set(
            asked[keyed], {**{c: codes[c][keyed] for c in by}, "place": np.flatnonzero(keyed)}, list(by)
        )
        e, r = events.node(), rows.node()
        wanted = [r]
        for window, hours in WINDOWS.items():
            length = tp.duration.hours(hours)
            wanted += [
                e.moving_count(length, sampling=r).rename(f"count {window}"),
                e.simple_moving_average(length, sampling=r).rename(
                    {"arr_delay": f"mean {window}", "late": f"late {window}"}
                ),
                e["arr_delay"].moving_standard_deviation(length, sampling=r).rename(f"std {window}"),
                e["arr_delay"].moving_max(length, sampling=r).rename(f"max {window}"),
            ]
        found = tp.run(tp.glue(*wanted), {e: events, r: rows})
        parts = list(found.data.values())
        columns = {
            f.name: np.concatenate([part.features[i] for part in parts]) for i, f in enumerate(found.schema.features)
        }
        place = columns.pop("place")
        for window in WINDOWS:
            count = columns[f"count {window}"].astype(float)
            with np.errstate(all="ignore"):  # its deviation is the population's, and NaN where rounding goes below zero
                std = np.where(
                    count > 1, np.nan_to_num(columns[f"std {window}"]) * np.sqrt(count / (count - 1)), np.nan
                )
            of = {"mean(arr_delay)": columns[f"mean {window}"], "std(arr_delay)": std}
            of |= {"max(arr_delay)": columns[f"max {window}"], "mean(late)": columns[f"late {window}"], "count": count}
            for measure, column in of.items():
                whole = np.full(len(flights), 0.0 if measure == "count" else np.nan)
                whole[place] = column
                made[name(by, measure, window)] = whole
    compute = since(began)
    pq.write_table(pa.table(made), out, compression="zstd", dictionary_pagesize_limit=1 << 17)
    return {"compute": compute, "versions": {p: version(p) for p in ("temporian", "numpy", "pyarrow")}}


def polars(path: str, out: str, _: float) -> dict[str, Any]:
    """Prefix sums, met by ``join_asof``, and ``rolling_max_by``: of its four ways the fastest."""
    import polars as pl

    flights = pl.read_parquet(path, columns=COLUMNS)
    began = clock()
    flights = flights.with_columns(pl.col(PARTS).cast(pl.Categorical).to_physical().cast(pl.Int64))
    moment = pl.col("sched_dep_at") - pl.duration(hours=AHEAD)
    rows = flights.select(*PARTS, moment=moment).with_row_index("place")
    events = flights.filter(pl.col("arrived_at").is_not_null()).select(
        *PARTS, "arr_delay", "late", moment=pl.col("arrived_at")
    )
    delay, made = pl.col("arr_delay"), []
    for by in KEYS:
        key = pl.col(by[0])
        for other in by[1:]:
            key = key * 100_000 + pl.col(other)
        e = (
            events.select("moment", "arr_delay", "late", key=key)
            .filter(pl.col("key").is_not_null())
            .sort("key", "moment")
        )
        r = rows.select("place", "moment", key=key).filter(pl.col("key").is_not_null()).sort("key", "moment")
        sums = e.select(
            "key", "moment", n=pl.int_range(1, pl.len() + 1).over("key").cast(pl.Float64),
            s=delay.cum_sum().over("key"), q=(delay * delay).cum_sum().over("key"), l=pl.col("late").cum_sum().over("key"),
        )  # fmt: skip

        def before(hours: int, mark: str, r: Any = r, sums: Any = sums) -> Any:
            met = r.select("key", moment=pl.col("moment") - pl.duration(hours=hours)).join_asof(
                sums, on="moment", by="key", allow_exact_matches=False, check_sortedness=False
            )
            return met.select(pl.col("n", "s", "q", "l").fill_null(0).name.suffix(mark))

        ends = [before(0, ".end"), *(before(hours, f".{window}") for window, hours in WINDOWS.items())]
        columns = []
        for window in WINDOWS:
            n, s, q, late = (pl.col(f"{c}.end") - pl.col(f"{c}.{window}") for c in "nsql")
            columns += [
                n.alias(name(by, "count", window)),
                pl.when(n > 0).then(s / n).alias(name(by, "mean(arr_delay)", window)),
                pl.when(n > 1).then(((n * q - s * s) / (n * (n - 1))).sqrt()).alias(name(by, "std(arr_delay)", window)),
                pl.when(n > 0).then(late / n).alias(name(by, "mean(late)", window)),
            ]
        made.append(pl.concat([r.select("place"), *ends], how="horizontal").select("place", *columns))
        both = pl.concat([e.select("key", "moment", "arr_delay"), r], how="diagonal").sort("key", "moment")
        largest = [
            delay.rolling_max_by("moment", f"{hours}h", closed="left")
            .over("key")
            .alias(name(by, "max(arr_delay)", window))
            for window, hours in WINDOWS.items()
        ]
        made.append(both.select("place", *largest).filter(pl.col("place").is_not_null()))
    whole = []
    for one in made:
        placed = one.sort("place")
        if len(placed) < len(rows):
            placed = rows.select("place").join(placed, on="place", how="left", maintain_order="left")
        whole.append(placed.drop("place"))
    result = pl.concat(whole, how="horizontal").with_columns(pl.col(r"^.*\.count\(.*$").fill_null(0))
    compute = since(began)
    result.write_parquet(out, compression="zstd")
    return {"compute": compute, "versions": {"polars": version("polars")}}


def duckdb(path: str, out: str, _: float) -> dict[str, Any]:
    """Prefix sums, met by ASOF joins. A maximum has no prefix sum, and its RANGE frames take longer than all else."""
    import duckdb as db

    con = db.connect()
    columns = ", ".join(PARTS)
    con.execute(f"CREATE TABLE flights AS SELECT row_number() OVER () AS place, {', '.join(COLUMNS)} FROM '{path}'")
    began = clock()
    con.execute(
        f"CREATE TABLE asked AS SELECT place, {columns}, sched_dep_at - INTERVAL {AHEAD} HOUR AS moment FROM flights"
    )
    for i, by in enumerate(KEYS):
        keys = ", ".join(by)
        con.execute(
            f"""CREATE OR REPLACE TABLE sums AS
            SELECT {keys}, moment, max(n) AS n, arg_max(s, n) AS s, arg_max(q, n) AS q, arg_max(l, n) AS l FROM (
                SELECT {keys}, arrived_at AS moment, count(*) OVER w AS n, sum(arr_delay) OVER w AS s,
                    sum(arr_delay * arr_delay) OVER w AS q, sum(late) OVER w AS l
                FROM flights WHERE arrived_at IS NOT NULL AND {" AND ".join(f"{c} IS NOT NULL" for c in by)}
                WINDOW w AS (PARTITION BY {keys} ORDER BY arrived_at ROWS UNBOUNDED PRECEDING)
            ) GROUP BY {keys}, moment"""
        )
        joins, inner, outer = [], [], []
        for j, (window, hours) in enumerate([("", 0), *WINDOWS.items()]):
            same = " AND ".join(f"asked.{c} = w{j}.{c}" for c in by)
            joins.append(f"ASOF LEFT JOIN sums w{j} ON {same} AND w{j}.moment < asked.moment - INTERVAL {hours} HOUR")
            if window:
                inner += [f"coalesce(w0.{c}, 0) - coalesce(w{j}.{c}, 0) AS {c}{j}" for c in "nsql"]
                outer += [
                    f'n{j}::DOUBLE AS "{name(by, "count", window)}"',
                    f's{j} / nullif(n{j}, 0) AS "{name(by, "mean(arr_delay)", window)}"',
                    f"CASE WHEN n{j} > 1 THEN sqrt(greatest(n{j} * q{j} - s{j} * s{j}, 0) / (n{j} * (n{j} - 1))) END"
                    f' AS "{name(by, "std(arr_delay)", window)}"',
                    f'l{j} / nullif(n{j}, 0) AS "{name(by, "mean(late)", window)}"',
                ]
        con.execute(
            f"CREATE TABLE made{i} AS SELECT place, {', '.join(outer)} FROM "
            f"(SELECT place, {', '.join(inner)} FROM asked {' '.join(joins)})"
        )
    compute = since(began)
    together = " ".join(f"JOIN made{i} USING (place)" for i in range(1, len(KEYS)))
    con.execute(
        f"COPY (SELECT * EXCLUDE (place) FROM made0 {together} ORDER BY place) TO '{out}' (FORMAT parquet, COMPRESSION zstd)"
    )
    return {"compute": compute, "versions": {"duckdb": version("duckdb")}}


def featuretools(path: str, out: str, limit: float) -> dict[str, Any]:
    """Its cut-off times and training windows, on rows in batches that double until the time is up."""
    import warnings

    import featuretools as ft
    import pandas as pd

    warnings.filterwarnings("ignore")
    flights = pd.read_parquet(path, columns=["flight_id", *COLUMNS])
    for column in ("sched_dep_at", "arrived_at"):
        flights[column] = flights[column].dt.tz_localize(None)
    for by in KEYS:
        if len(by) > 1:
            flights["+".join(by)] = flights[list(by)].agg("/".join, axis=1)
    keys = ["+".join(by) for by in KEYS]
    flights = flights.assign(place=range(len(flights)), time=flights["sched_dep_at"] - pd.Timedelta(hours=AHEAD))
    known = flights[flights["arrived_at"].notna() & flights[keys].notna().all(axis=1)]
    es = ft.EntitySet("flights")
    es = es.add_dataframe(
        dataframe=known[["flight_id", *keys, "arrived_at", "arr_delay", "late"]],
        dataframe_name="flights", index="flight_id", time_index="arrived_at",
    )  # fmt: skip
    wanted = {}
    for key in keys:
        es = es.normalize_dataframe("flights", f"of {key}", key, make_time_index=False)
    for key in keys:
        delay, late, one = (es["flights"].ww[c] for c in ("arr_delay", "late", "flight_id"))
        P = ft.primitives
        wanted[key] = {
            "count": ft.Feature(one, parent_dataframe_name=f"of {key}", primitive=P.Count),
            "mean(arr_delay)": ft.Feature(delay, parent_dataframe_name=f"of {key}", primitive=P.Mean),
            "std(arr_delay)": ft.Feature(delay, parent_dataframe_name=f"of {key}", primitive=P.Std),
            "max(arr_delay)": ft.Feature(delay, parent_dataframe_name=f"of {key}", primitive=P.Max),
            "mean(late)": ft.Feature(late, parent_dataframe_name=f"of {key}", primitive=P.Mean),
        }
    asked = known.drop_duplicates("time").sort_values("time")  # it refuses two rows of one key and moment
    asked = asked.iloc[len(asked) // 2 :]
    size, done, spent, made = 5, 0, 0.0, []
    while not spent or (spent * 3 < limit and done + size <= len(asked)):  # the next batch takes twice as long
        batch = asked.iloc[done : done + size]
        began = time.perf_counter()
        columns: dict[str, Any] = {"place": batch["place"].to_numpy()}
        for by, key in zip(KEYS, keys, strict=True):
            cutoff = batch[[key, "time", "place"]].rename(columns={key: "instance_id"})
            for window, hours in WINDOWS.items():
                found = ft.calculate_feature_matrix(
                    list(wanted[key].values()), entityset=es, cutoff_time=cutoff, training_window=f"{hours} hours",
                    include_cutoff_time=False, n_jobs=1,
                ).set_index("place").loc[columns["place"]]  # fmt: skip
                for measure, feature in wanted[key].items():
                    columns[name(by, measure, window)] = found[feature.get_name()].to_numpy(float)
        spent += time.perf_counter() - began
        done, size = done + size, 2 * size
        made.append(pd.DataFrame(columns))
    pd.concat(made).to_parquet(out)
    return {"rows": done, "compute_seconds": spent, "versions": {p: version(p) for p in ("featuretools", "pandas")}}


if __name__ == "__main__":
    system, source, target, seconds = sys.argv[1:]
    run = {"temporian": temporian, "polars": polars, "duckdb": duckdb, "featuretools": featuretools}[system]
    print(json.dumps(run(source, target, float(seconds))))
