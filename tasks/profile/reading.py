"""CSV and Parquet files to Arrow columns, with errors a person can act on.

CSV values stay text: what they mean is decided by the declared kind (:mod:`tasks.profile.kinds`), so
that ``007`` stays a category and a number too long for a float is noticed. Parquet keeps its types.
"""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import RefitError, some

if TYPE_CHECKING:
    import pyarrow as pa

# What counts as missing in a CSV file; the usual spellings of R, SQL, pandas and spreadsheets.
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None")
DELIMITERS = ",;\t|"
MAGIC = b"PAR1"


def read_columns(path: str | Path) -> pa.Table:
    """Read a CSV or Parquet file, told apart by content; columns in source order.

    CSV: UTF-8, a header line, one of ``, ; tab |`` between values; every column comes back as text.

    Raises
    ------
    RefitError
        If the file is missing, empty, without rows, not UTF-8, damaged, or repeats a column name.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RefitError(f"{path}: no such file (paths are relative to {Path('params.yaml')}'s folder).") from None
    except IsADirectoryError:
        raise RefitError(f"{path}: is a folder; name one CSV or Parquet file.") from None
    except PermissionError:
        raise RefitError(f"{path}: may not be read; change the file's permissions.") from None
    table = read_content(content, path)
    if table.num_rows == 0:
        raise RefitError(f"{path}: has columns ({some(table.column_names)}) but no rows.")
    return table


def read_content(content: bytes, path: Path) -> pa.Table:
    """:func:`read_columns` of what is in a file, also without rows; ``path`` is what messages call it."""
    if not content.strip():
        raise RefitError(f"{path}: the file is empty; expected a CSV or Parquet file with a header and rows.")
    named_parquet = path.suffix.lower() in (".parquet", ".pq")
    return _parquet(content, path) if content.startswith(MAGIC) or named_parquet else _csv(content, path)


def _parquet(content: bytes, path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(content))
        _distinct(file.schema_arrow.names, path)
        return file.read()
    except (pa.ArrowException, OSError) as error:
        raise RefitError(
            f"{path}: not a readable Parquet file ({_first_line(error)}). Write or fetch it again; "
            "a CSV file must not be named .parquet."
        ) from None


def _csv(content: bytes, path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv as pv

    content = content.removeprefix(b"\xef\xbb\xbf")  # a byte-order mark, as Excel writes it
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RefitError(
            f"{path}:{line}: not UTF-8 (byte 0x{content[error.start]:02x}). Save the file as UTF-8, "
            f"as in `iconv -f latin1 -t utf-8 {path.name}`."
        ) from None
    header = _header(content)
    delimiter = max(DELIMITERS, key=header.count)
    parse = pv.ParseOptions(delimiter=delimiter, newlines_in_values=b'"' in content)
    try:
        names = pv.open_csv(io.BytesIO(header.encode() + b"\n"), parse_options=parse).schema.names
        _distinct(names, path)
        convert = pv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), null_values=list(MISSING), strings_can_be_null=True
        )
        return pv.read_csv(io.BytesIO(content), parse_options=parse, convert_options=convert)
    except pa.ArrowException as error:
        raise RefitError(
            f"{path}: not a CSV file with one header and as many values in every row ({_first_line(error)})."
        ) from None


def _distinct(names: list[str], path: Path) -> None:
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise RefitError(f"{path}: column names must differ, and {some(repeated)} is there more than once. Rename one.")


def _header(content: bytes) -> str:
    """The first record: up to the first line end outside quotes."""
    quoted = False
    for end, char in enumerate(content):
        if char == 0x22:
            quoted = not quoted
        elif char in (0x0A, 0x0D) and not quoted:
            return content[:end].decode("utf-8")
    return content.decode("utf-8")


def _first_line(error: Exception) -> str:
    text = str(error).strip().split("\n")[0]
    return text if len(text) <= 160 else text[:157] + "..."
