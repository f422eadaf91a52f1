"""Training in turns, each with parameters of its own: what a population is made of, and how its winner is made again.

A fit whose parameters hold ``turns``, a list of what each turn changed, takes the same turns one after another.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from tasks.artifacts import turns_of
from tasks.files import read_json, replacing_dir, write_json
from tasks.fitting.base import Family, Fitted, GoesOn, Job, Stopped, Turn
from tasks.fitting.space import Settings
from tasks.models.formats import load_fitted

THREADS = 1  # a member's, whatever the machine has: sums of several threads differ in their last bits


def goes_on(family: Family) -> TypeGuard[GoesOn]:
    """Whether a family's training can go on from a state with other parameters."""
    return hasattr(family, "go_on")


def changeable(family: GoesOn, names: Iterable[str]) -> list[str]:
    """Those of the parameters ``names`` that may change from turn to turn."""
    return [name for name in names if not family.CHANGEABLE or name in family.CHANGEABLE]


def one_turn(family: Family, params: Settings, job: Job, turn: Turn) -> Fitted:
    """Train for a turn and write ``turn.after``, whole or not at all; the loss curves go on as well.

    Raises
    ------
    Stopped
        If time was up before the turn was.
    """
    assert goes_on(family)
    job = replace(job, threads=THREADS, watch=None)
    with replacing_dir(turn.after) as folder:
        fitted = family.go_on(dict(params), job, replace(turn, after=folder))
        if job.late:
            raise Stopped
        if turn.before is not None:
            for name, curve in read_json(turn.before / "curves.json")["history"].items():
                fitted.history[name] = curve + fitted.history.get(name, [])
        fitted.save(folder)
        curves = {name: [v if abs(v) < 1e300 else None for v in curve] for name, curve in fitted.history.items()}
        write_json(folder / "curves.json", {"format": fitted.FORMAT, "history": curves, "notes": fitted.notes})
    return fitted


def read_turn(folder: Path, kind: str, classes: int) -> Fitted:
    """What a turn wrote."""
    about = read_json(folder / "curves.json")
    fitted = load_fitted(about["format"], folder, kind, classes)
    fitted.history, fitted.notes = about["history"], about["notes"]
    return fitted


def replay(family: Family, params: Settings, job: Job) -> Fitted:
    """The turns of ``params`` one after another; on the same rows, the same bytes as when they were first taken."""
    rest = {name: value for name, value in params.items() if name != "turns"}
    before: Path | None = None
    with tempfile.TemporaryDirectory() as folder:
        for number, own in enumerate(turns_of(params)):
            after = Path(folder) / str(number)
            fitted = one_turn(family, rest | own, replace(job, deadline=None), Turn(number, before, after))
            before = after
    return fitted
