"""How MLflow loads a package: named in its ``MLmodel`` (:mod:`tasks.registry.mlmodel`), and called by :mod:`mlflow.pyfunc`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from refit.frames import as_file
from refit.project import answers_of

if TYPE_CHECKING:
    import pandas as pd

    from tasks.bundle import Bundle

KEPT = ("warnings", "error")  # beside what the kind of problem answers


class PackageModel:
    """A package that answers frames of raw rows, with the history that it keeps, as ``refit predict --package`` does."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, frame: pd.DataFrame, params: dict[str, object] | None = None) -> pd.DataFrame:
        """The answers (n rows, by the frame's index): scores, decision, ``warnings``, and ``error`` where a row has none.

        ``params`` is MLflow's, and there are none. Raises :class:`tasks.errors.RefitError` where a column is missing.
        """
        from flows.predict import Answering, history_of

        bundle = self.bundle
        by = Answering(bundle, bundle.identity[:12], history_of(bundle), bundle.horizon)
        answers = as_file(frame, lambda source: answers_of(by, source)).set_axis(frame.index)
        return answers[[*bundle.problem.answered(bundle.threshold, bundle.classes), *KEPT]]


def _load_pyfunc(path: str) -> PackageModel:
    from tasks.bundle import Bundle

    return PackageModel(Bundle.load(Path(path)))
