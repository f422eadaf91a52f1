"""What can be known before a run starts is looked at before it starts: before any stage, any server and any heavy import.

`refit run` looks first of all and tells everything at once, a scheduled run looks again on its worker, and `refit doctor` shows the
same findings. A check changes nothing that stays, and each asks the rule itself where that is cheap: small tables are read as the
stage ``ingest`` reads them, the DAG is DVC's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.preflight import folder, machine, parameters, servers, tables
from flows.preflight.subject import WAIT, Check, Subject
from tasks.errors import RefitError

if TYPE_CHECKING:
    from tasks.params import Params

PATIENCE = "PGCONNECT_TIMEOUT"  # the driver's own setting, in seconds, at least 2
WITHIN = ("registry", "decisions")  # lie in the folder
CHECKS: dict[str, Check] = {
    "Python": machine.python,
    "temporary": machine.temporary,
    "folder": folder.writable,
    "other run": folder.alone,
    "disk": machine.disk,
    "memory": machine.memory,
    "DVC": folder.dag,
    "as of": parameters.moment,
    "families": parameters.families,
    "budgets": parameters.budgets,
    "pools": parameters.pools,
    "approval": parameters.approval,
    "tables": tables.tables,
    "Prefect": servers.prefect,
    "registry": servers.registry,
    "decisions": servers.history,
}


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong, under the name of what it is about."""

    about: str
    says: str


def require(root: Path, as_of: str | None = None) -> Params:
    """The project's parameters, if nothing is known to be wrong.

    Raises
    ------
    RefitError
        With everything that is wrong, a line each.
    """
    subject, troubles = examine(root, as_of)
    if troubles:
        raise RefitError("\n".join(dict.fromkeys(one.says for one in troubles)))
    assert subject.params is not None
    return subject.params


def examine(root: Path, as_of: str | None = None) -> tuple[Subject, list[Trouble]]:
    """Do all checks; without right parameters those that do not need them."""
    root, params, troubles = root.resolve(), None, []
    if not (root / "dvc.yaml").exists():
        says = f"{root}: no dvc.yaml here. Change to the project's folder, or run `refit init`."
        return Subject(root, None, as_of), [Trouble("DVC", says)]
    from tasks.params import load

    try:
        params = load(root / "params.yaml")
    except RefitError as error:
        troubles.append(Trouble("params.yaml", str(error)))
    subject = Subject(root, params, as_of)
    with _impatient():
        for about, check in CHECKS.items():
            if about in WITHIN and any(one.about == "folder" for one in troubles):
                continue  # it lies in a folder that cannot be written to, which is told already
            try:
                for says in check(subject):
                    troubles.append(Trouble(about, says))
            except RefitError as error:
                troubles.append(Trouble(about, str(error)))
    return subject, troubles


@contextmanager
def _impatient() -> Iterator[None]:
    """Let PostgreSQL's driver wait no longer than the other checks do, unless the user says how long."""
    own = PATIENCE not in os.environ
    os.environ.setdefault(PATIENCE, str(max(2, round(WAIT))))
    try:
        yield
    finally:
        if own:
            del os.environ[PATIENCE]
