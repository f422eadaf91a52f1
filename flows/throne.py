"""Who is champion, and where its package is: one answer for whoever asks, whatever else was lost or moved.

The history (:mod:`tasks.registry.history`) alone says who reigns, and by a package's SHA-256. Two places keep the
mark of the decision that they followed last, so that a history which is not there is never taken for an empty one:
``champion.lock`` of the project (kept in git, as ``dvc.lock`` is) and the registered model in MLflow. ``data/champion`` and
``data/start`` tell of a champion, too. The package itself is taken from wherever a whole copy with that hash lies.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from tasks.errors import RefitError, some
from tasks.files import read_json, replacing_dir, sha256, write_json
from tasks.registry.history import Decision, History, highest, history_url, knows, mark, named, reigning
from tasks.registry.tracking import Registered, Registry, Said, tracking_uri

CHAMPION, PACKAGE, START = "data/champion", "data/package", "data/start"
LOCK = "champion.lock"
KEPT = ".refit/versions"  # packages by the first digits of their hash
RECENT = 8
CONNECT = (
    "Connect to the history that has it (REFIT_HISTORY names its database; docs/champion.md), or take the champion over "
    "into this one: `refit adopt --reason ...`"
)
ANOTHERS = "If that is another project's model: name another problem.name, or another MLFLOW_TRACKING_URI."


# Who ------------------------------------------------------------------------------------------------------------------


def decisions(root: Path, model: str, registry: Registry | None) -> list[Decision]:
    """All decisions about a model, oldest first, from the history that the project and its registry have followed.

    ``registry`` None: MLflow is not asked (it takes seconds to load).

    Raises
    ------
    RefitError
        If the lock, the registry or the project's files know a decision or a champion that the history does not.
    """
    # The marks first: what is written there was in the history before.
    lock, said = lock_of(root), registry.said(model) if registry is not None else Said(None, None)
    history = History(root)
    past = history.decisions(model)
    of_lock = lock["decision"] if lock is not None and lock["model"] == model else None
    here = f"the history here ({history.shown}: {len(past) or 'no'} decisions)"
    if of_lock is not None and lock is not None and not knows(past, of_lock):
        raise RefitError(
            f"{model}: {LOCK} follows decision {_number(of_lock)} ({_called(lock)}), which is not in {here}. Nothing was "
            f"done. {CONNECT}."
        )
    if registry is not None and past and _foreign(registry, model, said, past):
        raise RefitError(
            f"{model}: {_said(registry, said)}, which is not in {here}. Nothing was done. {CONNECT}. {ANOTHERS}"
        )
    if not past:
        _refuse_to_forget(root, model, lock, said, registry)
    return past


def _foreign(registry: Registry, model: str, said: Said, past: list[Decision]) -> bool:
    """Whether a registry follows another history than this one."""
    if said.decision is not None:
        return not knows(past, said.decision)
    if said.champion is None:
        return False
    # Written before registries kept marks: its champion must be a package that was decided on here.
    known = {d.package_sha256 for d in past}
    return any(r.version == said.champion and r.package_sha256 not in known for r in registry.versions(model))


def _number(marked: str | None) -> str:
    return (marked or "?").partition(":")[0]


def _said(registry: Registry, said: Said) -> str:
    champion = "no champion" if said.champion is None else f"champion: version {said.champion} there"
    return f"the registry ({registry.shown}) follows decision {_number(said.decision)} ({champion})"


def _called(lock: dict[str, Any]) -> str:
    if lock["version"] is None:
        return "no champion"
    return f"champion: version {lock['version']}, package {lock['package_sha256'][:12]}"


def _refuse_to_forget(
    root: Path, model: str, lock: dict[str, Any] | None, said: Said, registry: Registry | None
) -> None:
    """Raise where something tells of a champion, though the history is empty or not there."""
    where = f"and the history here ({History(root).shown}) has no decision about {model}"
    anew = "or begin a history without it: `refit adopt --none --reason ...`"
    if registry is not None and (said.champion is not None or said.decision is not None):
        raise RefitError(f"{model}: {_said(registry, said)}, {where}. Nothing was done. {CONNECT}. {ANOTHERS}")
    about = root / CHAMPION / "champion.json"
    held = read_json(about) if about.exists() else None
    names = [lock["model"]] if lock is not None and lock["package_sha256"] else []
    names += [held.get("name", model)] if held is not None else []
    called = next((name for name in names if name != model), None)
    if called is not None:
        raise RefitError(
            f"problem.name: this project's champion is that of {called!r}, and params.yaml says {model!r}. A package keeps "
            f"the name that it was made with, so it cannot be champion under another. Put {called!r} back, {anew}."
        )
    if held is not None:
        raise RefitError(
            f"{model}: {CHAMPION} holds version {held['version']} (package {held['package_sha256'][:12]}), {where}. "
            f"Nothing was done. {CONNECT}, {anew}."
        )
    if (root / START / "params.json").exists():
        raise RefitError(
            f"{model}: {START}/params.json holds a champion's parameters, {where}. Nothing was done. {CONNECT}, {anew}."
        )


def lock_of(root: Path) -> dict[str, Any] | None:
    """What ``champion.lock`` says; None where there is none."""
    path = root / LOCK
    if not path.exists():
        return None
    try:
        lock = read_json(path)
        return {name: lock[name] for name in ("model", "version", "package_sha256", "decision")}
    except (RefitError, KeyError, TypeError):
        raise RefitError(
            f"{path}: cannot be read (two branches merged?). Restore it from git, or remove it: the next decision "
            "writes it anew, and until then the registry alone tells whether the history is whole."
        ) from None


# Where its package is -------------------------------------------------------------------------------------------------


def whole(folder: Path, digest: str) -> bool:
    """Whether a folder is the package of this hash, with every file as it was made."""
    from tasks.bundle.manifest import read_manifest

    try:
        read_manifest(folder)
        return sha256(folder / "bundle.json") == digest
    except (RefitError, OSError):
        return False


def near(root: Path, digest: str) -> Path | None:
    """A whole copy of a package in the project's own folders; None: there is none."""
    kept = root / KEPT / digest[:16]
    return next((f for f in (kept, root / CHAMPION / "package", root / PACKAGE) if whole(f, digest)), None)


def keep(root: Path, digest: str) -> Path | None:
    """Keep a copy of a package below ``.refit/versions``, where no stage changes it; None: it is not here."""
    found, folder = near(root, digest), root / KEPT / digest[:16]
    if found is None or found == folder:
        return found
    try:
        with replacing_dir(folder) as fresh:
            shutil.copytree(found, fresh, dirs_exist_ok=True)
    except OSError:
        if not whole(folder, digest):  # else another process was quicker
            raise
    return folder


def prune(root: Path, past: list[Decision]) -> None:
    """Remove old copies of packages, and what a kill left of one: all but those of the last :data:`RECENT` champions.

    What was written within a day stays: another command may be at work on it.
    """
    recent = {
        digest[:16]
        for digest in list(dict.fromkeys(d.package_sha256 for d in reversed(past) if d.action != "keep"))[:RECENT]
    }
    for folder in (root / KEPT).glob("*"):
        if folder.name not in recent and time.time() - folder.stat().st_mtime > 86400:
            shutil.rmtree(folder, ignore_errors=True)


def package(root: Path, model: str, digest: str, version: str | None, registry: Registry | None = None) -> Path:
    """The folder with a package, whole and of this hash: a copy here, or else the registry's.

    Raises
    ------
    RefitError
        If no place has it; says which were looked at.
    """
    found = keep(root, digest)
    if found is not None:
        return found
    registry = registry or Registry(root)
    registered, why = registry.holding(model, digest), "does not know it"
    if registered is not None:
        try:
            return registry.fetch(registered, root / KEPT / digest[:16])
        except RefitError as error:
            why = str(error)
    raise RefitError(
        f"{model}: the package of version {version} ({digest[:12]}) is gone: it is neither in {KEPT}, {CHAMPION} nor "
        f"{PACKAGE}, and the registry ({registry.shown}) {why if registered is None else f'says: {why}'}. Nothing was done. "
        "Set MLFLOW_TRACKING_URI to the registry that has it, or restore that; `refit rollback --to VERSION` makes "
        "another version champion, and `refit adopt --none --reason ...` begins without one."
    )


def served(root: Path, model: str) -> tuple[Path, str]:
    """The champion's package, and the version's number that its answers carry."""
    folder, version, _ = to_serve(root, model)
    return folder, version


def to_serve(root: Path, model: str) -> tuple[Path, str, str]:
    """As :func:`served`, with the package's SHA-256 as the history has it: another package must not be served."""
    champion = reigning(decisions(root, model, None))
    if champion is None:
        raise RefitError(
            f"{model}: there is no champion to serve yet. Run `refit run`, or name a folder: --package DIR."
        )
    digest, version = champion.package_sha256, str(champion.champion)
    return package(root, model, digest, champion.champion), version, digest


def vouched(root: Path, folder: Path, expected: str | None) -> tuple[str, str]:
    """Who says that this folder holds what is meant: a person by its SHA-256, or the history, which decided on it.

    Returns the version's number as the history has it ("unregistered" where it has none), and the SHA-256.

    Raises
    ------
    RefitError
        If the package is damaged, another one than a person says, or neither they nor the history name it.
    """
    from tasks.bundle.manifest import DIGEST, examine

    if expected is not None and not DIGEST.fullmatch(expected.lower()):
        raise RefitError(f"--sha256: 64 hexadecimal digits are needed, found {expected[:80]!r}")
    found = examine(folder, None if expected is None else expected.lower())
    version = ""
    try:
        version = label(History(root).decisions(found.about["name"]), found.identity, "")
    except RefitError:  # a history out of reach; a person's word is enough
        if expected is None:
            raise
    if not version and expected is None:
        raise RefitError(
            f"{folder}: its identity is {found.identity}, and the history here ({History(root).shown}) knows no such package "
            f"of {found.about['name']}. If it is the one that you mean: --sha256 {found.identity}"
        )
    return version or "unregistered", found.identity


def registered(
    root: Path, registry: Registry, model: str, digest: str, version: str, past: list[Decision]
) -> Registered:
    """A package's version in this registry; one that does not know it gets it registered again.

    Under its old number where that is free, else under the next.
    """
    found = registry.holding(model, digest)
    if found is not None:
        return found
    folder = package(root, model, digest, version, registry)
    return registry.register(model, folder, registry.restored(model, digest), above(past, digest, version))


def above(past: list[Decision], digest: str, version: str) -> int:
    """The number that a package's version must be above in a registry that does not know it, so that it keeps its own.

    No number that the history has for one package is given to another.
    """
    mine = version.isdecimal() and int(version) > 0 and named(past, version) in ([], [digest])
    return int(version) - 1 if mine else highest(past)


def meant(registry: Registry, model: str, text: str, past: list[Decision]) -> str:
    """The hash of the package that a person means by a version: its number, or eight and more digits of the hash.

    Raises
    ------
    RefitError
        If there is no such version, or its number means one package in the registry and another in the history.
    """
    listed = registry.versions(model)
    if len(text) >= 8:
        digests = {one.package_sha256 for one in listed} | {d.package_sha256 for d in past}
        found = sorted(digest for digest in digests if digest.startswith(text.lower()))
    else:
        found = named(past, text)
        found += [one.package_sha256 for one in listed if one.version == text and one.package_sha256 not in found]
    if not found:
        return registry.version(model, text).package_sha256  # says which there are
    if len(found) > 1:
        raise RefitError(
            f"{model}: version {text!r} means several packages, since the history has numbers of another registry: "
            f"{some([digest[:12] for digest in found])}. Name one by these digits instead."
        )
    return found[0]


def known(registry: Registry, model: str, text: str, past: list[Decision]) -> Registered:
    """The version that a person means (:func:`meant`), of those that are in this registry."""
    digest = meant(registry, model, text, past)
    found = registry.holding(model, digest)
    if found is None:
        raise RefitError(
            f"{model}: version {text} (package {digest[:12]}) is in the history, and the registry ({registry.shown}) does not "
            "know it. Set MLFLOW_TRACKING_URI to the one that does."
        )
    return found


def resolve(root: Path, registry: Registry, model: str, text: str, past: list[Decision]) -> Registered:
    """The version that a person means (:func:`meant`), in this registry."""
    digest = meant(registry, model, text, past)
    return registered(root, registry, model, digest, label(past, digest, text), past)


def label(past: list[Decision], digest: str, otherwise: str) -> str:
    """The number under which a package was decided on last."""
    return next((d.version for d in reversed(past) if d.package_sha256 == digest), otherwise)


# Who follows ----------------------------------------------------------------------------------------------------------


def follow(root: Path, registry: Registry, model: str, challenger: str | None = None) -> Decision | None:
    """Let the lock and MLflow's aliases follow the history; returns the decision that made the champion.

    Repeated until nobody decided meanwhile: of two at once, the later look at the history has the last word.
    """
    history = History(root)
    past = history.decisions(model)
    while True:
        champion = reigning(past)
        version = None
        if champion is not None:
            digest, old = champion.package_sha256, str(champion.champion)
            version = registered(root, registry, model, digest, old, past).version
        last = mark(past[-1]) if past else None
        if last is not None and registry.said(model).decision != last:
            _keep_account(registry, history, past, champion)
        registry.follow(model, version, challenger, last)
        _write_lock(root, past, champion)
        seen, past = past, history.decisions(model)
        if len(past) == len(seen):
            return champion


def _keep_account(registry: Registry, history: History, past: list[Decision], champion: Decision | None) -> None:
    """Let the registry keep what the policy must remember, for a history that adopts this champion one day."""
    if champion is None:
        return
    state = next((d.evidence["state"] for d in reversed(past) if "state" in d.evidence), None)
    registry.keep_account(
        champion.model, champion.package_sha256, champion.number, state, history.counted(champion.model)
    )


def _write_lock(root: Path, past: list[Decision], champion: Decision | None) -> None:
    if not past:
        return
    value = {
        "model": past[-1].model,
        "version": champion.champion if champion else None,
        "package_sha256": champion.package_sha256 if champion else "",
        "decision": mark(past[-1]),
    }
    path = root / LOCK
    try:
        same = path.exists() and read_json(path) == value
    except RefitError:
        same = False
    if not same:
        write_json(path, value)


def ready(root: Path, model: str, asked: bool) -> None:
    """Before any long work: refuse where the history is not whole, or the champion's package is nowhere.

    ``asked``: all effects of an earlier run ended with this very history and registry, so that MLflow need not be
    opened to ask again.
    """
    registry = Registry(root) if not asked and reachable(root) else None
    past = decisions(root, model, registry)
    champion = reigning(past)
    if champion is not None:
        package(root, model, champion.package_sha256, champion.champion, registry)
    _write_lock(root, past, champion)


def reachable(root: Path) -> bool:
    """False where the registry is a file that is not there (a server is asked, and says so itself)."""
    uri = tracking_uri(root)
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


def stand(root: Path, last: Decision | None) -> list[str | None]:
    """What tells one state of history and registry from every other."""
    return [tracking_uri(root), history_url(root), mark(last) if last is not None else None]
