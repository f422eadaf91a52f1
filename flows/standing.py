"""Where the registry stands after a run, and whether all effects of a result are done already."""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import champions
from flows.packages import PACKAGE, prune
from flows.records import read_lock
from tasks.artifacts import Manifest, Validation
from tasks.artifacts.folders import VALIDATED
from tasks.errors import RefitError
from tasks.files import optional_json, write_json
from tasks.params import Params
from tasks.registry.history import DecisionHistory
from tasks.registry.tracking import RunResult

DONE = ".refit/done.json"


@dataclass(frozen=True)
class Standing:
    """Where the registry stands after a run: this run's version, the champion, and what was decided in one sentence.

    ``waiting``: nothing was decided, since a person has to approve.
    """

    version: str
    champion: str | None
    sentence: str
    waiting: bool = False

    def _repr_html_(self) -> str:
        from flows.notebook import table

        rows = [
            ("this run", f"version {self.version}"),
            ("champion", self.champion or "none yet"),
            ("verdict", self.sentence),
        ]
        return table(rows)


def check_ready(root: Path, model: str) -> None:
    """Refuse a run whose history is not the whole one, or whose champion is nowhere; before any stage."""
    champions.check_ready(root, model, settled(root, model))


def settled(root: Path, model: str) -> bool:
    """Whether all effects of an earlier run ended with this very history and registry."""
    past = DecisionHistory(root).decisions(model)
    return bool(past) and _done(root).get("stand") == champions.registry_state(root, past[-1])


def result(root: Path, params: Params, start: Path | None = None) -> RunResult:
    """Identify what the walk left: its key covers every output in ``dvc.lock`` and where it is tracked.

    ``start`` holds ``params.yaml`` as the run began with it. Families that are no longer in ``params.yaml`` may still have
    a record and a folder; they are not part of the result.

    Raises
    ------
    RefitError
        If the package was made under another name than ``problem.name`` says now.
    """
    package = Manifest.find(root / PACKAGE)
    if package is not None and package.name != params.problem.name:
        raise RefitError(
            f"problem.name: the package of this run was made as {package.name!r}, and params.yaml says {params.problem.name!r} by "
            "now. Nothing was registered. `refit run` again makes the package of the new name, or put the old one back."
        )
    stages = (read_lock(root / "dvc.lock") or {}).get("stages", {})
    present = {
        name: stage
        for name, stage in stages.items()
        if name.partition("@")[0] not in ("tune", "train") or name.partition("@")[2] in params.models
    }
    versions = {out["path"]: out["md5"] for stage in present.values() for out in stage.get("outs", []) if "md5" in out}
    text = json.dumps([params.problem.name, sorted(versions.items())])
    validation = Validation.find(root / VALIDATED)
    as_of = validation.as_of if validation else None
    key = hashlib.sha256(text.encode()).hexdigest()
    return RunResult(
        root, params.problem.name, key, as_of, versions, _commit(root), tuple(sorted(params.models)), start
    )


def concluded(root: Path, result: RunResult) -> Standing | None:
    """What the effects of this very result came to, if they are all done and nothing was decided since."""
    done, past = _done(root), DecisionHistory(root).decisions(result.model)
    state = champions.registry_state(root, past[-1] if past else None)
    if done.get("of") != result.key or done.get("stand") != state or not champions.reachable(root):
        return None
    return Standing(done["version"], done["champion"], done["sentence"])


def finish(root: Path, result: RunResult, standing: Standing, seconds: float) -> None:
    """Remember that all effects of a result are done: the next run need not open MLflow to learn it."""
    past = DecisionHistory(root).decisions(result.model)
    value: dict[str, object] = {"of": result.key, "stand": champions.registry_state(root, past[-1] if past else None)}
    value |= {"version": standing.version, "champion": standing.champion, "sentence": standing.sentence}
    write_json(root / DONE, {**value, "seconds": round(seconds, 3)})
    prune(root, past)


def _done(root: Path) -> dict[str, Any]:
    done = optional_json(root / DONE)
    return done if isinstance(done, dict) else {}


def _commit(root: Path) -> str | None:
    """The git commit of the project, with ``+`` where tracked files are changed; None outside git."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if dirty else "")
