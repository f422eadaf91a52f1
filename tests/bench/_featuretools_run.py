"""Run inside the environment that ``tests.bench.features`` builds: featuretools with a cut-off time for every row.

Arguments: a Parquet file of flights, and for how many seconds to go on. Batches double until the time is up.
"""

import json
import sys
import time
import warnings

import featuretools as ft
import pandas as pd

warnings.filterwarnings("ignore")


def main(path: str, limit: float) -> None:
    flights = pd.read_parquet(path)
    for column in ("sched_dep_at", "arrived_at"):
        flights[column] = flights[column].dt.tz_localize(None)
    events = flights.loc[flights["arrived_at"].notna(), ["flight_id", "carrier", "arrived_at", "arr_delay"]]
    es = ft.EntitySet("flights")
    es = es.add_dataframe(dataframe=events, dataframe_name="flights", index="flight_id", time_index="arrived_at")
    es = es.normalize_dataframe("flights", "carriers", "carrier", make_time_index=False)
    asked = flights[["carrier", "sched_dep_at"]].copy()
    asked["time"] = asked.pop("sched_dep_at") - pd.Timedelta("2h")
    asked = asked.drop_duplicates().sort_values("time").iloc[len(asked) // 2 :]
    size, done, spent = 50, 0, 0.0
    while spent < limit and done + size <= len(asked):
        cutoff = asked.iloc[done : done + size]
        began = time.perf_counter()
        ft.calculate_feature_matrix(
            [ft.Feature(es["flights"].ww["arr_delay"], parent_dataframe_name="carriers", primitive=ft.primitives.Mean)],
            entityset=es, cutoff_time=cutoff, training_window="7 days", include_cutoff_time=False, n_jobs=1,
        )  # fmt: skip
        spent += time.perf_counter() - began
        done += size
        size *= 2
    print(json.dumps({"rows": done, "seconds": spent, "features": 1}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
