"""Stage ``leaks``: look for what gives the target away, and write ``data/leaks/leaks.json``."""

from __future__ import annotations

from tasks import stage  # isort: skip

from pathlib import Path
from typing import Any

from tasks.engine import Plan
from tasks.files import read_json, replacing_dir, write_json
from tasks.leaks.look import look
from tasks.params import load
from tasks.states import tables_in
from tasks.stored import Stored

DATA = Path("data")


def main() -> None:
    """The stage: features against the target, tables against times to come; writes ``data/leaks``."""
    params = load()
    plan = Plan.from_dict(read_json(DATA / "features" / "plan.json"))
    tables = tables_in(DATA / "validated", plan.tables)
    made: Any = Stored(DATA / "features" / "features.parquet")
    found = look(plan, tables, made, read_json(DATA / "features" / "summary.json")["kind"], params.seed)
    for suspicion in found["suspicions"]:
        stage.log(f"suspected: {suspicion['column']} {suspicion['said']}")
    if not found["suspicions"]:
        stage.log("no feature gives the target away, as far as data can tell")
    with replacing_dir(DATA / "leaks") as folder:
        write_json(folder / "leaks.json", found)


if __name__ == "__main__":
    stage.run(main)
