"""The search of the stage ``tune`` against Optuna's TPE and Gaussian process and FLAML's CFO: same rows, same trials.

``python -m tests.bench.tuning [--quick] [--sets NAME ...] [--seeds N] [--environments FOLDER]``. Ours is ``python -m tasks.tune
xgboost`` with everything by default but three folds in place of one holdout, on which the best of some draws is a lucky one. The
rivals (:mod:`tests.bench._plain_tuning`) have the same folds and fits, the same number of trials (the default 20, none
stopped early), and begin with the same defaults. Each seed divides the rows anew. The last line is one JSON object, for each rival:

``better``, ``worse``  runs in which our best value is better or worse than the rival's (the others are equal)
``gain``               mean of the difference, as a share of the rival's value; above 0 is better
``test_gain``          the same on test rows, of the models that have the parameters found
``trials_ratio``       geometric mean of the trials that we need to the rival's best value, over those it needed; one more
                       than there are, where we never reach it
``cpu_ratio``          processor seconds of our whole command over the rival's

and ``gain_over_defaults``: what our search adds to the defaults that all begin with. FLAML has an environment of its own
(``FOLDER/cfo``, made when missing); where it cannot be made, ``cfo`` is null and ``missing`` says why.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import tasks.stage  # noqa: F401  (applies the settings before any heavy import)

# isort: split
import numpy as np

from tasks.files import read_json
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.metrics import higher_is_better, measure
from tasks.models import fit_family
from tasks.params import Tuning
from tests.bench._flights import emit
from tests.bench._stages import features, run
from tests.bench._tables import load, split
from tests.bench.quality import METRICS, environment

SETS = ("fair", "anes96", "randhie")  # one real set per kind
FAMILY = "xgboost"
RIVALS = ("tpe", "gp", "cfo")


def project(root: Path, name: str, seed: int, trials: int) -> None:
    """A folder with what the stage ``tune`` reads: a set's rows as features, and the parameters."""
    X, y, kind = load(name, seed)
    way = "kfold" if kind == "regression" else "stratified"
    rest = f"seed: {seed}\nmodels: {{{FAMILY}: {{}}}}\ntuning: {{trials: {trials}, seconds: 3600, split: {way}, folds: 3}}\n"
    features(root, X, y, kind, split(y, kind, seed), f"{METRICS[kind]}\n{rest}")


def compare(name: str, seed: int, trials: int, python: Path | None) -> dict[str, Any]:
    """One set and seed: best values, trials to them, test values and seconds, by way."""
    X, y, kind = load(name, seed)
    parts = split(y, kind, seed)
    sign = 1.0 if higher_is_better(METRICS[kind]) else -1.0
    kinds = {c: "numeric" if X[c].dtype.kind in "if" else "categorical" for c in X}
    rows = {part: (X[parts == part].reset_index(drop=True), y[parts == part]) for part in ("train", "valid", "test")}

    def test(params: dict[str, Any]) -> float:
        classes = 0 if kind == "regression" else int(y.max()) + 1
        how: dict[str, Any] = {"classes": classes, "columns": kinds, "seed": seed}
        model = fit_family(FAMILY, params, Fold(*rows["train"], *rows["valid"]), Setup(kind, **how))
        return sign * float(measure(METRICS[kind], rows["test"][1], model.predict(rows["test"][0]), kind))

    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        project(root, name, seed, trials)
        _, _, cpu = run(root, "tasks.tune", FAMILY)
        tuned = root / "data" / "tuning" / FAMILY
        values = [t["value"] for t in read_json(tuned / "trials.json")]
        out["refit"] = (values, read_json(tuned / "best.json")["params"], cpu)
        for rival in RIVALS:
            if rival == "cfo" and python is None:
                continue
            said, _, cpu = run(root, "tests.bench._plain_tuning", FAMILY, rival, str(python))
            found = json.loads(said.splitlines()[-1])
            out[rival] = (found["values"], found["params"], cpu)
    first = sign * out["refit"][0][0]
    for way, (values, params, cpu) in out.items():
        signed = sign * np.array(values)
        assert len(signed) == trials, f"{way}: {len(signed)} trials"
        assert signed[0] == first, f"{way} did not begin with the same defaults and fits"
        out[way] = {"values": signed.tolist(), "best": float(signed.max()), "test": test(params), "cpu": round(cpu, 1)}
    return out


def against(runs: list[dict[str, Any]], rival: str) -> dict[str, float]:
    """Our figures against one rival, over all runs."""
    pairs = [(r["refit"], r[rival]) for r in runs]

    def reached(one: dict[str, Any], goal: float) -> int:
        hit = np.flatnonzero(np.array(one["values"]) >= goal)
        return int(hit[0]) + 1 if len(hit) else len(one["values"]) + 1

    ratios = [reached(our, their["best"]) / reached(their, their["best"]) for our, their in pairs]
    return {
        "better": sum(our["best"] > their["best"] for our, their in pairs),
        "worse": sum(our["best"] < their["best"] for our, their in pairs),
        "gain": float(np.mean([(our["best"] - their["best"]) / abs(their["best"]) for our, their in pairs])),
        "test_gain": float(np.mean([(our["test"] - their["test"]) / abs(their["test"]) for our, their in pairs])),
        "trials_ratio": float(np.exp(np.mean(np.log(ratios)))),
        "cpu_ratio": sum(our["cpu"] for our, _ in pairs) / sum(their["cpu"] for _, their in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--environments", type=Path, default=Path(".refit/bench"))
    args = parser.parse_args()
    names, seeds = (("fair",), 1) if args.quick else (args.sets, args.seeds)
    trials = Tuning().trials
    python = environment("cfo", ["flaml"], args.environments)
    there = None if isinstance(python, str) else python
    runs: list[dict[str, Any]] = []
    for name in names:
        for seed in range(seeds):
            runs.append({"set": name, "seed": seed, **compare(name, seed, trials, there)})
            print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    defaults = [(r["refit"]["best"] - r["refit"]["values"][0]) / abs(r["refit"]["values"][0]) for r in runs]
    rivals = {rival: against(runs, rival) if rival in runs[0] else None for rival in RIVALS}
    emit(
        {
            **{k: v and {f: round(x, 4) for f, x in v.items()} for k, v in rivals.items()},
            "gain_over_defaults": round(float(np.mean(defaults)), 4),
            "runs": len(runs),
            "trials": trials,
            "sampler": Tuning().sampler,
            "missing": None if there else python,
        }
    )


if __name__ == "__main__":
    main()
