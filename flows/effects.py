"""Effects of a run, free of Prefect: context files before stages, tracking, registration and promotion after them.

Each may be repeated after a crash at any point: what is done already is found and left as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from flows import inputs, throne
from flows.throne import CHAMPION, PACKAGE, START
from tasks.errors import RefitError
from tasks.files import read_json, replacing, replacing_dir, sha256, write_json
from tasks.params import Params, parse_moment
from tasks.registry.history import Decision, History, Overtaken, highest, reigning, rolled_back
from tasks.registry.tracking import Registered, Registry, Result

CONTEXT, VERDICT = "data/context", "data/verdict"
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


@dataclass(frozen=True)
class Answer:
    """A person's answer to whether a version shall be promoted; ``said`` is the name and the reason."""

    promote: bool
    said: str


# Before the stages -----------------------------------------------------------------------------------------


def ready(root: Path, model: str) -> None:
    """Refuse a run whose history is not the whole one, or whose champion is nowhere; before any stage."""
    done, past = _done(root), History(root).decisions(model)
    throne.ready(root, model, bool(past) and done.get("stand") == throne.stand(root, past[-1]))


def write_as_of(root: Path, as_of: str | None) -> None:
    """Write ``data/context/as_of.json``, or remove it where ``data.as_of`` of ``params.yaml`` shall count."""
    path = root / CONTEXT / "as_of.json"
    if as_of is None:
        path.unlink(missing_ok=True)
        return
    _write_if_new(path, {"as_of": moment(as_of).isoformat()})


def moment(text: str) -> datetime:
    """Read a moment given on the command line."""
    try:
        return parse_moment(text)
    except ValueError as error:
        raise RefitError(f"{error}; found {text!r}.") from None


def write_starts(root: Path, model: str) -> str | None:
    """Write the champion's parameters by family to ``data/start``, where tuning begins; returns its version.

    Call only where every search runs anyway: the file is a dependency of all of them.
    """
    champion, path = reigning(throne.decisions(root, model, None)), root / START / "params.json"
    if champion is None:
        path.unlink(missing_ok=True)
        return None
    folder = throne.package(root, model, champion.package_sha256, champion.champion)
    starts: dict[str, list[Any]] = {}
    for state in (read_json(found) for found in sorted((folder / "model").rglob("model.json"))):
        if "params" in state:  # not in the oldest packages
            starts.setdefault(state["family"], []).append(state["params"])
    _write_if_new(path, starts)
    return champion.champion


def write_champion(root: Path, model: str) -> str | None:
    """Put the champion where the comparison reads it; returns its version.

    Called when the new package exists, just before the first stage that reads ``data/champion``. Where that package
    is the champion itself, the files stay: they are what it was compared with when it was promoted.
    """
    past = throne.decisions(root, model, None)
    champion = reigning(past)
    digest = _package(root)
    folder = root / CHAMPION
    if champion is not None and digest == champion.package_sha256:
        throne.keep(root, digest)  # the next run writes another package over it
        return champion.champion
    # What this very package came to against this champion is not part of what it is judged by.
    since = champion.number if champion is not None else 0
    others = [d for d in past if d.package_sha256 != digest or d.number <= since or not _against(d, champion)]
    state = next((d.evidence["state"] for d in reversed(others) if "state" in d.evidence), None)
    if state is None:
        (folder / "promotion.json").unlink(missing_ok=True)
    else:
        _write_if_new(folder / "promotion.json", state)
    counted = History(root).counted(model)
    _write_counted(folder / "counted", {d.number: counted[d.number] for d in others if d.number in counted})
    about, copy = folder / "champion.json", folder / "package"
    if champion is None:
        about.unlink(missing_ok=True)
        shutil.rmtree(copy, ignore_errors=True)
        return None
    held = read_json(about) if about.exists() else {}
    of = {"version": champion.champion, "package_sha256": champion.package_sha256, "since": champion.number}
    if {**held, **of} != held or not throne.whole(copy, champion.package_sha256):
        found = throne.package(root, model, champion.package_sha256, champion.champion)
        about.unlink(missing_ok=True)
        with replacing_dir(copy) as fresh:
            shutil.copytree(found, fresh, dirs_exist_ok=True)
        write_json(about, {**of, "name": model})
    return champion.champion


def _against(decision: Decision, champion: Decision | None) -> bool:
    """Whether a look compared with this champion; older rows do not say, and did."""
    compared = decision.evidence.get("against")
    return compared is None or champion is None or compared == champion.package_sha256


def _write_counted(folder: Path, counted: dict[int, bytes]) -> None:
    """One file for each look that counted rows, named by its decision's number."""
    names = {f"{number:06d}.parquet": stored for number, stored in counted.items()}
    for path in folder.glob("*.parquet"):
        if path.name not in names or path.read_bytes() != names[path.name]:
            path.unlink()
    for name, stored in names.items():
        if not (folder / name).exists():
            with replacing(folder / name) as beside:
                beside.write_bytes(stored)


def _package(root: Path) -> str | None:
    path = root / PACKAGE / "bundle.json"
    return sha256(path) if path.exists() else None


def _write_if_new(path: Path, value: Any) -> None:
    """An unchanged file keeps its time, so that DVC need not hash it again."""
    if not path.exists() or read_json(path) != value:
        write_json(path, value)


# After the stages ------------------------------------------------------------------------------------------


def result(root: Path, params: Params, start: Path | None = None) -> Result:
    """Identify what the walk left: its key covers every output in ``dvc.lock`` and where it is tracked.

    ``start`` holds ``params.yaml`` as the run began with it. Families that are no longer in ``params.yaml`` may still have
    a record and a folder; they are not part of the result.

    Raises
    ------
    RefitError
        If the package was made under another name than ``problem.name`` says now.
    """
    made = root / PACKAGE / "bundle.json"
    if made.exists() and (called := read_json(made)["name"]) != params.problem.name:
        raise RefitError(
            f"problem.name: the package of this run was made as {called!r}, and params.yaml says {params.problem.name!r} by "
            "now. Nothing was registered. `refit run` again makes the package of the new name, or put the old one back."
        )
    from dvc.utils.serialize import load_yaml

    stages = load_yaml(str(root / "dvc.lock")).get("stages", {})
    present = {
        name: stage
        for name, stage in stages.items()
        if name.partition("@")[0] not in ("tune", "train") or name.partition("@")[2] in params.models
    }
    versions = {out["path"]: out["md5"] for stage in present.values() for out in stage.get("outs", []) if "md5" in out}
    text = json.dumps([params.problem.name, sorted(versions.items())])
    summary = root / "data" / "validated" / "summary.json"
    as_of = read_json(summary).get("as_of") if summary.exists() else None
    key = hashlib.sha256(text.encode()).hexdigest()
    return Result(root, params.problem.name, key, as_of, versions, _commit(root), tuple(sorted(params.models)), start)


def standing(root: Path, found: Result) -> Standing | None:
    """What the effects of this very result came to, if they are all done and nothing was decided since."""
    done, past = _done(root), History(root).decisions(found.model)
    stand = throne.stand(root, past[-1] if past else None)
    if done.get("of") != found.key or done.get("stand") != stand or not throne.reachable(root):
        return None
    return Standing(done["version"], done["champion"], done["sentence"])


def finish(root: Path, found: Result, at_end: Standing, seconds: float) -> None:
    """Remember that all effects of a result are done: the next run need not open MLflow to learn it."""
    past = History(root).decisions(found.model)
    value: dict[str, Any] = {"of": found.key, "stand": throne.stand(root, past[-1] if past else None)}
    value |= {"version": at_end.version, "champion": at_end.champion, "sentence": at_end.sentence}
    write_json(root / DONE, {**value, "seconds": round(seconds, 3)})
    throne.prune(root, past)


def _done(root: Path) -> dict[str, Any]:
    done = read_json(root / DONE) if (root / DONE).exists() else {}
    return done if isinstance(done, dict) else {}


def register(root: Path, found: Result, run_id: str) -> Registered:
    """Register the package, as challenger unless it is the champion; MLflow's aliases are put right on the way.

    A registry that does not know the champion gets it first.
    """
    registry = Registry(root)
    past = throne.decisions(root, found.model, registry)
    champion = reigning(past)
    if champion is not None and champion.package_sha256 == _package(root):
        above = throne.above(past, champion.package_sha256, str(champion.champion))
    else:
        throne.follow(root, registry, found.model)
        above = highest(past)
    registered = registry.register(found.model, root / PACKAGE, run_id, above)
    throne.follow(root, registry, found.model, registered.version)
    return registered


def would_promote(root: Path, registered: Registered) -> bool:
    """Whether carrying the verdict out would put this version on the throne."""
    past = throne.decisions(root, registered.model, None)
    champion = reigning(past)
    verdict = read_json(root / VERDICT / "verdict.json")
    return (
        verdict["verdict"] == "promote"
        and (champion is None or registered.package_sha256 != champion.package_sha256)
        and rolled_back(past, registered.package_sha256) is None
        and not any(d.key == _occasion(root, registered, past) for d in past)
    )


def patience() -> int:
    """Seconds that a person has to approve a promotion: ``REFIT_APPROVAL_SECONDS``, else seven days."""
    text = os.environ.get("REFIT_APPROVAL_SECONDS") or str(7 * 86400)
    if not text.isdecimal() or int(text) < 1:
        raise RefitError(f"REFIT_APPROVAL_SECONDS: a whole number of seconds, 1 or more; found {text!r}.")
    return int(text)


def waiting(root: Path, registered: Registered) -> Standing:
    """The verdict says promote, and a person has not approved: nothing is decided, and the champion stays."""
    champion = History(root).champion(registered.model)
    sentence = read_json(root / VERDICT / "verdict.json")["sentence"]
    return Standing(
        registered.version,
        champion.champion if champion else None,
        f"{sentence} Not promoted until a person approves (promotion.approval): `refit promote "
        f"{registered.version} --reason ...`, or `refit run` again and answer in the Prefect UI (set PREFECT_API_URL).",
        waiting=True,
    )


def _occasion(root: Path, registered: Registered, past: list[Decision]) -> str:
    """One verdict about one package; after a beginning without a champion, the same verdict is a new occasion."""
    anew = next((f":{d.number}" for d in reversed(past) if d.action == "adopt" and d.champion is None), "")
    return f"verdict:{sha256(root / VERDICT / 'verdict.json')}:{registered.package_sha256}{anew}"


def decide(root: Path, registered: Registered, by: str = "refit run", answer: Answer | None = None) -> Standing:
    """Carry the verdict out: promote, or record that the champion is kept; once per verdict and package.

    ``answer`` is a person's, where one was asked; a refusal is recorded too, and keeps the champion.
    """
    registry, verdict = Registry(root), read_json(root / VERDICT / "verdict.json")
    past = throne.decisions(root, registered.model, registry)
    champion = reigning(past)
    reigns = champion is not None and registered.package_sha256 == champion.package_sha256
    key = _occasion(root, registered, past)
    evidence = {k: verdict[k] for k in ("verdict", "rule", "n", "state") if k in verdict}
    evidence |= {k: verdict[k] for k in ("suspicions", "accepted") if verdict.get(k)}
    sentence = verdict["sentence"]
    removed = rolled_back(past, registered.package_sha256)
    promote = verdict["verdict"] == "promote" and not reigns
    if promote and removed is not None and not any(d.key == key for d in past):
        promote = False
        sentence += (
            f" Not promoted all the same: it was rolled back on {removed.at[:10]} ({removed.reason}); "
            f"`refit promote {registered.version} --reason ...` overrides that."
        )
    if promote and answer is not None:
        promote = answer.promote
        sentence += (
            f" Approved: {answer.said}"
            if promote
            else (
                f" Not promoted all the same: refused by {answer.said} (`refit promote {registered.version} --reason ...` "
                "overrides that)."
            )
        )
    about = root / CHAMPION / "champion.json"
    compared_with = read_json(about)["package_sha256"] if about.exists() else None
    if compared_with is not None:
        evidence["against"] = compared_with
    counted = root / VERDICT / "counted.parquet"
    look = counted.read_bytes() if counted.exists() else None
    decision = Decision(
        model=registered.model,
        action="promote" if promote else "keep",
        version=registered.version,
        champion=registered.version if promote else None,
        package_sha256=registered.package_sha256,
        reason=sentence,
        by=by,
        key=key,
        evidence=evidence,
    )
    if promote:
        throne.keep(root, registered.package_sha256)  # before the row: there is no champion without its package
        inputs.keep(root, registry, registered)
    made = _record(root, decision, registered.package_sha256 if reigns else compared_with, look)
    now = throne.follow(root, registry, registered.model, registered.version)
    if promote and made.key != key:
        raise Overtaken(made.reason)
    return Standing(registered.version, now.champion if now else None, made.reason)


def _record(root: Path, decision: Decision, expected: str | None, look: bytes | None) -> Decision:
    """Record what a run decided; where another champion came meanwhile, the look is kept and says so, and nothing else.

    Rows that were looked at count, whoever reigns by now.
    """
    history = History(root)
    try:
        return history.record(decision, expected, look)
    except Overtaken as error:
        said = str(error)
    if decision.action == "keep":
        said = f"{decision.reason} That champion was replaced meanwhile: {said}"
    while True:
        champion = history.champion(decision.model)
        key = f"{decision.key}:late:{champion.number if champion else 0}"
        late = replace(decision, action="keep", champion=None, reason=said, key=key)
        try:
            return history.record(late, champion.package_sha256 if champion else None, look)
        except Overtaken:
            continue


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
