"""What a verdict comes to: the package is registered, and becomes champion or does not; once per verdict and package.

Each effect may be repeated after a crash at any point: what is done already is found and left as it is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flows import champions, inputs
from flows.packages import CHAMPION, PACKAGE, digest_made, keep_copy
from flows.standing import Standing
from flows.versions import above_which
from tasks.artifacts import ChampionFile, Drift, Measured, Receipt, Validation, Verdict
from tasks.artifacts.folders import DRIFT, VALIDATED
from tasks.artifacts.folders import VERDICT as VERDICT
from tasks.errors import RefitError
from tasks.files import sha256
from tasks.params import Training
from tasks.registry.history import Decision, DecisionHistory, Overtaken, current_champion, highest, rolled_back
from tasks.registry.tracking import Registered, Registry, RunResult

if TYPE_CHECKING:
    from tasks.report.costs import Costs


@dataclass(frozen=True)
class Reply:
    """What a person replied who was asked to approve a promotion: whether to promote, and their name and reason."""

    promote: bool
    words: str


def register(root: Path, result: RunResult, run_id: str) -> Registered:
    """Register the package, as challenger unless it is the champion; MLflow's aliases are put right on the way.

    A registry that does not know the champion gets it first.
    """
    registry = Registry(root)
    past = champions.decisions(root, result.model, registry)
    champion = current_champion(past)
    if champion is not None and champion.package_sha256 == digest_made(root):
        above = above_which(past, champion.package_sha256, str(champion.champion))
    else:
        champions.follow(root, registry, result.model)
        above = highest(past)
    registered = registry.register(result.model, root / PACKAGE, run_id, above)
    champions.follow(root, registry, result.model, registered.version)
    return registered


def would_promote(root: Path, registered: Registered) -> bool:
    """Whether carrying the verdict out would make this version champion."""
    past = champions.decisions(root, registered.model, None)
    champion = current_champion(past)
    return (
        Verdict.read(root / VERDICT).verdict == "promote"
        and (champion is None or registered.package_sha256 != champion.package_sha256)
        and rolled_back(past, registered.package_sha256) is None
        and not any(d.key == _occasion(root, registered, past) for d in past)
    )


def approval_seconds() -> int:
    """Seconds that a person has to approve a promotion: ``REFIT_APPROVAL_SECONDS``, else seven days."""
    text = os.environ.get("REFIT_APPROVAL_SECONDS") or str(7 * 86400)
    if not text.isdecimal() or int(text) < 1:
        raise RefitError(f"REFIT_APPROVAL_SECONDS: a whole number of seconds, 1 or more; found {text!r}.")
    return int(text)


def waiting(root: Path, registered: Registered) -> Standing:
    """The verdict says promote, and a person has not approved: nothing is decided, and the champion stays."""
    champion = DecisionHistory(root).champion(registered.model)
    sentence = Verdict.read(root / VERDICT).sentence
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
    return f"verdict:{sha256(root / VERDICT / Verdict.NAME)}:{registered.package_sha256}{anew}"


def decide(root: Path, registered: Registered, by: str = "refit run", reply: Reply | None = None) -> Standing:
    """Carry the verdict out: promote, or record that the champion is kept; once per verdict and package.

    ``reply`` is a person's, where one was asked; a refusal is recorded too, and keeps the champion.
    """
    registry, verdict = Registry(root), Verdict.read(root / VERDICT)
    past = champions.decisions(root, registered.model, registry)
    champion = current_champion(past)
    is_champion = champion is not None and registered.package_sha256 == champion.package_sha256
    key = _occasion(root, registered, past)
    evidence = {name: value for name, value in verdict.to_dict().items() if name in ("verdict", "rule", "n", "state")}
    evidence |= {
        name: value for name, value in verdict.to_dict().items() if name in ("suspicions", "accepted") and value
    }
    if (measured := _measured(root, verdict)) is not None:
        evidence["measured"] = measured.to_dict()
    sentence = verdict.sentence
    removed = rolled_back(past, registered.package_sha256)
    promote = verdict.verdict == "promote" and not is_champion
    if promote and removed is not None and not any(d.key == key for d in past):
        promote = False
        sentence += (
            f" Not promoted all the same: it was rolled back on {removed.at[:10]} ({removed.reason}); "
            f"`refit promote {registered.version} --reason ...` overrides that."
        )
    if promote and reply is not None:
        promote = reply.promote
        sentence += (
            f" Approved: {reply.words}"
            if promote
            else (
                f" Not promoted all the same: refused by {reply.words} (`refit promote {registered.version} --reason ...` "
                "overrides that)."
            )
        )
    held = ChampionFile.find(root / CHAMPION)
    compared_with = held.package_sha256 if held else None
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
        keep_copy(root, registered.package_sha256)  # before the row: there is no champion without its package
        inputs.keep(root, registry, registered)
    recorded = _record(root, decision, registered.package_sha256 if is_champion else compared_with, look)
    now = champions.follow(root, registry, registered.model, registered.version)
    if promote and recorded.key != key:
        raise Overtaken(recorded.reason)
    return Standing(registered.version, now.champion if now else None, recorded.reason)


def _measured(root: Path, verdict: Verdict) -> Measured | None:
    """What this run measured, for the pages about later runs; None where no score was looked at."""
    found, summary, drift = verdict.evidence, Validation.find(root / VALIDATED), Drift.find(root / DRIFT)
    if not found.metric:
        return None
    costs = _costs(root)
    spent = {"challenger_cost": costs.per_row(costs.challenger)} if costs else {}
    spent |= {"champion_cost": costs.per_row(costs.champion)} if costs and costs.champion else {}
    return Measured(
        as_of=summary.as_of if summary else None,
        family=verdict.challenger.family if verdict.challenger else "",
        metric=found.metric,
        rows=verdict.n,
        challenger=found.challenger,
        champion=found.champion,
        interval=found.interval,
        drifted=drift.drifted if drift else None,
        drifted_columns=sum(bool(c.drifted) for c in drift.columns) if drift else None,
        **spent,
    )


def _costs(root: Path) -> Costs | None:
    """What errors cost, by what the package was made with."""
    from tasks.report.costs import Prices, of_run

    receipt = Receipt.find(root / PACKAGE)
    training = receipt.params.get("training") if receipt else None
    if not isinstance(training, dict) or training.get("threshold") != "cost":
        return None
    return of_run(root, Prices(*Training.model_validate(training).cost))


def _record(root: Path, decision: Decision, expected: str | None, look: bytes | None) -> Decision:
    """Record what a run decided; where another champion came meanwhile, the look is kept and says so, and nothing else.

    Rows that were looked at count, whoever is champion by now.
    """
    history = DecisionHistory(root)
    try:
        return history.record(decision, expected, look)
    except Overtaken as error:
        reason = str(error)
    if decision.action == "keep":
        reason = f"{decision.reason} That champion was replaced meanwhile: {reason}"
    while True:
        champion = history.champion(decision.model)
        key = f"{decision.key}:late:{champion.number if champion else 0}"
        late = replace(decision, action="keep", champion=None, reason=reason, key=key)
        try:
            return history.record(late, champion.package_sha256 if champion else None, look)
        except Overtaken:
            continue
