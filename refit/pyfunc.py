"""How MLflow loads a package: named in its ``MLmodel`` (:mod:`tasks.registry.mlmodel`), and called by :mod:`mlflow.pyfunc`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
        from deploy.predict import predict_frame
        from flows.predict import history_of

        bundle = self.bundle
        answers = predict_frame(bundle, bundle.identity[:12], frame, history_of(bundle), bundle.horizon)
        return answers[[*bundle.problem.answered(bundle.threshold, bundle.classes), *KEPT]]


def _load_pyfunc(path: str) -> PackageModel:
    from tasks.bundle import Bundle

    return PackageModel(Bundle.load(Path(path)))
