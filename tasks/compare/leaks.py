"""A suspected leak holds a promotion back until a person has accepted the column."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any


def hold(out: dict[str, Any], suspicions: Sequence[dict[str, Any]], accepted: Collection[str]) -> dict[str, Any]:
    """The verdict with what is suspected (``suspicions``) and what was ``accepted`` (``promotion.accept``).

    Where an unaccepted suspicion is left, *promote* becomes *inconclusive*: nothing is promoted, and the look counts as
    one that did not promote, as with a guardrail that fails. In any case the sentence says it.
    """
    fine = [s for s in suspicions if set(s.get("columns", [s["column"]])) & set(accepted)]
    open_ = [s for s in suspicions if s not in fine]
    out = {**out, "suspicions": open_, "accepted": fine, "warnings": list(out["warnings"])}
    out["warnings"] += [f"Accepted by promotion.accept: {s['column']}, which {s['said']}." for s in fine]
    if not open_:
        return out
    first = open_[0]
    names = [s["column"] for s in open_]
    more = f" So do {len(open_) - 1} more: {', '.join(names[1:6])}." if len(open_) > 1 else ""
    remedy = (
        f"If it is known when a prediction is asked for, set promotion.accept: [{', '.join(names)}]; if not, leave it "
        "out of the features (kind: ignore)."
    )
    said = f"{first['column']} {first['said']}.{more} {remedy}"
    out["warnings"] += [f"Suspected: {s['column']}, which {s['said']}." for s in open_[1:]]
    if out["verdict"] != "promote":
        return {**out, "sentence": f"{out['sentence']} Besides, a leak is suspected: {said}"}
    state = out["state"]
    look = out["evidence"].get("look")
    if look is not None:
        state = {**state, "promoted": [k for k in state["promoted"] if k != look]}
    sentence = f"Not promoted, since a leak is suspected: {said} Without this the verdict was: {out['sentence']}"
    return {**out, "verdict": "inconclusive", "sentence": sentence, "state": state}
