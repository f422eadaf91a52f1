"""`python -m tasks.tune FAMILY`: search a family's parameters within its budget."""

from tasks import stage  # isort: skip

import sys
from pathlib import Path
from typing import Any

from tasks.errors import RefitError
from tasks.families import check_kind, find_family, read_rows
from tasks.families._model import threads
from tasks.families._space import narrowed
from tasks.files import read_json, replacing_dir, sha256, write_json
from tasks.params import Params, load
from tasks.tune.folds import make_folds
from tasks.tune.objective import Objective


def champion_params(name: str, package: Path = Path("data/champion/package")) -> list[dict[str, Any]]:
    """Parameters of this family in the champion's receipt: where a retrain begins."""
    receipt = package / "receipt.json"
    if not receipt.exists():
        return []
    found = read_json(receipt).get("params", {})
    own = found.get(name) if isinstance(found, dict) else None
    return [own] if isinstance(own, dict) else []


def main() -> None:
    if len(sys.argv) != 2:
        raise RefitError("usage: python -m tasks.tune FAMILY")
    name = sys.argv[1]
    params = load()
    tune(name, params)


def tune(name: str, params: Params) -> None:
    from tasks.tune.search import Budget, search
    from tasks.tune.study import study_key

    tuning, own = params.tuning, params.models[name]
    check_kind(name, params.problem.kind)
    rows = read_rows()
    folds = make_folds(rows, tuning, params.seed)
    n, p = folds[0][0].shape
    where = f"models.{name}"
    space = narrowed(find_family(name).space(rows.kind, n, p), own.space, f"{where}.space")
    space = {k: d for k, d in space.items() if k not in own.params}
    objective = Objective(
        family=name,
        kind=rows.kind,
        classes=len(rows.classes),
        metric=params.problem.metric,
        folds=folds,
        kinds=rows.kinds,
        imbalance=params.training.imbalance,
        device=params.training.device,
        seed=params.seed,
        fixed=own.params,
        costs=tuning.sampler == "nsga2",
    )
    budget = Budget(own.trials or tuning.trials, own.seconds or tuning.seconds, 1, threads())
    starts = champion_params(name) if tuning.warm_start else []
    key = study_key(
        family=name,
        features=sha256("data/features/features.parquet"),
        space=space,
        fixed=own.params,
        tuning=tuning.model_dump(exclude={"trials", "seconds"}),
        training=[params.training.imbalance, params.training.device],
        metric=params.problem.metric,
        seed=params.seed,
        starts=starts,
    )
    stage.log(f"{name}: at most {budget.trials} trials or {budget.seconds:g} s ({tuning.sampler}) on {n:,} rows")
    found = search(
        objective,
        space,
        budget,
        key,
        sampler=tuning.sampler,
        pruner=tuning.pruner,
        seed=params.seed,
        starts=starts,
        log=lambda line: stage.log(f"{name}: {line}"),
    )
    if found.reused:
        stage.log(f"{name}: {found.reused} trials of an earlier run of this search were kept")
    with replacing_dir(Path("data/tuning") / name) as folder:
        best = dict(own.params) | found.params
        write_json(
            folder / "best.json",
            {
                "family": name,
                "params": best,
                "value": found.value,
                "metric": params.problem.metric,
                "trials": len(found.trials),
                "importance": found.importance,
            },
        )
        write_json(folder / "trials.json", found.trials)
    stage.log(f"{name}: best {params.problem.metric} {found.value:.5g}")


if __name__ == "__main__":
    stage.run(main)
