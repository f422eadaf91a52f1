"""A suspected leak holds a promotion back until a person has accepted the column."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tasks.artifacts import Suspicion, Verdict
from tasks.compare import verdict


def hold(out: Verdict, suspicions: Sequence[Suspicion] | None, accepted: Collection[str]) -> Verdict:
    """The verdict with what is suspected (``suspicions``) and what ``promotion.accept`` allows (``accepted``).

    Where a suspicion is not accepted, *promote* becomes *inconclusive*: nothing is promoted, and the look counts as one
    that did not promote, as where a guardrail fails. Whatever the verdict, its sentence says it. ``suspicions`` None:
    the look was not made, as in a project whose ``dvc.yaml`` is older than the stage.
    """
    if suspicions is None:
        note = "No look for leaks was made: dvc.yaml is older than the stage `leaks`; remove it, and `refit init --force` writes it anew."
        return out.model_copy(update={"suspicions": [], "accepted": [], "warnings": [*out.warnings, note]})
    fine = [s for s in suspicions if {s.column, *s.columns} & set(accepted)]
    still = [s for s in suspicions if s not in fine]
    notes = [f"Accepted by promotion.accept: {s.column} {s.said}." for s in fine]
    out = out.model_copy(update={"suspicions": still, "accepted": fine, "warnings": [*out.warnings, *notes]})
    if not still:
        return out
    names = ", ".join(s.column for s in still)
    remedy = (
        f"If it is known when a prediction is asked for, say so by promotion.accept: [{names}] in params.yaml; if not, "
        "keep it out of the features (kind: ignore)"
    )
    reasons = [f"a leak is suspected, {s.column} {s.said}" for s in still]
    if len(still) > 1:
        reasons[0] += f" (and {len(still) - 1} more: {names})"
    held = verdict.hold(out, reasons, remedy)
    if held.verdict == out.verdict:  # nothing was to be promoted
        return held.model_copy(update={"sentence": f"{out.sentence} Besides, {reasons[0]}. {remedy}."})
    return held
