"""Effects of a run, free of Prefect: context files before stages, tracking, registration and promotion after them.

Each may be repeated after a crash at any point: what is done already is found and left as it is.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import shutil
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tasks.errors import RefitError
from tasks.files import read_json, replacing, sha256, write_json
from tasks.params import Params, parse_moment
from tasks.registry.history import Decision, History, Overtaken, reigning, reigns, rolled_back
from tasks.registry.tracking import Registered, Registry, Result, tracking_uri

CONTEXT, CHAMPION, PACKAGE, VERDICT = "data/context", "data/champion", "data/package", "data/verdict"
START = "data/start"
DONE = ".refit/done.json"
Check = Callable[[Path], dict[str, Any]]


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
    champion, path = History(root).champion(model), root / START / "params.json"
    if champion is None or champion.champion is None:
        path.unlink(missing_ok=True)
        return None
    folder, version = exported_champion(root, model)
    starts: dict[str, list[Any]] = {}
    for state in (read_json(found) for found in sorted((folder / "model").rglob("model.json"))):
        if "params" in state:  # not in the oldest packages
            starts.setdefault(state["family"], []).append(state["params"])
    _write_if_new(path, starts)
    return version


def write_champion(root: Path, model: str) -> str | None:
    """Put the champion where the comparison reads it; returns its version.

    Called when the new package exists, just before the first stage that reads ``data/champion``. Where that package
    is the champion itself, the files stay: they are what it was compared with when it was promoted.
    """
    history = History(root)
    past = history.decisions(model)
    champion = history.champion(model)
    digest = _package(root)
    folder = root / CHAMPION
    if champion is not None and digest == champion.package_sha256:
        return champion.champion
    # What this very package came to against this champion is not part of what it is judged by.
    since = champion.number if champion is not None else 0
    others = [d for d in past if d.package_sha256 != digest or d.number <= since]
    state = next((d.evidence["state"] for d in reversed(others) if "state" in d.evidence), None)
    if state is None:
        (folder / "promotion.json").unlink(missing_ok=True)
    else:
        _write_if_new(folder / "promotion.json", state)
    counted = history.counted(model)
    _write_counted(folder / "counted", {d.number: counted[d.number] for d in others if d.number in counted})
    about, copy = folder / "champion.json", folder / "package"
    if champion is None:
        about.unlink(missing_ok=True)
        shutil.rmtree(copy, ignore_errors=True)
        return None
    held = read_json(about) if about.exists() else {}
    of = {"version": champion.champion, "package_sha256": champion.package_sha256, "since": champion.number}
    if {**held, **of} != held or not _whole(copy, champion.package_sha256):
        about.unlink(missing_ok=True)
        registry = Registry(root)
        registered = registry.version(model, str(champion.champion))
        registry.fetch(registered, copy)
        write_json(about, {**of, "name": model, "run_id": registered.run_id})
    return champion.champion


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


def _whole(folder: Path, digest: str) -> bool:
    from tasks.bundle.manifest import read_manifest

    try:
        read_manifest(folder)
        return sha256(folder / "bundle.json") == digest
    except RefitError:
        return False


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

    ``start`` holds ``params.yaml`` as the run began with it. Families that are no longer in ``params.yaml`` may still have a record and a folder; they are not part of the result.
    """
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
    path = root / DONE
    if not path.exists():
        return None
    done = read_json(path)
    champion = History(root).champion(found.model)
    now = [found.key, tracking_uri(root), champion.number if champion else 0]
    if done.get("of") != now or not _reachable(root):
        return None
    return Standing(done["version"], done["champion"], done["sentence"])


def finish(root: Path, found: Result, at_end: Standing, seconds: float) -> None:
    """Remember that all effects of a result are done: the next run need not open MLflow to learn it."""
    champion = History(root).champion(found.model)
    of = [found.key, tracking_uri(root), champion.number if champion else 0]
    value = {"of": of, "version": at_end.version, "champion": at_end.champion, "sentence": at_end.sentence}
    write_json(root / DONE, {**value, "seconds": round(seconds, 3)})


def _reachable(root: Path) -> bool:
    uri = tracking_uri(root)
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


def register(root: Path, found: Result, run_id: str) -> Registered:
    """Register the package, as challenger unless it is the champion; MLflow's aliases are put right on the way."""
    registry = Registry(root)
    registered = registry.register(found.model, root / PACKAGE, run_id)
    champion = History(root).champion(found.model)
    registry.follow(found.model, champion.champion if champion else None, registered.version)
    return registered


def would_promote(root: Path, registered: Registered) -> bool:
    """Whether carrying the verdict out would put this version on the throne."""
    past = History(root).decisions(registered.model)
    champion = past[-1].champion if past else None
    verdict = read_json(root / VERDICT / "verdict.json")
    return (
        verdict["verdict"] == "promote"
        and registered.version != champion
        and rolled_back(past, registered.package_sha256) is None
        and not any(d.key == _occasion(root, registered) for d in past)
    )


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


def _occasion(root: Path, registered: Registered) -> str:
    return f"verdict:{sha256(root / VERDICT / 'verdict.json')}:{registered.package_sha256}"


def decide(root: Path, registered: Registered, by: str = "refit run", answer: Answer | None = None) -> Standing:
    """Carry the verdict out: promote, or record that the champion is kept; once per verdict and package.

    ``answer`` is a person's, where one was asked; a refusal is recorded too, and keeps the champion.
    """
    history, verdict = History(root), read_json(root / VERDICT / "verdict.json")
    past = history.decisions(registered.model)
    champion = past[-1].champion if past else None
    key = _occasion(root, registered)
    evidence = {k: verdict[k] for k in ("verdict", "rule", "n", "state") if k in verdict}
    evidence |= {k: verdict[k] for k in ("suspicions", "accepted") if verdict.get(k)}
    sentence = verdict["sentence"]
    removed = rolled_back(past, registered.package_sha256)
    promote = verdict["verdict"] == "promote" and registered.version != champion
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
    decision = Decision(
        model=registered.model,
        action="promote" if promote else "keep",
        version=registered.version,
        champion=registered.version if promote else champion,
        package_sha256=registered.package_sha256,
        reason=sentence,
        by=by,
        key=key,
        evidence=evidence,
    )
    compared_with = champion
    about = root / CHAMPION / "champion.json"
    if promote:
        compared_with = read_json(about)["version"] if about.exists() else None
    counted = root / VERDICT / "counted.parquet"
    made = history.record(decision, compared_with, counted.read_bytes() if counted.exists() else None)
    champion_now = history.champion(registered.model)
    now = champion_now.champion if champion_now else None
    Registry(root).follow(registered.model, now, registered.version)
    return Standing(registered.version, now, made.reason)


# By hand ---------------------------------------------------------------------------------------------------


def promote(root: Path, model: str, version: str | None, reason: str, check: Check | None) -> Decision:
    """Make a version champion by a person's decision; default: the newest version that is not."""
    history, registry = History(root), Registry(root)
    champion = history.champion(model)
    now = champion.champion if champion else None
    if version is None:
        others = [r for r in registry.versions(model) if r.version != now]
        if not others:
            raise RefitError(f"{model}: no version to promote; `refit run` makes one.")
        version = others[-1].version
    return enthrone(root, registry.version(model, version), "promote", reason, now, check)


def rollback(root: Path, model: str, version: str | None, reason: str) -> Decision:
    """Put an earlier version back on the throne; default: the champion before the present one."""
    history = History(root)
    past = history.decisions(model)
    champion = past[-1].champion if past else None
    if champion is None:
        raise RefitError(f"{model}: there is no champion yet, so nothing can be rolled back.")
    if version is None:
        order = reigns(past)
        if len(order) < 2:
            raise RefitError(
                f"{model}: version {champion} is the first champion; nothing stood before it. "
                "`refit rollback --to VERSION` names another."
            )
        version = order[-2]
    return enthrone(root, Registry(root).version(model, version), "rollback", reason, champion, None)


def enthrone(
    root: Path, registered: Registered, action: str, reason: str, expected: str | None, check: Check | None
) -> Decision:
    """The one way onto the throne by hand: package whole, then checked, then one row, then MLflow's alias."""
    if not reason.strip():
        raise RefitError("--reason: say why in a few words; it is kept in the history.")
    registry, history = Registry(root), History(root)
    if registered.version == expected:  # a repeat after a crash between the row and the alias
        registry.follow(registered.model, expected)
        return reigning(history.decisions(registered.model))  # type: ignore[return-value]
    folder = root / ".refit" / "versions" / registered.package_sha256[:16]
    if not _whole(folder, registered.package_sha256):
        registry.fetch(registered, folder)
    if check is not None:
        check(folder)
    decision = Decision(
        model=registered.model,
        action="rollback" if action == "rollback" else "promote",
        version=registered.version,
        champion=registered.version,
        package_sha256=registered.package_sha256,
        reason=reason.strip(),
        by=person(),
        key=f"hand:{uuid.uuid4().hex}",
    )
    made = history.record(decision, expected=expected)
    registry.follow(registered.model, registered.version)
    return made


def suspected(root: Path, made: Decision) -> list[str]:
    """What the verdict about this version suspected as a leak, one line each: a person who promotes by hand sees it."""
    about = (d for d in reversed(History(root).decisions(made.model)) if d.package_sha256 == made.package_sha256)
    evidence = next((d.evidence for d in about if "verdict" in d.evidence), {})
    return [f"suspected as a leak: {s['column']} {s['said']}" for s in evidence.get("suspicions", [])]


def exported_champion(root: Path, model: str) -> tuple[Path, str]:
    """The champion's package as a folder below ``.refit/serving``, and its version."""
    champion = History(root).champion(model)
    if champion is None or champion.champion is None:
        raise RefitError(
            f"{model}: there is no champion to serve yet. Run `refit run`, or name a folder: --package DIR."
        )
    folder = root / ".refit" / "serving" / champion.champion
    if not _whole(folder, champion.package_sha256):
        registry = Registry(root)
        registry.fetch(registry.version(model, champion.champion), folder)
    return folder, champion.champion


def person() -> str:
    """Who gives the command, for the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


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


__all__ = [
    "Answer",
    "Overtaken",
    "Standing",
    "decide",
    "enthrone",
    "finish",
    "promote",
    "register",
    "result",
    "rollback",
    "standing",
    "write_as_of",
    "write_champion",
    "write_starts",
]
