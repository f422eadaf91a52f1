"""scikit-learn estimators on disk: skops with our own list of types, and the same bytes every time.

skops refuses pickles, but takes names from the file: so what may be loaded is fixed here. Its archives
carry the clock and memory addresses; :func:`dump` rewrites both.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.errors import RefitError

if TYPE_CHECKING:
    from pydantic import JsonValue
    from sklearn.base import BaseEstimator

# Beyond what skops itself trusts. Nothing here runs code from the file: containers of numbers, Cython
# trees and losses, and the two functions that scikit-learn itself stores in a fitted histogram booster.
TRUSTED = (
    "functools.partial",
    "sklearn._loss.link.HalfLogitLink",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogLink",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)
CONSTANTS = ("JsonNode", "TupleNode", "TypeNode", "FunctionNode", "DTypeNode")
EPOCH = (1980, 1, 1, 0, 0, 0)


def skops_io() -> ModuleType:
    """``skops.io``, loaded without torch.

    To list what it trusts, skops imports every package of scikit-learn. One of them only passes on torch, which takes
    as long to load as all the others together; what cannot be imported is left out of the list.
    """
    bridge = "sklearn.externals.array_api_compat.torch"
    modules: dict[str, Any] = sys.modules
    hidden = "torch" not in modules and modules.setdefault(bridge, None) is None
    try:
        import skops.io
    finally:
        if hidden:
            modules.pop(bridge, None)
    return skops.io


def dump(estimator: BaseEstimator, path: Path) -> None:
    """Write ``estimator``; the bytes depend on its state alone."""
    with zipfile.ZipFile(io.BytesIO(skops_io().dumps(estimator))) as archive:
        schema = json.loads(archive.read("schema.json"))
        numbers: dict[object, int] = {}
        files: dict[str, str] = {}
        _renumber(schema, numbers, files)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as out:
            for old, new in files.items():
                _add(out, new, _clean(archive.read(old)) if new.endswith(".npy") else archive.read(old))
            _add(out, "schema.json", json.dumps(schema, separators=(",", ":")).encode())


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    archive.writestr(info, content)


def _clean(content: bytes) -> bytes:
    """An array file without the leftovers of memory: padding between fields, and a field that leaves do not use."""
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    fresh = np.zeros(array.shape, array.dtype)  # zeros_like would leave the padding as it is
    for name in array.dtype.names:
        fresh[name] = array[name]
    if "missing_go_to_left" in array.dtype.names and "left_child" in array.dtype.names:
        fresh["missing_go_to_left"][fresh["left_child"] == -1] = 0
    out = io.BytesIO()
    np.save(out, fresh, allow_pickle=False)
    return out.getvalue()


def _renumber(node: JsonValue, numbers: dict[object, int], files: dict[str, str]) -> None:
    """Replace memory addresses by the order of appearance, in place."""
    if isinstance(node, list):
        for item in node:
            _renumber(item, numbers, files)
    elif isinstance(node, dict):
        if "__id__" in node:
            # Whether two equal constants are one object is up to the interpreter: each gets its own number.
            key = object() if node.get("__loader__") in CONSTANTS else node["__id__"]
            node["__id__"] = numbers.setdefault(key, len(numbers))
        if isinstance(file := node.get("file"), str):
            node["file"] = files.setdefault(file, f"{len(files)}{Path(file).suffix}")
        for item in node.values():
            _renumber(item, numbers, files)


def load(path: Path) -> BaseEstimator:
    """Read an estimator, if all its types are allowed.

    Raises
    ------
    RefitError
        If the file holds a type that is not on the list, or is damaged.
    """
    skops = skops_io()
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.load(path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise RefitError(f"{path}: {error}. Only models that Refit wrote are loaded; train again.") from None
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise RefitError(f"{path}: damaged ({error}); train again.") from None
