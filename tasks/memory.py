"""How much memory a stage takes, and how much it may: one estimate for the checks before a run and for the stages.

``training.memory_gb`` is the most that a stage's process should hold. What reads a table a column, a key or a block of
rows at a time keeps to it by itself; here is what has to be chosen by it, and what has to be refused.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import RefitError
from tasks.files import WHOLE_GROUP

SHARE = 0.6  # of the memory that is available, where training.memory_gb is not set
GB = 1e9
APART = 100_000  # rows from which a frame's columns are left apart: put together they would be there twice for a while
LIBRARIES = 0.3 * GB  # what the interpreter and the libraries of a fit hold
# Bytes a cell of what is read whole, measured (rounded up): the frame, the splits' copies, the encoded rows, the fit
CELLS = {"xgboost": 32, "lightgbm": 32, "gradient_boosting": 32}
CELL = 40  # of other families, which also scale, or spread categories over columns
MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of mallopt(3): set, it does not grow with what is freed
TRIM_THRESHOLD, ARENA_MAX = -1, -8  # M_TRIM_THRESHOLD: freed at the end of the heap, given back; M_ARENA_MAX: heaps
COLUMN = 11  # a value of a table as read: a number, a moment, a short text
ROW = 60  # a row of a table that is read a column at a time: its position, what holds of it, and the column at hand
FEATURE = 24  # a feature's value while all rows' features are made in memory: made, put beside the others, and written
EVENT = 600  # an event's share in the indexes of histories, two of which are made side by side


@dataclass(frozen=True)
class Memory:
    """What may be used, in bytes on top of what the process holds, and where the figure comes from."""

    bytes: float
    source: str

    @property
    def piece_mb(self) -> int:
        """Megabytes of a piece of a table that is worked on key by key."""
        return max(64, int(self.bytes / 1e6 / 3))


def allowed(memory_gb: float | None) -> Memory:
    """The limit: ``training.memory_gb`` less what the process holds, or a share of what is available."""
    import psutil

    if memory_gb is None:
        available = psutil.virtual_memory().available
        return Memory(SHARE * available, f"{SHARE:.0%} of the {available / GB:.1f} GB available")
    held = psutil.Process().memory_info().rss
    return Memory(memory_gb * GB - held, f"training.memory_gb: {memory_gb:g}, of which {held / GB:.2f} are in use")


_gigabytes: float | None = None


def limit_to(gigabytes: float) -> None:
    """Hold this process to ``training.memory_gb``, which changes the way of its work and nothing that it writes."""
    global _gigabytes
    _gigabytes = gigabytes
    lean()


def of_process() -> Memory:
    """What this process may use: the limit that it was started with (:func:`limit_to`), or a share of what there is."""
    return allowed(_gigabytes)


def limited() -> bool:
    """Whether this process was started with a limit."""
    return _gigabytes is not None


def scratch() -> Path:
    """Where large files lie meanwhile: in the project, which is on a disk; /tmp may be memory."""
    folder = Path(".refit")
    folder.mkdir(exist_ok=True)
    return folder


def lean() -> None:
    """Have this process give large arrays back to the system when they are freed (glibc; elsewhere Arrow's alone)."""
    import ctypes

    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(MMAP_THRESHOLD, 1 << 20)


def keep_freed() -> None:
    """Have this process use large arrays' memory again, where it has no limit: a fresh page costs more than a sum over it."""
    import ctypes

    if not limited():
        with suppress(OSError, AttributeError):
            for option, value in ((MMAP_THRESHOLD, 1 << 25), (TRIM_THRESHOLD, 1 << 30), (ARENA_MAX, 1)):
                ctypes.CDLL(None).mallopt(option, value)


def checked(rows: int, columns: int) -> float:
    """Bytes that the stage ``validate`` takes at least: of every row where it stands, and of a row group all columns."""
    return float(ROW * rows + COLUMN * min(rows, WHOLE_GROUP) * columns)


def features(rows: int, count: int) -> float:
    """Bytes that making all features of a table at once takes."""
    return float(rows * (FEATURE * count + EVENT))


def fit(family: str, rows: int, count: int) -> float:
    """Bytes that fitting a family on so many rows (training and validation) x features takes in memory."""
    return float(CELLS.get(family, CELL) * rows * count)


def rows_for(family: str, limit: float, count: int) -> int:
    """How many rows a fit of the family can have in so many bytes."""
    return max(0, int(limit / (CELLS.get(family, CELL) * max(1, count))))


def from_disk(family: str, turns: bool = False) -> bool:
    """Whether a family can be fitted on a table that does not fit in memory; ``turns``: as a population's member is."""
    return family == "xgboost" and not turns


def check_fit(family: str, rows: int, count: int, limit: Memory) -> None:
    """Refuse, before any long work, a fit that would take more than ``limit``.

    Raises
    ------
    RefitError
        With what it needs, and what can be done.
    """
    need = fit(family, rows, count)
    if need > limit.bytes:
        raise RefitError(said(family, rows, count, limit))


def said(family: str, rows: int, count: int, limit: Memory) -> str:
    """That a family's fit does not fit, in words."""
    need = (fit(family, rows, count) + LIBRARIES) / GB
    return (
        f"training.memory_gb: {family} holds its rows in memory, and {rows:,} rows x {count} features take about "
        f"{need:.1f} GB ({limit.source}). Raise training.memory_gb to {_up(need)}, keep fewer rows or features, or "
        + (
            "use another tuning.sampler than 'pbt', whose turns go on in memory"
            if from_disk(family)
            else f"take {family} out of models: xgboost reads a table of any size from disk"
        )
    )


def no_rows(how: str, rows: int, count: int, limit: Memory) -> str:
    """That ``training.imbalance`` makes rows for a table that xgboost would read from disk, in words."""
    need = (fit("xgboost", rows, count) + LIBRARIES) / GB
    return (
        f"training.imbalance: {how!r} makes rows, and {rows:,} rows x {count} features, about {need:.1f} GB in memory, are read "
        f"from disk ({limit.source}); set class_weight, which weighs them, or training.memory_gb: {_up(need)}"
    )


def _up(need: float) -> str:
    """A number of GB that is enough, in few digits."""
    return f"{need * 1.05 + 0.05:.1f}"
