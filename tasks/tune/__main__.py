"""`python -m tasks.tune FAMILY`: search a family's parameters within its budget."""

from __future__ import annotations

from tasks import stage  # isort: skip

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks import memory
from tasks.artifacts import AutoJudged, Best, Selection, Starts, Trials, given
from tasks.artifacts.columns import ROW, TARGET, fold
from tasks.artifacts.folders import FEATURE_TABLE, START, TUNING
from tasks.encoding.select import select
from tasks.errors import RefitError, some
from tasks.families import find_family
from tasks.files import replacing_dir, sha256, write_table
from tasks.fitting.counts import check_params, searched
from tasks.fitting.imbalance import ROWS
from tasks.fitting.rows import Dataset, read_rows, with_scores
from tasks.fitting.space import Settings, Space, narrowed
from tasks.models import Model, check_kind, save_model
from tasks.params import Params, Tuning, load
from tasks.process import threads
from tasks.tune.folds import make_folds, newest
from tasks.tune.objective import Objective

if TYPE_CHECKING:
    from tasks.tune.auto import AutoResult
    from tasks.tune.bags import Bags
    from tasks.tune.pbt import PopulationResult
    from tasks.tune.search import SearchResult


LEAST = 1000  # rows to tune on, however little memory there is


def champion_params(name: str, folder: Path = START) -> list[Settings]:
    """Parameters of this family in a champion's package: where a retrain begins."""
    starts = Starts.find(folder)
    return starts.params.get(name, []) if starts else []


def worth_trying(rows: Dataset, params: Params) -> Selection:
    """The features that a model gets: what says nothing is left out, and what ``features.select`` drops.

    What ``features.select.keep`` names stays, and so does ``tuning.group``, which the folds are cut by.
    """
    wanted = params.features.select
    protected = {*(wanted.keep if wanted else ()), params.tuning.group}
    silent = {name: why for name, why in rows.silent.items() if name not in protected}
    kept = [name for name in rows.kinds if name not in silent]
    if not wanted:
        return Selection(kept=kept, dropped=silent)
    at = np.flatnonzero(rows.split == "train")
    if params.training.memory_gb is not None:
        most = memory.rows_for("select", memory.allowed(params.training.memory_gb).bytes, len(kept))
        at = newest(rows, "train", max(LEAST, most), params.seed)
    times = rows.time.iloc[at].reset_index(drop=True)
    X = rows.frame[kept].iloc[at].reset_index(drop=True)
    found = select(X, rows.y[at], rows.kind, wanted, rows.kinds, times, params.seed)
    return Selection(kept=found.kept, dropped=silent | found.dropped)


def within_memory(name: str, rows: Dataset, params: Params) -> Tuning:
    """``tuning`` with fewer rows, where ``training.memory_gb`` does not suffice for those that it asks for.

    Raises :class:`RefitError` where the fit on all training rows will not have the memory that it needs.
    """
    tuning, gigabytes, how = params.tuning, params.training.memory_gb, params.training.imbalance
    count = {split: int((rows.split == split).sum()) for split in ("train", "valid")}
    limit, disk = memory.allowed(gigabytes), memory.from_disk(name, tuning.sampler == "pbt")
    whole = sum(count.values()), len(rows.kinds)
    if disk and how in ROWS and memory.fit(name, *whole) > limit.bytes:
        raise RefitError(memory.no_rows(how, *whole, limit))
    if gigabytes is None:
        return tuning
    if not disk:
        memory.check_fit(name, *whole, limit)
    most = memory.rows_for(name, limit.bytes / max(1, tuning.workers), len(rows.kinds))
    if sum(min(n, tuning.rows or n) for n in count.values()) <= most:
        return tuning
    fewer = max(LEAST, most // 2)
    stage.log(
        f"{name}: tuned on the newest {fewer:,} of {count['train']:,} training rows and at most as many validation rows, "
        f"which {max(0.0, limit.bytes / memory.GB):.2f} GB hold ({limit.source}); the final fit uses all"
    )
    return tuning.model_copy(update={"rows": fewer})


def main() -> None:
    """The stage, of the family that the command names."""
    if len(sys.argv) != 2:
        raise RefitError("usage: python -m tasks.tune FAMILY")
    tune(sys.argv[1], load())


def tune(name: str, params: Params) -> None:
    """Search, and write ``data/tuning/<name>``."""
    from tasks.tune.search import Budget, Search, search
    from tasks.tune.study import study_key

    own = params.models[name]
    check_kind(name, params.problem.kind)
    rows = read_rows()
    chosen = worth_trying(rows, params)
    if chosen.dropped:
        silent = len(rows.silent.keys() & chosen.dropped.keys())
        stage.log(
            f"{name}: {len(chosen.dropped)} of {len(rows.kinds)} features are left out, {silent} of which say nothing "
            f"in the training rows ({some(chosen.dropped, 5)})"
        )
    rows = rows.only(chosen.kept)
    tuning = within_memory(name, rows, params)
    params = params.model_copy(update={"tuning": tuning})
    folds = make_folds(rows, tuning, params.seed)
    n, p = folds[0][0].shape
    setup = rows.setup(params)
    costs = tuple(tuning.goals.costs) if tuning.goals else ()
    objective = Objective(name, setup, params.problem.metric, folds, own.params, costs)
    budget = Budget(own.trials or tuning.trials, own.seconds or tuning.seconds, tuning.workers, threads())
    starts = champion_params(name) if tuning.warm_start else []

    def key(family: str, space: Space) -> str:
        return study_key(
            family=family,
            features=sha256(FEATURE_TABLE),
            space=space,
            objective=[objective.metric, own.params, setup.encode, setup.imbalance, setup.device],
            kept=chosen.kept,
            tuning=tuning.model_dump(exclude={"trials", "seconds", "workers"}),
            seed=params.seed,
            starts=starts,
        )

    def log(line: str) -> None:
        stage.log(f"{name}: {line}")

    found: SearchResult
    mixed: AutoResult | None = None
    evolved: PopulationResult | None = None
    if name == "auto":
        if own.space:
            raise RefitError("models.auto.space: auto has no space of its own; name the family in models instead")
        from tasks.tune.auto import search_families
        from tasks.tune.bags import make_bags

        bags, at = make_bags(rows, params, budget.seconds, budget.threads)
        judged = (
            f"{bags.size} folds ({bags.declared}) of the training rows" if bags.declared
            else f"{bags.size} folds of {len(bags.y):,} training and validation rows" if bags.crossed
            else f"{len(bags.y):,} validation rows, fitted on {len(bags.folds[0][1]):,} training rows"
        )  # fmt: skip
        if bags.beyond:
            log(
                f"most validation rows lie beyond all training rows in {some(bags.beyond, 5)}: members are chosen by "
                f"fits on the oldest {len(bags.folds[1][1]):,} training rows, which are as far from the validation rows "
                "as the test rows will be"
            )
        log(f"{budget.seconds:g} s for all families, at most {budget.trials} settings of each, judged on {judged}")
        found = mixed = search_families(objective, budget, key(name, {}), starts=starts, bags=bags, log=log)
    else:
        log(
            f"at most {budget.trials} trials or {budget.seconds:g} s ({tuning.sampler}), fitted on {n:,} rows"
            + (f" of each of {len(folds)} folds" if len(folds) > 1 else "")
        )
        space = narrowed(find_family(name).space(rows.kind, n, p), own.space, f"models.{name}.space")
        check_params(find_family(name), own.params, rows.kind, space)
        space = searched(find_family(name), space, own.params, rows.kind)
        if tuning.sampler == "pbt":
            from tasks.tune.pbt import evolve, members

            size = members(budget.trials)
            log(f"{size} members, {min(size, budget.workers)} side by side on one thread each, on this machine alone")
            found = evolved = evolve(objective, Search(space, budget, starts=starts), key(name, space), log=log)
        else:
            rule = tuning.goals.rule if tuning.goals else None
            how = Search(space, budget, tuning.sampler, tuning.pruner, rule, starts)
            found = search(objective, how, key(name, space), log=log)
    train = int((rows.split == "train").sum())
    if found.reused:
        log(f"{found.reused} trials of an earlier run of this search were kept")
    with replacing_dir(TUNING / name) as folder:
        Best(
            family=name,
            params=own.params | found.params,
            value=found.value,
            metric=params.problem.metric,
            trials=len(found.trials),
            importance=found.importance,
            left_out=max(0, train - (tuning.rows or train)),
            **given(judged=_judged(bags, mixed) if mixed else None, goals=found.goals),
        ).write(folder)
        Trials(trials=found.trials).write(folder)
        if evolved:
            # The winner itself: training takes it, or takes its turns again where tuning left rows out.
            encoder = objective.prepared(name, 0).encoder
            model = Model(name, rows.kind, len(rows.classes), encoder, evolved.fitted, params=own.params | found.params)
            save_model(model, folder / "model")
        if mixed:  # the model itself: fitting again would take the budget once more
            save_model(mixed.model, folder / "model")
            leading = {ROW: rows.row[at][mixed.at], TARGET: bags.y[mixed.at]}
            cuts = [] if mixed.folds is None else list(mixed.folds.T)
            leading |= {fold(i): numbers for i, numbers in enumerate(cuts)}
            write_table(folder / "held_out.parquet", with_scores(pd.DataFrame(leading), mixed.scores))
        chosen.write(folder)
    log(f"best {params.problem.metric} {found.value:.5g}")


def _judged(bags: Bags, found: AutoResult) -> AutoJudged:
    """What ``auto`` judged its settings on: rows, folds of one cut, and whether time cut it down to the first fold.

    ``beyond``, where there are any, are features that leave the range of the training rows, ``declared`` is the
    ``tuning.split`` that was asked for (:class:`Bags`).
    """
    folds = bags.size if found.folds is not None else 1
    short = bags.crossed and folds < bags.size
    more = given(beyond=list(found.beyond), declared=bags.declared)
    return AutoJudged(rows=len(found.at), folds=folds, pooled=bags.crossed, cut_short=short, **more)


if __name__ == "__main__":
    stage.run(main)
