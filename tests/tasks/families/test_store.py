"""What may come from disk: our own files, whole, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_selection import SelectKBest
from sklearn.tree import DecisionTreeClassifier

from tasks.errors import RefitError
from tasks.files import read_json, write_json
from tasks.fitting.archive import dump, load
from tasks.fitting.rows import read_rows
from tasks.fitting.setup import Setup
from tasks.models import fit_family, load_model, save_model
from tasks.models.formats import load_fitted, readers
from tests.samples import features_folder


def test_types_off_the_list_are_refused(tmp_path: Path):
    def harmful(X, y):
        return X

    dump(SelectKBest(harmful), tmp_path / "x.skops")
    with pytest.raises(RefitError, match="Untrusted types"):
        load(tmp_path / "x.skops")


def test_archives_carry_no_clock_and_no_address(tmp_path: Path):
    X = np.random.default_rng(0).normal(size=(50, 3))
    dump(DecisionTreeClassifier(random_state=0).fit(X, X[:, 0] > 0), tmp_path / "t.skops")
    with zipfile.ZipFile(tmp_path / "t.skops") as archive:
        assert {i.date_time[0] for i in archive.infolist()} == {1980}
        assert {n.split(".")[0] for n in archive.namelist()} <= {"schema", *map(str, range(100))}


def test_storing_a_tree_does_not_load_torch(tmp_path: Path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom sklearn.tree import DecisionTreeClassifier\n"
        "from tasks.fitting.archive import dump, load\n"
        "path = Path(sys.argv[1])\ndump(DecisionTreeClassifier().fit([[0], [1]], [0, 1]), path)\n"
        "assert load(path).predict([[1]]) == [1]\nassert 'torch' not in sys.modules\n"
        "from sklearn.externals.array_api_compat import torch\nassert 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "t.skops")], check=True)


@pytest.mark.parametrize("name", ["gradient_boosting", "xgboost", "logistic"])
def test_damage_is_named(tmp_path: Path, name: str):
    rows = read_rows(features_folder(tmp_path))
    model = fit_family(name, {}, rows.fold, Setup("binary", columns=rows.kinds))
    save_model(model, tmp_path / "m")
    state = read_json(tmp_path / "m/model.json")
    write_json(tmp_path / "m/model.json", state | {"format": "pickle"})
    with pytest.raises(RefitError, match="unknown format 'pickle'"):
        load_model(tmp_path / "m")
    write_json(tmp_path / "m/model.json", state)
    file = next(p for p in (tmp_path / "m").iterdir() if p.suffix in (".skops", ".ubj") or p.stem == "linear")
    file.unlink()
    with pytest.raises(RefitError, match="a file of the model is missing"):
        load_model(tmp_path / "m")
    file.write_bytes(b"not a model")
    with pytest.raises(RefitError, match="damaged"):
        load_model(tmp_path / "m")


def test_each_form_that_a_model_was_ever_stored_in_has_what_reads_it(tmp_path: Path):
    """Their names are in the files of packages, so they stay; a family says its own, several share the first three."""
    assert set(readers()) == {
        "linear", "skops", "forest", "additive", "lightgbm", "mixed", "network", "realmlp", "tabm", "xgboost"
    }  # fmt: skip
    with pytest.raises(RefitError, match=r"unknown format 'onnx'; known: 'linear'.*Train again"):
        load_fitted("onnx", tmp_path, "binary", 2)
