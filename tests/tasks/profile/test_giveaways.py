"""`init` keeps out what repeats the target, asks about what may, and leaves the rest as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

from tasks.params import parse
from tasks.profile import infer, to_yaml
from tasks.profile.giveaways import remark


def made(tmp_path: Path, frame: pd.DataFrame, target: str = "y") -> tuple[dict, str, list[str]]:
    """Kinds of the columns, the text of params.yaml, and what is said."""
    frame.to_csv(tmp_path / "t.csv", index=False)
    tree = infer(tmp_path / "t.csv", target)
    said = list(map(str, remark(tree, tmp_path / "t.csv")))
    parse(tree)
    return dict(tree["data"]["tables"]["t"]["columns"]), to_yaml(tree), said


def orders(n: int = 600) -> tuple[pd.DataFrame, np.random.Generator]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd"))
    return X.assign(y=np.where(X["a"] + rng.normal(size=n) > 0.5, "yes", "no")), rng


def test_a_copy_is_ignored_and_a_noisy_copy_is_asked_about(tmp_path: Path) -> None:
    frame, rng = orders()
    yes = (frame["y"] == "yes").to_numpy()
    frame["refunded"] = np.where(yes, 1, 0)
    frame["score"] = (yes + rng.normal(0, 0.4, len(frame))).round(4)
    columns, text, said = made(tmp_path, frame)
    assert columns["refunded"] == "ignore"
    assert columns["score"] == "numeric"
    line = next(line for line in text.splitlines() if line.strip().startswith("refunded:"))
    assert "gives the target away" in line
    assert "AUC 1.000" in line
    assert "promotion.accept" in line
    assert [s.split(":")[0] for s in said] == ["refunded", "score"]
    assert "a leak?" in said[1]
    assert {columns[c] for c in "abcd"} == {"numeric"}


def test_a_bent_copy_of_a_number_is_ignored(tmp_path: Path) -> None:
    frame = datasets.load_diabetes(as_frame=True).frame.rename(columns={"target": "y"})
    columns, _, said = made(tmp_path, frame.assign(doubled=np.exp(frame["y"] / 100)))
    assert columns["doubled"] == "ignore"
    assert len(said) == 1


def test_a_date_that_tells_by_its_distance_from_another(tmp_path: Path) -> None:
    frame, rng = orders()
    opened = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 90 * 86400, len(frame))), unit="s")
    hours = np.where(frame["y"] == "yes", 50, 5) + rng.integers(0, 20, len(frame))
    frame["opened"] = opened
    frame["due"] = opened + pd.to_timedelta(hours, unit="h")
    _, _, said = made(tmp_path, frame)
    assert [s.split(":")[0] for s in said] == ["due"]
    columns, _, said = made(tmp_path, frame.rename(columns={"due": "closed"}))  # by its name no plan, and later
    assert (columns["closed"], said) == ("ignore", [])
    earlier = (opened - pd.to_timedelta(hours, unit="h")).strftime("%d.%m.%Y %H:%M")  # the dates in a form of their own
    _, _, said = made(tmp_path, frame.drop(columns="due").assign(asked=earlier))
    assert [s.split(":")[0] for s in said] == ["asked"]


def test_strong_honest_columns_and_a_table_of_one_column_stay_as_they_are(tmp_path: Path) -> None:
    frame = datasets.load_breast_cancer(as_frame=True).frame.rename(columns={"target": "y"})
    assert made(tmp_path, frame)[2] == []
    frame, _ = orders()
    columns, _, said = made(tmp_path, frame[["y"]].assign(again=(frame["y"] == "yes").astype(int)))
    assert columns["again"] != "ignore"  # nothing else would be left to predict from
    assert len(said) == 1
