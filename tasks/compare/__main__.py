"""Load both packages, predict the same test rows, and write ``data/verdict``."""

from __future__ import annotations

from tasks import stage  # isort: skip

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks import memory
from tasks.artifacts import Leaks
from tasks.artifacts.folders import LEAKS
from tasks.bundle import Bundle
from tasks.bundle.asked import Asked
from tasks.bundle.seen import Seen
from tasks.compare import leaks, verdict
from tasks.compare.judge import Case, Incumbent, Judged, against, first, unjudged
from tasks.compare.policy import read_state
from tasks.compare.scores import Incomparable, checked, labels
from tasks.compare.unseen import Counted
from tasks.errors import RefitError
from tasks.files import read_json, read_table, replacing_dir, write_json, write_table
from tasks.identity import Rule, identify
from tasks.params import load
from tasks.states import tables_in
from tasks.stored import Stored

DATA = Path("data")
PACKAGE, CHAMPION = DATA / "package", DATA / "champion"


def main() -> None:
    params = load()
    challenger = Bundle.load(PACKAGE)
    features: Any = Stored(DATA / "features" / "features.parquet", ["__row__", "__time__", "__split__", "__target__"])
    test = features[features["__split__"] == "test"].frame()
    y = labels(test["__target__"].to_numpy(dtype=float), challenger.kind, challenger.classes)
    validated = DATA / "validated"
    whole, at = Stored(validated / f"{params.problem.table}.parquet"), test["__row__"].to_numpy()
    tables = tables_in(validated, params.data.tables)
    asked = Asked(whole.iloc[at], tables, memory.of_process())
    mine = checked(asked.answers(challenger)[0], len(y), "data/package")
    case = Case(params, challenger, whole, asked, at, y, test["__time__"], mine)
    about, champion = whose(challenger)
    file = CHAMPION / "promotion.json"
    state = read_state(read_json(file) if file.exists() else None)
    if champion is None:
        y_train = features[features["__split__"] == "train"]["__target__"].to_numpy(dtype=float)
        judged = first(case, y_train, about, state)
    elif champion.bundle.identity == challenger.identity:
        judged = unjudged(case, verdict.same_model(len(y), about, state))
    else:
        try:
            judged = against(case, champion, about, state)
        except Incomparable as error:
            judged = unjudged(case, verdict.refused(str(error), len(y), about, state))
    found = Leaks.find(LEAKS)
    judged = replace(judged, out=leaks.hold(judged.out, found.suspicions if found else None, params.promotion.accept))
    stage.log(judged.out["sentence"])
    rows = at[judged.at]
    with replacing_dir(DATA / "verdict") as folder:
        write_json(folder / "verdict.json", judged.out)
        write_table(folder / "predictions.parquet", predictions(rows, judged))
        counted(case, features["__time__"], rows[judged.new]).write(folder / "counted.parquet")
        if judged.row_ms:
            write_json(folder / "timing.json", {"row_ms": judged.row_ms})


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


def whose(challenger: Bundle) -> tuple[dict[str, Any], Incumbent | None]:
    """Who is compared, for the verdict file; and the champion, or None where there is none.

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
    as_of = read_json(champion.path / "receipt.json").get("as_of")
    reference = read_table(champion.path / "reference.parquet")
    return about, Incumbent(champion, int(named.get("since", 0)), as_of, reference, looks())


def predictions(rows: np.ndarray, judged: Judged) -> pd.DataFrame:
    """``predictions.parquet``: the truth and both models' scores of the rows that the verdict rests on."""
    out = pd.DataFrame({"__row__": rows, "__target__": judged.y})
    for who, scores in (("challenger", judged.challenger), ("champion", judged.champion)):
        if scores is not None:
            flat = scores.reshape(len(out), -1)
            names = [f"{who}_score"] if scores.ndim == 1 else [f"{who}_score_{k}" for k in range(flat.shape[1])]
            out = pd.concat([out, pd.DataFrame(flat, columns=names)], axis=1)
    return out


if __name__ == "__main__":
    stage.run(main)
