"""Who is champion: one answer for whoever asks, whatever else was lost or moved.

The history (:mod:`tasks.registry.history`) alone says which package is champion, by its SHA-256. Two places keep the
mark of the decision that they followed last, so that a history which is not there is never taken for an empty one:
``champion.lock`` of the project (kept in git, as ``dvc.lock`` is) and the registered model in MLflow. ``data/champion`` and
``data/start`` tell of a champion, too. Where the package is, :mod:`flows.packages` says.
"""

from __future__ import annotations

from pathlib import Path

from flows.packages import CHAMPION, START, package_folder
from flows.versions import registered
from tasks.artifacts import ChampionFile, ChampionLock, Starts
from tasks.errors import RefitError
from tasks.registry.history import Decision, DecisionHistory, current_champion, history_url, knows, mark, minute
from tasks.registry.tracking import Registry, RegistryState, tracking_uri

LOCK = ChampionLock.NAME
CONNECT = (
    "Connect to the history that has it (REFIT_HISTORY names its database; docs/champion.md), or take the champion over "
    "into this one: `refit adopt --reason ...`"
)
ANOTHERS = "If that is another project's model: name another problem.name, or another MLFLOW_TRACKING_URI."


def decisions(root: Path, model: str, registry: Registry | None) -> list[Decision]:
    """All decisions about a model, oldest first, from the history that the project and its registry have followed.

    ``registry`` None: MLflow is not asked (it takes seconds to load).

    Raises
    ------
    RefitError
        If the lock, the registry or the project's files know a decision or a champion that the history does not.
    """
    # The marks first: what is written there was in the history before.
    lock, followed = lock_of(root), registry.state(model) if registry is not None else RegistryState(None, None)
    history = DecisionHistory(root)
    past = history.decisions(model)
    of_lock = lock.decision if lock is not None and lock.model == model else None
    here = f"the history here ({history.shown}: {len(past) or 'no'} decisions)"
    if of_lock is not None and lock is not None and not knows(past, of_lock):
        raise RefitError(
            f"{model}: {LOCK} follows decision {_number(of_lock)} ({_called(lock)}), which is not in {here}. Nothing was "
            f"done. {CONNECT}."
        )
    if registry is not None and past and _foreign(registry, model, followed, past):
        raise RefitError(
            f"{model}: {_registry_follows(registry, followed)}, which is not in {here}. Nothing was done. {CONNECT}. {ANOTHERS}"
        )
    if not past:
        _refuse_to_forget(root, model, lock, followed, registry)
    return past


def _foreign(registry: Registry, model: str, followed: RegistryState, past: list[Decision]) -> bool:
    """Whether a registry follows another history than this one."""
    if followed.decision is not None:
        return not knows(past, followed.decision)
    if followed.champion is None:
        return False
    # Written before registries kept marks: its champion must be a package that was decided on here.
    known = {d.package_sha256 for d in past}
    return any(r.version == followed.champion and r.package_sha256 not in known for r in registry.versions(model))


def _number(marked: str | None) -> str:
    return (marked or "?").partition(":")[0]


def _registry_follows(registry: Registry, followed: RegistryState) -> str:
    champion = "no champion" if followed.champion is None else f"champion: version {followed.champion} there"
    return f"the registry ({registry.shown}) follows decision {_number(followed.decision)} ({champion})"


def _called(lock: ChampionLock) -> str:
    if lock.version is None:
        return "no champion"
    return f"champion: version {lock.version}, package {lock.package_sha256[:12]}"


def _refuse_to_forget(
    root: Path, model: str, lock: ChampionLock | None, followed: RegistryState, registry: Registry | None
) -> None:
    """Raise where something tells of a champion, though the history is empty or not there."""
    where = f"and the history here ({DecisionHistory(root).shown}) has no decision about {model}"
    anew = "or begin a history without it: `refit adopt --none --reason ...`"
    if registry is not None and (followed.champion is not None or followed.decision is not None):
        raise RefitError(
            f"{model}: {_registry_follows(registry, followed)}, {where}. Nothing was done. {CONNECT}. {ANOTHERS}"
        )
    held = ChampionFile.find(root / CHAMPION)
    names = [lock.model] if lock is not None and lock.package_sha256 else []
    names += [held.name or model] if held is not None else []
    called = next((name for name in names if name != model), None)
    if called is not None:
        raise RefitError(
            f"problem.name: this project's champion is that of {called!r}, and params.yaml says {model!r}. A package keeps "
            f"the name that it was made with, so it cannot be champion under another. Put {called!r} back, {anew}."
        )
    if held is not None:
        raise RefitError(
            f"{model}: {CHAMPION} holds version {held.version} (package {held.package_sha256[:12]}), {where}. "
            f"Nothing was done. {CONNECT}, {anew}."
        )
    if (root / START / Starts.NAME).exists():
        raise RefitError(
            f"{model}: {START}/params.json holds a champion's parameters, {where}. Nothing was done. {CONNECT}, {anew}."
        )


def lock_of(root: Path) -> ChampionLock | None:
    """What ``champion.lock`` says; None where there is none."""
    try:
        return ChampionLock.find(root)
    except RefitError:
        raise RefitError(
            f"{root / LOCK}: cannot be read (two branches merged?). Restore it from git, or remove it: the next decision "
            "writes it anew, and until then the registry alone tells whether the history is whole."
        ) from None


def to_serve(root: Path, model: str) -> tuple[Path, str, str]:
    """The champion's package, the number that its answers carry, and its SHA-256 as the history has it.

    Another package must not be served. Raises :class:`RefitError` where there is no champion, or its package is nowhere.
    """
    champion = current_champion(decisions(root, model, None))
    if champion is None:
        raise RefitError(
            f"{model}: there is no champion to serve yet. Run `refit run`, or name a folder: --package DIR."
        )
    digest, version = champion.package_sha256, str(champion.champion)
    return package_folder(root, model, digest, champion.champion), version, digest


# Who follows ----------------------------------------------------------------------------------------------------------


def follow(root: Path, registry: Registry, model: str, challenger: str | None = None) -> Decision | None:
    """Let the lock and MLflow's aliases follow the history; returns the decision that made the champion.

    Repeated until nobody decided meanwhile: of two at once, the later look at the history has the last word.
    """
    history = DecisionHistory(root)
    past = history.decisions(model)
    while True:
        champion = current_champion(past)
        version = None
        if champion is not None:
            digest, old = champion.package_sha256, str(champion.champion)
            version = registered(root, registry, model, digest, old, past).version
        last = mark(past[-1]) if past else None
        if last is not None and registry.state(model).decision != last:
            _keep_account(registry, history, past, champion)
        registry.follow(model, version, challenger, last, _about(champion, version))
        _write_lock(root, past, champion)
        seen, past = past, history.decisions(model)
        if len(past) == len(seen):
            return champion


def _about(champion: Decision | None, version: str | None) -> str:
    """What the model's page in MLflow says."""
    if champion is None:
        return "There is no champion."
    who = f"**Champion: version {version}** since {minute(champion.at)}, by {champion.by}."
    return f"{who}\n\n{champion.reason}"


def _keep_account(
    registry: Registry, history: DecisionHistory, past: list[Decision], champion: Decision | None
) -> None:
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
    value = ChampionLock(
        model=past[-1].model,
        version=champion.champion if champion else None,
        package_sha256=champion.package_sha256 if champion else "",
        decision=mark(past[-1]),
    )
    try:
        same = ChampionLock.find(root) == value
    except RefitError:
        same = False
    if not same:
        value.write(root)


def check_ready(root: Path, model: str, asked: bool) -> None:
    """Before any long work: refuse where the history is not whole, or the champion's package is nowhere.

    ``asked``: all effects of an earlier run ended with this very history and registry, so that MLflow need not be
    opened to ask again.
    """
    registry = Registry(root) if not asked and reachable(root) else None
    past = decisions(root, model, registry)
    champion = current_champion(past)
    if champion is not None:
        package_folder(root, model, champion.package_sha256, champion.champion, registry)
    _write_lock(root, past, champion)


def reachable(root: Path) -> bool:
    """False where the registry is a file that is not there (a server is asked, and says so itself)."""
    uri = tracking_uri(root)
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


def registry_state(root: Path, last: Decision | None) -> list[str | None]:
    """What tells one state of history and registry from every other."""
    return [tracking_uri(root), history_url(root), mark(last) if last is not None else None]
