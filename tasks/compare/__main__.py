"""Load both packages, predict the same test rows, and write ``data/verdict``."""

from __future__ import annotations

from tasks import stage  # isort: skip

from dataclasses import replace

import numpy as np
import pandas as pd

from tasks import memory
from tasks.artifacts import ChampionFile, ChampionLock, Contender, Leaks, PolicyState, Receipt, RowTimes
from tasks.artifacts.folders import CHAMPION, DATA, LEAKS, PACKAGE
from tasks.bundle import Bundle
from tasks.bundle.asked import Asked
from tasks.bundle.seen import Seen
from tasks.compare import leaks, verdict
from tasks.compare.judge import Case, Incumbent, Judged, against, first, unjudged
from tasks.compare.policy import read_state
from tasks.compare.scores import Incomparable, checked, labels
from tasks.compare.unseen import Counted
from tasks.compare.verdict import Contenders
from tasks.errors import RefitError
from tasks.files import optional_json, read_table, replacing_dir, write_table
from tasks.fitting.rows import with_scores
from tasks.identity import Rule, identify
from tasks.params import load
from tasks.states import tables_in
from tasks.stored import Stored


def main() -> None:
    """The stage: champion against challenger on the same rows; writes ``data/verdict``."""
    params = load()
    challenger = Bundle.load(PACKAGE)
    features = Stored(DATA / "features" / "features.parquet", ["__row__", "__time__", "__split__", "__target__"])
    test = features[features["__split__"] == "test"].frame()
    y = labels(test["__target__"].to_numpy(dtype=float), challenger.kind, challenger.classes)
    validated = DATA / "validated"
    whole, at = Stored(validated / f"{params.problem.table}.parquet"), test["__row__"].to_numpy()
    tables = tables_in(validated, params.data.tables)
    asked = Asked(whole.iloc[at], tables, memory.of_process())
    mine = checked(asked.answers(challenger)[0], len(y), "data/package")
    case = Case(params, challenger, whole, asked, at, y, test["__time__"], mine)
    who, champion = whose(challenger)
    state = read_state(optional_json(CHAMPION / PolicyState.NAME))
    if champion is None:
        y_train = features[features["__split__"] == "train"]["__target__"].to_numpy(dtype=float)
        judged = first(case, y_train, who, state)
    elif champion.bundle.identity == challenger.identity:
        judged = unjudged(case, verdict.same_model(len(y), who, state))
    else:
        try:
            judged = against(case, champion, who, state)
        except Incomparable as error:
            judged = unjudged(case, verdict.refused(str(error), len(y), who, state))
    found = Leaks.find(LEAKS)
    judged = replace(
        judged, verdict=leaks.hold(judged.verdict, found.suspicions if found else None, params.promotion.accept)
    )
    stage.log(judged.verdict.sentence)
    rows = at[judged.at]
    with replacing_dir(DATA / "verdict") as folder:
        judged.verdict.write(folder)
        write_table(folder / "predictions.parquet", predictions(rows, judged))
        counted(case, features["__time__"], rows[judged.new]).write(folder / "counted.parquet")
        if judged.row_ms:
            RowTimes(row_ms=judged.row_ms).write(folder)


def counted(case: Case, time: pd.Series, at: np.ndarray) -> Seen:
    """The record of the rows at these positions of the whole table, which this look is the first to count."""
    rule = Rule.of(case.params)
    chosen = np.zeros(len(case.whole), dtype=bool)
    chosen[at] = True
    return Seen.of(identify(case.whole, rule), chosen, time, rule)


def looks() -> list[Counted]:
    """What earlier looks counted, as the history kept it."""
    files = sorted((CHAMPION / "counted").glob("*.parquet"))
    return [Counted(int(path.stem), Seen.read(path)) for path in files]


def whose(challenger: Bundle) -> tuple[Contenders, Incumbent | None]:
    """Who is compared; and the champion, or None where there is none.

    Raises
    ------
    RefitError
        If the champion's package is missing, damaged, or not the one that ``champion.json`` names; and if
        ``champion.lock`` names a champion where none was put, which would make another model a first one, or one
        that was replaced since.
    """
    mine = Contender(package_sha256=challenger.identity, family=challenger.manifest.family)
    named, lock = ChampionFile.find(CHAMPION), ChampionLock.find(".")
    if lock is not None and lock.package_sha256 != challenger.identity and replaced(named, lock):
        there = "is empty" if named is None else f"holds version {named.version}"
        about = "that of a first model" if named is None else "about a champion that was replaced"
        raise RefitError(
            f"data/champion {there}, and champion.lock names version {lock.version}: no verdict, which would be {about}. "
            "`python -m flows.context` puts the champion there and lists its files in refit.dvc, and `refit run` does so by "
            "itself. Add refit.dvc to git: copies of the project (`dvc exp run --temp`, `--queue`) get the files by it."
        )
    if named is None:
        return Contenders(None, mine), None
    champion = Bundle.load(CHAMPION / "package")
    if champion.identity != named.package_sha256:
        raise RefitError(
            f"data/champion: the package is {champion.identity[:12]}…, and champion.json names version {named.version} "
            f"with {named.package_sha256[:12]}…; no verdict. `refit run` fetches it from the registry again."
        )
    theirs = Contender(version=named.version, package_sha256=champion.identity, family=champion.manifest.family)
    as_of = Receipt.read(champion.path).as_of
    reference = read_table(champion.path / "reference.parquet")
    return Contenders(theirs, mine), Incumbent(champion, named.since, as_of, reference, looks())


def replaced(named: ChampionFile | None, lock: ChampionLock) -> bool:
    """Whether there is a champion and it is not this one: none was put there, or one of an earlier decision.

    >>> lock = ChampionLock(model="x", version="2", package_sha256="b", decision="7:ab")
    >>> [replaced(ChampionFile(version="1", package_sha256="a", since=since), lock) for since in (3, 8)]
    [True, False]
    """
    if lock.version is None or (named is not None and named.package_sha256 == lock.package_sha256):
        return False
    return named is None or named.since <= int(lock.decision.partition(":")[0])


def predictions(rows: np.ndarray, judged: Judged) -> pd.DataFrame:
    """``predictions.parquet``: the truth and both models' scores of the rows that the verdict rests on."""
    out = pd.DataFrame({"__row__": rows, "__target__": judged.y})
    for who, scores in (("challenger", judged.challenger), ("champion", judged.champion)):
        if scores is not None:
            out = with_scores(out, scores, whose=f"{who}_")
    return out


if __name__ == "__main__":
    stage.run(main)
