"""Stage ``leaks``: look for what gives the target away, and write ``data/leaks/leaks.json``."""

from __future__ import annotations

from tasks import stage  # isort: skip

from typing import cast

import pandas as pd

from tasks.artifacts import Summary
from tasks.artifacts.folders import FEATURE_TABLE, FEATURES, LEAKS, PLAN, VALIDATED
from tasks.engine import Plan
from tasks.files import read_json, replacing_dir
from tasks.kinds import find_kind
from tasks.leaks.look import look
from tasks.params import load
from tasks.states import tables_in
from tasks.stored import Stored


def main() -> None:
    """The stage: features against the target, tables against times to come; writes ``data/leaks``."""
    params = load()
    plan = Plan.from_dict(read_json(PLAN))
    tables = cast("dict[str, pd.DataFrame]", tables_in(VALIDATED, plan.tables))  # on disk; read as frames in memory are
    kind = Summary.read(FEATURES).kind
    found = look(plan, tables, Stored(FEATURE_TABLE), kind, params.seed)
    for suspicion in found.suspicions:
        stage.log(f"suspected: {suspicion.column} {suspicion.said}")
    if not find_kind(kind).targeted:
        stage.log(f"kind {kind!r} has no target, so nothing was held against labels")
    elif not found.suspicions:
        stage.log("no feature gives the target away, as far as data can tell")
    with replacing_dir(LEAKS) as folder:
        found.write(folder)


if __name__ == "__main__":
    stage.run(main)
