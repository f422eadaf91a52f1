"""Load both packages, predict the same test rows, and write ``data/verdict``."""

from __future__ import annotations

from tasks import stage  # isort: skip

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.bundle import Bundle
from tasks.compare import guardrails, verdict
from tasks.compare.baseline import against_baseline
from tasks.compare.evidence import gather
from tasks.compare.policy import decide, read_state
from tasks.compare.scores import Pair, champion_scores, checked, labels
from tasks.errors import RefitError
from tasks.files import read_json, read_table, replacing_dir, write_json, write_table
from tasks.params import Params, load

DATA = Path("data")
PACKAGE, CHAMPION = DATA / "package", DATA / "champion"


def main() -> None:
    params = load()
    challenger = Bundle.load(PACKAGE)
    features = read_table(DATA / "features" / "features.parquet")
    test = features[features["__split__"] == "test"]
    y = labels(test["__target__"].to_numpy(dtype=float), challenger.kind, challenger.classes)
    tables = {name: read_table(DATA / "validated" / f"{name}.parquet") for name in params.data.tables}
    rows = tables[params.problem.table].iloc[test["__row__"].to_numpy()]
    X = challenger.compute(rows, tables)
    mine = checked(challenger.predict(X), len(y), "data/package")
    about, champion = whose(challenger)
    state_file = CHAMPION / "promotion.json"
    state = read_state(read_json(state_file) if state_file.exists() else None)
    theirs = (
        None
        if champion is None
        else checked(champion_scores(champion, challenger, X, rows, tables), len(y), "data/champion")
    )
    pair = Pair(
        challenger.kind, y, mine, mine if theirs is None else theirs,
        (_cut(challenger), _cut(champion or challenger)), test["__time__"], clusters(rows, test["__time__"], params),
    )  # fmt: skip
    limits = params.promotion.guardrails
    guards = guardrails.check(pair, rows, limits, PACKAGE)
    spent = guardrails.latency(challenger, rows) if limits.latency_ms is not None else []
    if limits.latency_ms is not None:
        guards.append(guardrails.judge_latency(spent, limits.latency_ms))

    if champion is None:
        y_train = features.loc[features["__split__"] == "train", "__target__"].to_numpy(dtype=float)
        found = against_baseline(y, mine, y_train, challenger.kind, params.problem.metric, _cut(challenger))
        out = verdict.first(found, len(y), params.problem.metric, params.promotion.alpha, guards, about, state)
    elif champion.identity == challenger.identity:
        out = verdict.same_model(len(y), about, state)
    else:
        out = judge(pair, champion.identity, challenger.identity, state, guards, about, params)
    out["warnings"] += cautions(params, champion is not None)
    stage.log(out["sentence"])
    with replacing_dir(DATA / "verdict") as folder:
        write_json(folder / "verdict.json", out)
        write_table(folder / "predictions.parquet", predictions(test, mine, theirs))
        if spent:
            write_json(folder / "timing.json", {"row_ms": spent})


def judge(pair: Pair, champion: str, challenger: str, state: dict[str, Any], guards: list[dict[str, Any]],
          about: dict[str, Any], params: Params) -> dict[str, Any]:  # fmt: skip
    """Gather the evidence, apply the policy, and put it into words."""
    timed = bool(pair.time.notna().all())
    if params.promotion.evidence == "line" and not timed:
        raise RefitError(
            "promotion.evidence: 'line' adds up rows that are new at each run, and without problem.prediction_time "
            "nothing tells which are. Set it, or use evidence: challenger."
        )
    new = np.ones(pair.n, dtype=bool)
    seen = state["seen_until"]
    if timed and seen is not None:
        new = (pair.time > pd.Timestamp(seen)).to_numpy()
    evidence = gather(pair, params.promotion, params.problem.metric, new, params.seed)
    decision = decide(evidence.look, state, params.promotion, challenger, champion)
    out = verdict.compared(evidence, decision, params.promotion, guards, pair.n, about)
    out["evidence"]["new_rows"] = int(new.sum())
    if params.promotion.error == "fdr" and not new.all():
        out["warnings"].append(
            f"{int((~new).sum()):,} of the rows were judged at an earlier look; the false-discovery rate counts on new rows "
            "at each. Let split.test be no longer than the time between runs."
        )
    if timed:
        newest = pair.time.max()
        newest = newest if seen is None else max(newest, pd.Timestamp(seen))
        out["state"] = {**out["state"], "seen_until": newest.isoformat()}
    return out


def whose(challenger: Bundle) -> tuple[dict[str, Any], Bundle | None]:
    """Who is compared, for the verdict file; and the champion's bundle, or None where there is no champion.

    Raises
    ------
    RefitError
        If the champion's package is missing, damaged, or not the one that ``champion.json`` names.
    """
    about: dict[str, Any] = {
        "champion": None,
        "challenger": {"package_sha256": challenger.identity, "family": challenger.manifest["family"]},
    }
    path = CHAMPION / "champion.json"
    if not path.exists():
        return about, None
    named = read_json(path)
    champion = Bundle.load(CHAMPION / "package")
    if champion.identity != named["package_sha256"]:
        raise RefitError(
            f"data/champion: the package is {champion.identity[:12]}…, and champion.json names version {named['version']} "
            f"with {named['package_sha256'][:12]}…; no verdict. `refit run` fetches it from the registry again."
        )
    about["champion"] = {
        "version": named["version"], "package_sha256": champion.identity, "family": champion.manifest["family"],
    }  # fmt: skip
    return about, champion


def clusters(rows: pd.DataFrame, time: pd.Series, params: Params) -> dict[str, np.ndarray]:
    """Labels of rows that may not be independent: the declared columns, and the day of the prediction time.

    A row whose value is missing is a cluster of its own.
    """
    out: dict[str, np.ndarray] = {}
    for column in params.promotion.cluster:
        if column == "day" and column not in rows:
            continue
        codes = pd.factorize(rows[column])[0]
        out[column] = np.where(codes < 0, -1 - np.arange(len(codes)), codes)
    if time.notna().all() and "day" not in out:
        day = time.dt.floor("D")
        if day.nunique() >= 10:
            out["day"] = pd.factorize(day)[0]
    return out


def cautions(params: Params, champion: bool) -> list[str]:
    """What the numbers cannot show."""
    if champion and params.split.kind == "random":
        return [
            "The split is random: if the data has changed since, the champion may have been trained on some of these "
            "rows, which favours it."
        ]
    return []


def predictions(test: pd.DataFrame, mine: np.ndarray, theirs: np.ndarray | None) -> pd.DataFrame:
    """``predictions.parquet``: both models' scores on the same rows."""
    out = test[["__row__", "__target__"]].reset_index(drop=True)
    for who, scores in (("challenger", mine), ("champion", theirs)):
        if scores is not None:
            flat = scores.reshape(len(out), -1)
            names = [f"{who}_score"] if scores.ndim == 1 else [f"{who}_score_{k}" for k in range(flat.shape[1])]
            out = pd.concat([out, pd.DataFrame(flat, columns=names)], axis=1)
    return out


def _cut(bundle: Bundle) -> float:
    return 0.5 if bundle.threshold is None else bundle.threshold


if __name__ == "__main__":
    stage.run(main)
