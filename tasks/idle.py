"""Keys of ``params.yaml`` that would do nothing where they stand: refused, or told of, so that nobody relies on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tasks.errors import some
from tasks.kinds import find_kind

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tasks.params import Params

# What a family makes of features by itself, whatever features.encode says, by its NEEDS.
OWN_WAY = {
    "scale": ("trees", "trees compare values and need no scale"),
    "bins": ("trees", "trees find their own cuts"),
    "categories": ("codes", "each level gets a number or a vector of its own"),
}
TREES = "adaboost"  # its trees take the form of linear models, and compare values all the same


def idle(params: Params) -> Iterator[tuple[str, str]]:
    """Each key that is set and that nothing reads, with the reason and the remedy, in the form of ``crosscheck``."""
    training, tuning, promotion = params.training, params.tuning, params.promotion
    encode, powers = params.features.encode, params.features.polynomial
    if encode and encode.scale != "bins":
        yield from _set(encode, "features.encode", ("bins",), "counts only with scale: bins; set that, or remove this.")
    if powers and len(powers.columns) < (2 if powers.interaction_only else 1):
        what = "two features or more, whose products are made" if powers.interaction_only else "the features"
        yield (
            "features.polynomial.columns",
            f"found {len(powers.columns)}, so it makes nothing; name {what}, or remove it.",
        )
    kind = find_kind(params.problem.kind)
    if not kind.targeted:
        yield from _about_labels(params)
    if kind.positive is None:
        why = f"belongs to a decision between two classes, and problem.kind is {params.problem.kind!r}; remove it."
        yield from _set(training, "training", ("threshold", "cost", "precision"), why)
        yield from _set(params.evaluation, "evaluation", ("cost_unit",), why)
    else:
        for key in ("cost", "precision"):
            if training.threshold != key:
                yield from _set(
                    training, "training", (key,), f"counts only with threshold: {key}; set that, or remove this."
                )
        if training.threshold != "cost":
            why = "is that of training.cost, which counts only with training.threshold: cost; set that, or remove this."
            yield from _set(params.evaluation, "evaluation", ("cost_unit",), why)
    if tuning.split == "holdout":
        yield from _set(tuning, "tuning", ("folds",), "split: holdout has none; name another split, or remove this.")
    if not params.notify.to:
        yield from _set(
            params.notify, "notify", ("when",), "counts only with to, who is told; set that, or remove this."
        )
    if promotion.error != "fdr":
        yield from _set(promotion, "promotion", ("fdr",), "counts only with error: fdr; set that, or remove this.")
    if promotion.control == "each_run" and promotion.evidence == "line":
        yield (
            "promotion.evidence",
            "'line' adds up over runs, and control: each_run looks at each run anew; remove one.",
        )
    if promotion.guardrails.slice_drop is None:
        why = "counts only with slice_drop, the largest loss; set that, or remove this."
        yield from _set(promotion.guardrails, "promotion.guardrails", ("slices",), why)
    if params.split.kind == "time":
        yield from _set(params.split, "split", ("salt",), "divides rows at random, and kind is 'time'; remove it.")
        if tuning.split not in ("kfold", "stratified", "group") and "auto" not in params.models:
            why = f"keeps rows together at random and in folds; kind is 'time', and tuning.split {tuning.split!r}; remove it."
            yield from _set(params.split, "split", ("by",), why)
    if training.ensembles and len(params.models) == 1:
        yield "training.ensembles", "mix several families, and models has one; add another, or remove this."
    if params.features.lookups == () and params.features.history == ():
        why = "is about tables whose rows become too old, and features has neither lookups nor history; remove it."
        yield from _set(params.serving, "serving", ("stale", "stale_after"), why)
    if not params.orchestration.pools:
        why = "is about stages that go to work pools, and there are none; name them in pools, or remove this."
        yield from _set(params.orchestration, "orchestration", ("no_gpu", "exchange"), why)
    for name, table in params.data.tables.items():
        if not isinstance(table.source, str | tuple):
            why = "is about files, and the source is a database; remove it."
            yield from _set(table, f"data.tables.{name}", ("files",), why)
        elif table.at_rest is None:
            why = "is about files, and the source is the journal; remove it."
            yield from _set(table, f"data.tables.{name}", ("files",), why)


def _about_labels(params: Params) -> Iterator[tuple[str, str]]:
    """What is measured against labels, where there are none."""
    why = f"goes by the target, and kind {params.problem.kind!r} has none; remove it."
    encode, select = params.features.encode, params.features.select
    if encode and encode.categories == "target":
        yield "features.encode.categories", f"'target' {why}"
    if select:
        yield from _set(select, "features.select", ("univariate", "l1", "importance", "rfe"), why)
    yield from _set(params.evaluation, "evaluation", ("slices",), why)
    yield from _set(params.promotion.guardrails, "promotion.guardrails", ("calibration",), why)


def _set(section: BaseModel, path: str, keys: tuple[str, ...], why: str) -> Iterator[tuple[str, str]]:
    """Those of the keys that say something else than is so anyway."""
    for key in keys:
        if getattr(section, key) != type(section).model_fields[key].default:
            yield f"{path}.{key}", why


def own_ways(params: Params) -> Iterator[str]:
    """What is set in ``features.encode`` and ``tuning`` and some of the families do not take, a line each."""
    from tasks.families import find_family
    from tasks.fitting.counts import searched
    from tasks.models.check import LARGEST

    encode, tuning = params.features.encode, params.tuning
    families = [find_family(name) for name in params.models if name != "auto"]
    given = encode.model_dump(exclude_unset=True) if encode else {}
    lines = [
        (f"features.encode.{key}", [one for one in families if key in given and form == one.NEEDS], why)
        for key, (form, why) in OWN_WAY.items()
    ]
    if given.get("scale", "bins") != "bins":
        lines.append(("features.encode.scale", [one for one in families if one.NAME == TREES], OWN_WAY["scale"][1]))
    if given.get("categories") == "native":
        numbers = [one for one in families if one.NEEDS not in ("trees", "codes")]
        lines.append(("features.encode.categories", numbers, "numbers alone are taken, so each level gets a column"))
    if tuning.pruner != "none" and tuning.split == "holdout":
        whole = [one for one in families if not getattr(one, "STEPS", False)]
        lines.append(("tuning.pruner", whole, "fitted in one go, with no step to stop at"))
    if params.training.device != "cuda":
        for one in families:
            for key in [name for name in getattr(one, "ON_GPU", ()) if name in params.models[one.NAME].params]:
                yield f"models.{one.NAME}.params.{key}: counts where a GPU trains, and does nothing on a CPU"
    for one in families:
        own, kind = params.models[one.NAME], params.problem.kind
        if (own.trials or 1) > 1 and not own.space and not searched(one, one.space(kind, *LARGEST), own.params, kind):
            yield f"models.{one.NAME}.trials: found {own.trials}, and {one.NAME} has nothing to search here, so it is fitted once"
    for path, those, why in lines:
        if those:
            yield f"{path}: not taken by {some([one.NAME for one in those], 20)} ({why})"
