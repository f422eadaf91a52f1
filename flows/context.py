"""What stages need from outside, written as files before they run: up to when data counts, the champion, where tuning begins.

Each may be written again after a crash at any point: what is there already is left as it is. ``python -m flows.context``
puts the present champion into ``data/champion``, for `dvc repro` and experiments, and lists it in ``refit.dvc``.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from flows.carried import carry_in
from flows.champions import decisions
from flows.packages import CHAMPION, START, digest_made, is_whole, keep_copy, package_folder
from tasks import stage
from tasks.artifacts import AsOf, ChampionFile, Measured, Past, PastDecision, PolicyState, Starts
from tasks.artifacts.folders import CONTEXT
from tasks.errors import RefitError
from tasks.files import read_json, replacing, replacing_dir, write_json
from tasks.params import load, parse_moment
from tasks.registry.history import Decision, DecisionHistory, current_champion


def write_as_of(root: Path, as_of: str | None) -> None:
    """Write ``data/context/as_of.json``, or remove it where ``data.as_of`` of ``params.yaml`` shall count."""
    path, wanted = root / CONTEXT / AsOf.NAME, asked_as_of(as_of)
    if wanted is None:
        path.unlink(missing_ok=True)
        return
    _write_if_new(path, wanted.to_json())


def asked_as_of(as_of: str | None) -> AsOf | None:
    """What ``data/context/as_of.json`` shall say; None: ``data.as_of`` of ``params.yaml`` counts."""
    return None if as_of is None else AsOf(as_of=moment(as_of).isoformat())


def moment(text: str) -> datetime:
    """Read a moment given on the command line."""
    try:
        return parse_moment(text)
    except ValueError as error:
        raise RefitError(f"{error}; found {text!r}.") from None


def write_warm_start(root: Path, model: str) -> str | None:
    """Write the champion's parameters by family to ``data/start``, where tuning begins; returns its version.

    Call only where every search runs anyway: the file is a dependency of all of them.
    """
    champion, path = current_champion(decisions(root, model, None)), root / START / Starts.NAME
    if champion is None:
        path.unlink(missing_ok=True)
        return None
    folder = package_folder(root, model, champion.package_sha256, champion.champion)
    starts: dict[str, list[dict[str, JsonValue]]] = {}
    for state in (read_json(file) for file in sorted((folder / "model").rglob("model.json"))):
        if "params" in state:  # not in the oldest packages
            starts.setdefault(state["family"], []).append(state["params"])
    _write_if_new(path, Starts(params=starts).to_json())
    return champion.champion


def write_champion(root: Path, model: str) -> str | None:
    """Put the champion where the comparison reads it; returns its version.

    Called when the new package exists, just before the first stage that reads ``data/champion``. Where that package
    is the champion itself, the files stay: they are what it was compared with when it was promoted.
    """
    champion = current_champion(decisions(root, model, None))
    digest = digest_made(root)
    if champion is not None and digest == champion.package_sha256:
        keep_copy(root, digest)  # the next run writes another package over it
        return champion.champion
    return place_champion(root, model)


def place_champion(root: Path, model: str) -> str | None:
    """As :func:`write_champion`, also where the newest package is the champion: the next one is compared with it."""
    past = decisions(root, model, None)
    champion = current_champion(past)
    digest = digest_made(root)
    folder = root / CHAMPION
    # What this very package came to against this champion is not part of what it is judged by.
    since = champion.number if champion is not None else 0
    others = [d for d in past if d.package_sha256 != digest or d.number <= since or not _against(d, champion)]
    _write_past(folder, others)
    state = next((d.evidence["state"] for d in reversed(others) if "state" in d.evidence), None)
    if state is None:
        (folder / PolicyState.NAME).unlink(missing_ok=True)
    else:
        _write_if_new(folder / PolicyState.NAME, state)
    counted = DecisionHistory(root).counted(model)
    _write_counted(folder / "counted", {d.number: counted[d.number] for d in others if d.number in counted})
    about, copy = folder / ChampionFile.NAME, folder / "package"
    if champion is None:
        about.unlink(missing_ok=True)
        shutil.rmtree(copy, ignore_errors=True)
        return None
    held = ChampionFile.find(folder)
    of = (champion.champion, champion.package_sha256, champion.number)
    if (
        held is None
        or (held.version, held.package_sha256, held.since) != of
        or not is_whole(copy, champion.package_sha256)
    ):
        source = package_folder(root, model, champion.package_sha256, champion.champion)
        about.unlink(missing_ok=True)
        with replacing_dir(copy) as fresh:
            shutil.copytree(source, fresh, dirs_exist_ok=True)
        version, digest, number = of
        ChampionFile(version=str(version), package_sha256=digest, since=number, name=model).write(folder)
    return champion.champion


def _write_past(folder: Path, earlier: list[Decision]) -> None:
    """What was decided before, for the report: a stage asks no registry."""
    if not earlier:
        (folder / Past.NAME).unlink(missing_ok=True)
        return
    decisions = [
        PastDecision(
            number=d.number,
            action=d.action,
            version=d.version,
            champion=d.champion,
            by=d.by,
            measured=Measured.model_validate(d.evidence.get("measured", {})),
        )
        for d in earlier
    ]
    _write_if_new(folder / Past.NAME, Past(decisions=decisions).to_json())


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


def _write_if_new(path: Path, value: object) -> None:
    """An unchanged file keeps its time, so that DVC need not hash it again."""
    if not path.exists() or read_json(path) != value:
        write_json(path, value)


def main() -> None:
    """Put the present champion where the comparison reads it, for what `dvc repro` and `dvc exp run` make next."""
    model = load().problem.name
    version = place_champion(Path.cwd(), model)
    carry_in(Path.cwd())
    stage.log(f"{CHAMPION}: version {version} of {model}" if version else f"{CHAMPION}: {model} has no champion yet")


if __name__ == "__main__":
    stage.run(main)
