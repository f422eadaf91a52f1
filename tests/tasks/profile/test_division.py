"""What must stay together, and the salt of a random split: from counts and contents alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.features.split import by_identity
from tasks.identity import Rule, identify, numbers, together
from tasks.params import Split
from tasks.profile.division import best_salt, groups, twins

N = 1000
SHARES = {"test": 0.2, "valid": 0.2}


def people(size: int = 5, seed: int = 0) -> pd.DataFrame:
    """Rows of customers with ``size`` rows each: their own traits repeat, one measurement does not."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(N // size), size)
    traits = rng.normal(size=(N // size, 4))[who]
    frame = pd.DataFrame({"customer_id": who * 7.0 + 1000, "a": traits[:, 0], "b": traits[:, 1], "c": traits[:, 2]})
    frame["seen"] = rng.normal(size=N)
    frame["y"] = np.where(traits[:, 3] > 0, "yes", "no")
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


@pytest.mark.parametrize("name", ["customer_id", "patient", "subject#", "user", "device_id", "PersonID"])
def test_rows_of_one_customer_are_proposed_to_stay_together(name: str) -> None:
    found = groups(people().rename(columns={"customer_id": name}), "y")
    assert (found.by, found.clear) == ((name,), True)
    assert f"rows of one {name} agree in" in found.why


def test_ids_whose_rows_are_not_alike_and_features_that_repeat_are_left_alone() -> None:
    rng = np.random.default_rng(2)
    apart = people()
    apart[["a", "b", "c"]] = rng.normal(size=(N, 3))
    apart["y"] = rng.choice(["no", "yes"], N)
    assert groups(apart, "y").by == ()
    assert groups(people().rename(columns={"customer_id": "customer_age"}), "y").by == ()
    assert groups(people().assign(customer_id=rng.integers(0, 3, N)), "y").by == ()


def test_near_twins_in_different_parts_are_found_with_the_columns_that_join_them() -> None:
    frame = people().drop(columns="customer_id")
    _, part = best_salt(
        identify(frame, Rule("t", ("a", "b", "c", "seen"), ("numeric",) * 4, False)).row, frame["y"], SHARES
    )
    found = twins(frame, "y", part)
    assert found.clear
    assert set(found.by) <= {"a", "b", "c"}
    assert "of test rows would have a near-twin in another part" in found.why
    _, joined = best_salt(numbers(frame, found.by), frame["y"], SHARES)
    assert twins(frame, "y", joined).why == ""


@pytest.mark.parametrize("columns", [4, 12])
@pytest.mark.parametrize("categories", [True, False])
def test_independent_rows_have_no_near_twins(columns: int, categories: bool) -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(rng.choice(list("abc"), (N, columns)) if categories else rng.normal(size=(N, columns)))
    frame = frame.set_axis([f"x{i}" for i in range(columns)], axis=1).assign(y=rng.choice(["a", "b"], N))
    part = rng.choice(["train", "valid", "test"], N)
    assert twins(frame, "y", part).why == ""


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_the_salt_balances_sizes_and_classes(kind: str) -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"x": rng.normal(size=300)})
    frame["y"] = np.where(rng.random(300) < 0.08, "b", "a") if kind == "classes" else rng.lognormal(size=300)
    rule = Rule("t", ("x",), ("numeric",), keyed=False)
    rows = identify(frame, rule).row
    salt, part = best_salt(rows, frame["y"], SHARES)
    found, _ = by_identity(together(frame, rows, ()), np.ones(300, bool), Split(salt=salt))
    assert (found == part).all()  # as the stage will part them
    sizes = pd.Series(part).value_counts(normalize=True)
    assert abs(sizes["test"] - 0.2) < 0.02
    assert abs(sizes["valid"] - 0.2) < 0.02
    rare = frame["y"].eq("b") if kind == "classes" else frame["y"] > frame["y"].quantile(0.9)
    for name, share in (("test", 0.2), ("valid", 0.2), ("train", 0.6)):
        assert abs((part[rare.to_numpy()] == name).mean() - share) < 0.07
