"""What can be refused before any stage runs: families that do not serve a problem, and parameters that would do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from tasks.errors import RefitError, some
from tasks.families import find_family
from tasks.fitting.base import Compresses, Family
from tasks.fitting.counts import check_params, idle_because, searched
from tasks.fitting.device import check_device
from tasks.fitting.estimators import cannot_weigh
from tasks.fitting.imbalance import ROWS
from tasks.fitting.space import Space, narrowed
from tasks.kinds import USUAL_LOSSES, find_kind, kind_names
from tasks.listed import family_names

if TYPE_CHECKING:
    from tasks.params import FamilyParams as Own
    from tasks.params import Params

LARGEST = 10**9, 10**6  # rows and columns


def serves(family: Family, kind: str) -> bool:
    """Whether a family gives what this kind of problem asks for, and can be fitted by its loss."""
    asked = find_kind(kind)
    return asked.output in family.OUTPUTS and asked.loss in getattr(family, "LOSSES", USUAL_LOSSES)


def check_kind(name: str, kind: str) -> None:
    """Refuse a family that does not serve this kind of problem, naming those that do."""
    family = find_family(name)
    if not serves(family, kind):
        able = [n for n in family_names() if serves(find_family(n), kind)]
        raise RefitError(
            f"models.{name}: serves {some([k for k in kind_names() if serves(family, k)])}, and problem.kind is {kind!r}. "
            f"Families for {kind}: {some(able, 40)}."
        )


def check_models(params: Params) -> None:
    """Refuse, before any stage runs, families that do not serve the problem, spaces outside their bounds, and a GPU for none.

    Parameters that a family does not know are refused, too.
    Bounds that depend on the rows are taken at their widest here; ``tune`` checks them again with the rows at hand.
    """
    kind = params.problem.kind
    for name, own in params.models.items():
        check_kind(name, kind)
        family = find_family(name)
        space = family.space(kind, *LARGEST)
        if name == "auto" and (own.params or own.space):
            key = "params" if own.params else "space"
            raise RefitError(
                f"models.auto.{key}: auto chooses families and their parameters by itself; name the family in models "
                "instead, or leave this out."
            )
        if params.training.imbalance == "class_weight" and not weighs(name):
            raise cannot_weigh(name)
        if params.training.imbalance in ROWS and name == "xgboost" and params.features.engine == "spark":
            raise RefitError(
                f"training.imbalance: {params.training.imbalance!r} makes rows, and features.engine: spark trains xgboost on "
                "Spark; set class_weight, which weighs them, or engine: local"
            )
        check_params(family, own.params, kind, narrowed(space, own.space, f"models.{name}.space"))
        _check_search(name, own, kind, space)
    check_device(params, {name: find_family(name).HARDWARE for name in params.models})


def _check_search(name: str, own: Own, kind: str, space: Space) -> None:
    """Refuse spaces of a family whose parameters are fixed, or would do nothing beside those that are."""
    family = find_family(name)
    left = searched(family, space, own.params, kind)
    for key in own.space:
        if key in own.params:
            raise RefitError(
                f"models.{name}.space.{key}: params fixes it to {own.params[key]!r} already; leave one out."
            )
        if key not in left:
            why = idle_because(family, key, own.params, kind, space)
            raise RefitError(f"models.{name}.space.{key}: {why}; remove it.")


def weighs(name: str) -> bool:
    """Whether a family can weigh rows; those that cannot say so by ``WEIGHS = False``."""
    return bool(getattr(find_family(name), "WEIGHS", True))


def compresses(family: Family) -> TypeGuard[Compresses]:
    """Whether ``training.compression`` can make smaller forms of the family."""
    return hasattr(family, "smaller")
