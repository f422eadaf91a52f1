"""Which package is meant by a version, and the version under which a registry has a package."""

from __future__ import annotations

from pathlib import Path

from flows.packages import package_folder
from tasks.errors import RefitError, some
from tasks.registry.history import Decision, DecisionHistory, highest, named
from tasks.registry.tracking import Registered, Registry


def registered(
    root: Path, registry: Registry, model: str, digest: str, version: str, past: list[Decision]
) -> Registered:
    """A package's version in this registry; one that does not know it gets it registered again.

    Under its old number where that is free, else under the next.
    """
    held = registry.holding(model, digest)
    if held is not None:
        return held
    folder = package_folder(root, model, digest, version, registry)
    return registry.register(model, folder, registry.restored(model, digest), above_which(past, digest, version))


def above_which(past: list[Decision], digest: str, version: str) -> int:
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
        matching = sorted(digest for digest in digests if digest.startswith(text.lower()))
    else:
        matching = named(past, text)
        matching += [one.package_sha256 for one in listed if one.version == text and one.package_sha256 not in matching]
    if not matching:
        return registry.version(model, text).package_sha256  # says which there are
    if len(matching) > 1:
        raise RefitError(
            f"{model}: version {text!r} means several packages, since the history has numbers of another registry: "
            f"{some([digest[:12] for digest in matching])}. Name one by these digits instead."
        )
    return matching[0]


def known(registry: Registry, model: str, text: str, past: list[Decision]) -> Registered:
    """The version that a person means (:func:`meant`), of those that are in this registry."""
    digest = meant(registry, model, text, past)
    held = registry.holding(model, digest)
    if held is None:
        raise RefitError(
            f"{model}: version {text} (package {digest[:12]}) is in the history, and the registry ({registry.shown}) does not "
            "know it. Set MLFLOW_TRACKING_URI to the one that does."
        )
    return held


def resolve(root: Path, registry: Registry, model: str, text: str, past: list[Decision]) -> Registered:
    """The version that a person means (:func:`meant`), in this registry."""
    digest = meant(registry, model, text, past)
    return registered(root, registry, model, digest, number_of(past, digest, text), past)


def number_of(past: list[Decision], digest: str, otherwise: str) -> str:
    """The number under which a package was decided on last."""
    return next((d.version for d in reversed(past) if d.package_sha256 == digest), otherwise)


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
    examined = examine(folder, None if expected is None else expected.lower())
    version = ""
    try:
        version = number_of(DecisionHistory(root).decisions(examined.about.name), examined.identity, "")
    except RefitError:  # a history out of reach; a person's word is enough
        if expected is None:
            raise
    if not version and expected is None:
        raise RefitError(
            f"{folder}: its identity is {examined.identity}, and the history here ({DecisionHistory(root).shown}) knows no such package "
            f"of {examined.about.name}. If it is the one that you mean: --sha256 {examined.identity}"
        )
    return version or "unregistered", examined.identity
