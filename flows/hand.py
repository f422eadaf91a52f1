"""What a person decides: promote, roll back, adopt. Each checks the package first, then writes one row, then MLflow follows."""

from __future__ import annotations

import getpass
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from flows import champions, inputs, packages, versions
from flows.packages import digest_made
from tasks.artifacts import ChampionFile, PolicyState, Verdict
from tasks.errors import RefitError
from tasks.files import optional_json, sha256
from tasks.registry.history import Action, Decision, DecisionHistory, champions_in_order, current_champion
from tasks.registry.tracking import Registered, Registry, tracking_uri

Check = Callable[[Path], object]  # boots a package and raises RefitError where it does not answer as it should


def promote(root: Path, model: str, version: str | None, reason: str, check: Check | None) -> Decision:
    """Make a version champion by a person's decision; default: the newest version that is not."""
    registry = Registry(root)
    past = champions.decisions(root, model, registry)
    champion = current_champion(past)
    if version is None:
        now = champion.package_sha256 if champion else None
        others = [r for r in registry.versions(model) if r.package_sha256 != now]
        if not others:
            raise RefitError(f"{model}: no version to promote; `refit run` makes one.")
        chosen = others[-1]
    else:
        chosen = versions.resolve(root, registry, model, version, past)
    return _make_champion(root, registry, chosen, "promote", reason, champion, check)


def rollback(root: Path, model: str, version: str | None, reason: str) -> Decision:
    """Make an earlier version champion again; default: the champion before the present one."""
    registry = Registry(root)
    past = champions.decisions(root, model, registry)
    champion = current_champion(past)
    if champion is None:
        raise RefitError(f"{model}: there is no champion yet, so nothing can be rolled back.")
    if version is not None:
        chosen = versions.resolve(root, registry, model, version, past)
    else:
        order = champions_in_order(past)
        if len(order) < 2:
            raise RefitError(
                f"{model}: version {champion.champion} is the first champion; nothing stood before it. "
                "`refit rollback --to VERSION` names another."
            )
        before = order[-2]
        chosen = versions.registered(root, registry, model, before.package_sha256, before.version, past)
    return _make_champion(root, registry, chosen, "rollback", reason, champion, None)


def _make_champion(
    root: Path,
    registry: Registry,
    chosen: Registered,
    action: str,
    reason: str,
    champion: Decision | None,
    check: Check | None,
) -> Decision:
    """The one way to make a champion by hand: package whole, then checked, then one row, then MLflow's alias."""
    _reasoned(reason)
    model, digest = chosen.model, chosen.package_sha256
    if champion is not None and digest == champion.package_sha256:  # perhaps after a crash between row and alias
        return champions.follow(root, registry, model) or champion
    folder = packages.package_folder(root, model, digest, chosen.version, registry)
    if check is not None:
        check(folder)
    decision = Decision(
        model=model,
        action="rollback" if action == "rollback" else "promote",
        version=chosen.version,
        champion=chosen.version,
        package_sha256=digest,
        reason=reason.strip(),
        by=person(),
        key=f"hand:{uuid.uuid4().hex}",
    )
    inputs.keep(root, registry, chosen)
    made = DecisionHistory(root).record(decision, champion.package_sha256 if champion else None)
    champions.follow(root, registry, model)
    return made


def suspected(root: Path, made: Decision) -> list[str]:
    """What the verdict about this version suspected as a leak, one line each: a person who promotes by hand sees it."""
    about = (
        d for d in reversed(DecisionHistory(root).decisions(made.model)) if d.package_sha256 == made.package_sha256
    )
    evidence = next((d.evidence for d in about if "verdict" in d.evidence), {})
    return [f"suspected as a leak: {s['column']} {s['said']}" for s in evidence.get("suspicions", [])]


# Adoption -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """What the policy must remember about a champion: its state, and the rows that each look counted, by number.

    ``since``: the number of the decision that made it champion; rows of looks up to there are not fresh.
    """

    place: str
    since: int = 0
    state: object = None
    looks: dict[int, bytes] = field(default_factory=dict)


def adopt(root: Path, model: str, version: str | None, reason: str, check: Check | None) -> Decision:
    """Take over the champion of the registry, or of this project's files, into a history that does not know it.

    It is a row of its own kind, which brings the policy's state; a row before or after it for each look whose counted
    rows are known. Raises :class:`RefitError` where nothing tells which package was champion, or it is gone.
    """
    _reasoned(reason)
    registry, history = Registry(root), DecisionHistory(root)
    past = history.decisions(model)
    digest, number = (
        _champion_to_adopt(root, registry, model) if version is None else _named(root, registry, model, version, past)
    )
    champion = current_champion(past)
    if champion is not None and champion.package_sha256 == digest:
        return champions.follow(root, registry, model) or champion
    folder = packages.package_folder(root, model, digest, number, registry)
    if check is not None:
        check(folder)
    chosen = versions.registered(root, registry, model, digest, number, past)
    inputs.keep(root, registry, chosen)
    account, key, by = _account(root, registry, model, digest), f"adopt:{uuid.uuid4().hex}", person()
    known = set(history.counted(model).values())

    def row(action: Action, why: str, key: str, evidence: dict[str, object]) -> Decision:
        return Decision(model, action, chosen.version, chosen.version, digest, why, by, key, evidence)

    looks = [
        (
            number,
            (
                row(
                    "keep", f"rows that look {number} had counted, taken over ({account.place})", f"{key}:{number}", {}
                ),
                rows,
            ),
        )
        for number, rows in sorted(account.looks.items())
        if rows not in known
    ]
    evidence: dict[str, object] = {"adopted": {"from": account.place, "looks": len(looks)}}
    if account.state is not None:
        evidence["state"] = account.state
    entries: list[tuple[Decision, bytes | None]] = [entry for number, entry in looks if number <= account.since]
    entries.append((row("adopt", reason.strip(), key, evidence), None))
    entries += [entry for number, entry in looks if number > account.since]
    history.record_all(entries, champion.package_sha256 if champion else None)
    champions.follow(root, registry, model)
    return next(d for d in history.decisions(model) if d.key == key)


def adopt_nothing(root: Path, model: str, reason: str) -> Decision:
    """Begin anew, as a recorded decision: whatever was champion elsewhere, there is none in this history.

    Refused where the registry is shared and has a champion: it would lose it for all.
    """
    _reasoned(reason)
    registry, history = Registry(root), DecisionHistory(root)
    followed = registry.state(model)
    own = tracking_uri(root) == f"sqlite:///{root.resolve() / '.refit' / 'mlflow.db'}"
    if followed.champion is not None and not own:
        raise RefitError(
            f"--none: version {followed.champion} of {model} is champion in the registry ({registry.shown}), for all who use "
            "it. Give this project's model a name of its own (problem.name), or another registry (MLFLOW_TRACKING_URI)."
        )
    champion = history.champion(model)
    decision = Decision(model, "adopt", "none", None, "", reason.strip(), person(), f"adopt:{uuid.uuid4().hex}")
    made = history.record(decision, champion.package_sha256 if champion else None)
    champions.follow(root, registry, model)
    return made


def _champion_to_adopt(root: Path, registry: Registry, model: str) -> tuple[str, str]:
    """Hash and number of the champion that registry, lock or files tell of, in this order."""
    followed, lock = registry.state(model), champions.lock_of(root)
    if followed.champion is not None:
        return registry.version(model, followed.champion).package_sha256, followed.champion
    if lock is not None and lock.model == model and lock.package_sha256:
        return lock.package_sha256, str(lock.version)
    held = ChampionFile.find(root / packages.CHAMPION)
    if held is not None:
        verdict, newer = Verdict.find(root / "data" / "verdict"), digest_made(root)
        if newer not in (None, held.package_sha256) and verdict is not None and verdict.verdict == "promote":
            raise RefitError(
                f"{model}: {packages.CHAMPION} holds what the newest package was compared with, and the verdict was to promote "
                f"that package; no file tells whether it was. Say which: `refit adopt {newer[:12]} --reason ...` for "
                f"{packages.PACKAGE}, `refit adopt {held.package_sha256[:12]} --reason ...` for {packages.CHAMPION}."
            )
        if held.name in (None, model):
            return held.package_sha256, held.version
    raise RefitError(
        f"{model}: nothing tells of a champion: neither the registry ({registry.shown}) nor {champions.LOCK} nor "
        f"{packages.CHAMPION}. Set MLFLOW_TRACKING_URI to the registry that has it, name a package (`refit adopt VERSION`), or "
        "begin without one: `refit adopt --none --reason ...`."
    )


def _named(root: Path, registry: Registry, model: str, version: str, past: list[Decision]) -> tuple[str, str]:
    """Hash and number of a named version; digits of a hash may also mean a package in the project's folders."""
    if len(version) >= 8:
        for folder in (packages.CHAMPION / "package", packages.PACKAGE):
            path = root / folder / "bundle.json"
            if path.exists() and (digest := sha256(path)).startswith(version.lower()):
                return digest, versions.number_of(past, digest, "0")
    digest = versions.meant(registry, model, version, past)
    return digest, versions.number_of(past, digest, version if len(version) < 8 else "0")


def _account(root: Path, registry: Registry, model: str, digest: str) -> Account:
    """The account of a champion: what the registry keeps, else what ``data/champion`` holds, else none."""
    kept = registry.account(model, digest)
    if kept is not None:
        return Account(f"from {registry.shown}", *kept)
    folder = root / packages.CHAMPION
    about = ChampionFile.find(folder)
    if about is None or about.package_sha256 != digest:
        return Account("no account of earlier looks was found")
    state = optional_json(folder / PolicyState.NAME)
    looks = {int(path.stem): path.read_bytes() for path in sorted((folder / "counted").glob("*.parquet"))}
    return Account(f"from {packages.CHAMPION}", about.since, state, looks)


# All ------------------------------------------------------------------------------------------------------------------


def _reasoned(reason: str) -> None:
    if not reason.strip():
        raise RefitError("--reason: say why in a few words; it is kept in the history.")


def person() -> str:
    """Who gives the command, for the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
