"""What ``training`` of ``params.yaml`` says reaches the fit; what the fit does with it is shown there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.artifacts import Summary
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.fitting.space import Settings
from tasks.params import load
from tasks.train.__main__ import fit_whole
from tests.samples import features_folder

PARAMS = """
seed: 7
problem: {{name: t, kind: binary, table: t, target: target}}
data: {{tables: {{t: {{source: t.csv, columns: {{target: numeric, x: numeric}}}}}}}}
features: {{encode: {{scale: robust}}}}
models: {{mlp: {{}}, xgboost: {{}}}}
training: {training}
"""


class Asked(Exception):
    """Ends the stage where the fit would begin."""


def asked(root: Path, monkeypatch: pytest.MonkeyPatch, name: str, training: str) -> dict[str, Any]:
    """What the fit of a family is given."""
    found: dict[str, Any] = {}

    def fit_family(name: str, own: Settings, fold: Fold, setup: Setup, **more: Any) -> None:
        found.update(vars(setup), **more)
        raise Asked

    monkeypatch.setattr("tasks.train.balance.fit_family", fit_family)
    (root / "params.yaml").write_text(PARAMS.format(training=training))
    features = Summary.read(root / "data/features").names
    with pytest.raises(Asked):
        fit_whole(name, {}, features, load())
    return found


def test_what_training_says_reaches_the_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features_folder(tmp_path, "binary")
    monkeypatch.chdir(tmp_path)
    usual = asked(tmp_path, monkeypatch, "mlp", "{}")
    assert {key: usual[key] for key in ("calibration", "device", "imbalance", "compression")} == {
        "calibration": "auto", "device": "auto", "imbalance": "none", "compression": None
    }  # fmt: skip
    compression = "compression: {families: [mlp], prune: 0.4, quantise: true, tolerance: 0.2}"
    own = f"{{calibration: sigmoid, device: cpu, imbalance: under_sample, {compression}}}"
    found = asked(tmp_path, monkeypatch, "mlp", own)
    assert (found["calibration"], found["device"], found["imbalance"]) == ("sigmoid", "cpu", "under_sample")
    assert (found["seed"], found["encode"]) == (7, {"scale": "robust"})
    smaller = found["compression"]
    assert (smaller.prune, smaller.quantise, smaller.tolerance) == (0.4, True, 0.2)
    assert asked(tmp_path, monkeypatch, "xgboost", own)["compression"] is None
