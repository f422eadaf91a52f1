"""A project from Python: run it, ask its champion, read its verdicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flows.watcher import Watcher
from refit.frames import as_file

if TYPE_CHECKING:
    import pandas as pd

    from flows.explain import RowReasons
    from flows.predict import Answering
    from flows.standing import Standing
    from flows.status import Champion, PastVerdict
    from tasks.params import Params
    from tasks.registry.history import Decision

T = TypeVar("T")


class Verdicts(tuple["PastVerdict", ...]):
    """The verdicts of a project's runs, oldest first."""

    def frame(self) -> pd.DataFrame:
        """As a table, a verdict a row."""
        from dataclasses import asdict

        import pandas as pd

        columns = ["at", "version", "verdict", "sentence", "rows", "champion"]
        made = pd.DataFrame([asdict(one) for one in self], columns=columns)
        return made.assign(at=pd.to_datetime(made["at"], utc=True))

    def _repr_html_(self) -> str:
        from flows.notebook import table
        from tasks.registry.history import minute

        rows = [(minute(one.at), one.version, one.verdict, one.sentence, one.champion or "none") for one in self]
        return table(rows, ("when", "version", "verdict", "why", "champion then"))


class Explanations(tuple["RowReasons", ...]):
    """Why rows are answered as they are, one after another."""

    def frame(self) -> pd.DataFrame:
        """As a table, a row's feature a row: what it adds to the answer, in the model's unit."""
        import pandas as pd

        rows = [
            (one.row, reason.feature, reason.value, reason.adds, reason.error) for one in self for reason in one.reasons
        ]
        return pd.DataFrame(rows, columns=["row", "feature", "value", "adds", "error"])

    def __repr__(self) -> str:
        return "\n\n".join("\n".join(one.lines()) for one in self)

    def _repr_html_(self) -> str:
        return "".join(one._repr_html_() for one in self)


def answers_of(by: Answering, source: Path) -> pd.DataFrame:
    """The answers to a file's rows, as ``refit predict`` writes them."""
    from flows.predict import predict
    from tasks.files import read_table

    out = source.with_name("answers.parquet")
    predict(by, source, out)
    return read_table(out)


class Project:
    """A project's folder, opened by :func:`refit.open`. Nothing is read before it is asked for, and nothing is kept.

    >>> import refit
    >>> project = refit.open("flights")          # doctest: +SKIP
    >>> project.run(as_of="2013-11-30").sentence # doctest: +SKIP
    >>> project.champion.version                 # doctest: +SKIP
    >>> project.predict(frame)                   # doctest: +SKIP
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def params(self) -> Params:
        """The checked ``params.yaml`` as it is now. Raises :class:`RefitError` with all mistakes, a line each."""
        from tasks.params import load

        return load(self.root / "params.yaml")

    def run(self, as_of: str | None = None, watcher: Watcher | None = None) -> Standing | None:
        """Bring every stage up to date, then track, register, check and promote, as ``refit run`` does.

        Parameters
        ----------
        as_of : only what was known then counts: a date (its end) or an ISO time. None: as ``data.as_of`` says.
        watcher : is told the progress; by default nobody is.

        Returns
        -------
        Where the registry stands: this run's version, the champion, and the decision in a sentence. None where ``dvc.yaml``
        holds too few stages for a verdict.

        Raises
        ------
        RefitError
            For a mistake in the project, before any stage runs; or with the message of the stage that failed.
        """
        from flows import preflight

        preflight.require(self.root, as_of)  # what is wrong is told at once, before Prefect starts
        from flows.run import run as flow

        return flow(self.root, as_of, Watcher() if watcher is None else watcher)

    def predict(self, frame: pd.DataFrame, version: str | None = None) -> pd.DataFrame:
        """Answer rows of the problem's table, by the champion or another version, as ``refit predict`` does.

        Returns a row for each of ``frame``, under its index; one that cannot be read has an ``error`` in place of an answer.

        Raises
        ------
        RefitError
            Where there is no champion or no such version, or the frame lacks a column that the model needs.
        """
        return self._of_rows(frame, version, answers_of).drop(columns="row").set_axis(frame.index)

    def explain(self, frame: pd.DataFrame, version: str | None = None) -> Explanations:
        """Say why rows of the problem's table are answered as they are, as ``refit explain`` does; 200 at most.

        Raises
        ------
        RefitError
            As :meth:`predict`; also for a row that cannot be answered.
        """
        from flows.explain import explain

        numbers = list(range(1, len(frame) + 1))
        return Explanations(self._of_rows(frame, version, lambda by, source: explain(by, source, numbers)))

    def _of_rows(self, frame: pd.DataFrame, version: str | None, call: Callable[[Answering, Path], T]) -> T:
        """Hand a frame over as the file that the commands read."""
        from flows.predict import answering

        by = answering(self.root, version, None, None)
        return as_file(frame, lambda source: call(by, source))

    @property
    def champion(self) -> Champion | None:
        """What is in service; None where there is none. Raises :class:`RefitError` where the history is not the project's."""
        from flows.status import champion_of

        return champion_of(self.root, self._decisions())

    @property
    def verdicts(self) -> Verdicts:
        """What each run came to, oldest first. Raises :class:`RefitError` as :attr:`champion`."""
        from flows.status import verdicts_of

        return Verdicts(verdicts_of(self._decisions()))

    def _decisions(self) -> list[Decision]:
        from flows.champions import decisions

        return decisions(self.root, self.params.problem.name, None)

    def __repr__(self) -> str:
        return f"refit.open({str(self.root)!r})"

    def _repr_html_(self) -> str:
        from flows.notebook import table
        from flows.status import Status

        return table(Status(self.root).quick(), caption=str(self.root))
