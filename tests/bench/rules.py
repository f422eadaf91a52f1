"""The rules for whole tables: wrong weeks named, ordinary weeks let pass.

``python -m tests.bench.rules [--quick]``; ``--flights`` also takes the bundled flights, as retrained every four weeks. The last line is one
JSON object:

``named``     how many of the planted wrong weeks (``tests/tasks/validate/weeks.py``) are named by the rule that is meant,
              each planted alone in the newest of 17 weeks; ``of`` so many, ``missed``
``alarms``    of ``weeks`` ordinary ones, with growth, a season and new shops, how many are stopped: by a champion that is made
              anew each week, and by one that is made every twelfth; with 60, 300 and 1,500 rows a week and 8 to 30 weeks before
``flights``   the same of every fourth week of 2013 after February, by table
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import tasks.stage  # noqa: F401  (settings, before numpy loads)

import pandas as pd  # isort: skip

from tests.tasks.validate import weeks

SIZES = ((300, 16), (60, 16), (1500, 30), (300, 8))  # rows a week, weeks before
AGES = (1, 12)


def named() -> dict[str, Any]:
    past = weeks.to(weeks.HISTORY)
    baseline, new = weeks.baseline(past), weeks.week(weeks.HISTORY)
    missed = []
    for name, (fault, said) in weeks.WRONG.items():
        failures = weeks.judge(pd.concat([past, fault(past, new)], ignore_index=True), baseline)
        hit = any(said in line for line in failures)
        print(f"{'named ' if hit else 'MISSED'} {name}: {failures[0] if failures else 'nothing said'}", flush=True)
        missed += [] if hit else [name]
    return {"of": len(weeks.WRONG), "named": len(weeks.WRONG) - len(missed), "missed": missed}


def alarms(seeds: int, number: int, sizes: tuple[tuple[int, int], ...]) -> dict[str, int]:
    looks = stopped = 0
    for rows, before in sizes:
        for seed in range(1, seeds + 1):
            week = cache(lambda i, seed=seed, rows=rows: weeks.week(i, seed, rows))
            for age in AGES:
                frame = pd.concat([week(i) for i in range(before)], ignore_index=True)
                baseline, made = weeks.baseline(frame), before
                for at in range(before, before + number):
                    frame = pd.concat([frame, week(at)], ignore_index=True)
                    failures = weeks.judge(frame, baseline)
                    looks, stopped = looks + 1, stopped + bool(failures)
                    for line in failures:
                        print(f"rows {rows}, seed {seed}, week {at}, champion of week {made}: {line}", flush=True)
                    if at + 1 - made >= age:
                        baseline, made = weeks.baseline(frame), at + 1
    return {"weeks": looks, "alarms": stopped}


def flights(step: int = 28) -> dict[str, dict[str, int]]:
    """The bundled flights, planes and weather as known every ``step`` days after February, each look of all weeks since."""
    import shutil

    from tasks.ingest.__main__ import main as ingest
    from tasks.params import load
    from tasks.validate.__main__ import read_known

    root, out = Path(__file__).parents[2], {}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(root / "params.yaml", folder)
        os.chdir(folder)
        sys.argv = ["ingest"]
        ingest()
        params = load()
        days = pd.date_range("2013-03-01", "2013-12-31", freq=f"{step}D", tz="UTC")
        for name in params.data.tables:
            for age in AGES:
                baseline, made, stopped = None, 0, 0
                for at, day in enumerate(days):
                    as_of = day.to_pydatetime()
                    frame = read_known(name, params.data.tables[name], params, as_of).frame
                    if baseline is not None:
                        failures = weeks.judge(frame, baseline, params, name, as_of)
                        stopped += bool(failures)
                        for line in failures:
                            print(f"{day:%d %B}, champion of {days[made]:%d %B}: {line}", flush=True)
                    if baseline is None or at - made >= age:
                        baseline, made = weeks.baseline(frame, params, name, as_of), at
                out[f"{name}, champion renewed every {age} looks"] = {"looks": len(days) - 1, "alarms": stopped}
        os.chdir(root)
    return out


def main() -> None:
    quick = "--quick" in sys.argv
    found = {"planted": named()}
    found["ordinary"] = alarms(1, 8, SIZES[:2]) if quick else alarms(5, 30, SIZES)
    if "--flights" in sys.argv:
        found["flights"] = flights()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
