"""A user's own search space: what is allowed, and how mistakes are told."""

import pytest

from tasks.errors import RefitError
from tasks.families import find_family
from tasks.fitting.space import OneOf, defaults, narrowed

SPACE = find_family("xgboost").space("binary", 10_000, 20)


def test_narrowing():
    found = narrowed(SPACE, {"max_depth": [2, 4], "subsample": {"values": [0.5, 1.0]}}, "models.xgboost.space")
    assert (found["max_depth"].low, found["max_depth"].high, found["max_depth"].default) == (2, 4, 4)
    assert found["subsample"] == OneOf((0.5, 1.0), 0.5)
    assert defaults(found)["max_depth"] == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_dept": [2, 4]}, "models.xgboost.space.max_dept: not a tunable.*Did you mean 'max_depth'"),
        ({"subsample": [0.5, 1.5]}, "subsample: 1.5 is outside the bounds of this parameter, 0.05 to 1"),
        ({"max_depth": [6, 2]}, "low 6 is greater than high 2"),
        ({"max_depth": [2.5, 4]}, "expected a whole number, found 2.5"),
        ({"max_depth": "deep"}, r"expected \[low, high\]"),
        ({"learning_rate": [0, 0.1]}, "needs low > 0"),
        ({"subsample": {"values": []}}, "give at least one value"),
    ],
)
def test_mistakes_are_named(given: dict, message: str):
    with pytest.raises(RefitError, match=message):
        narrowed(SPACE, given, "models.xgboost.space")
