"""Files that hold no table as text and are no Parquet: told by how they begin, with what to do instead."""

from __future__ import annotations

import re

from tasks.errors import RefitError

HEAD = 4096  # bytes looked at
SHEET = "an Excel workbook. Save its sheet as CSV UTF-8, or write Parquet"
BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (rb"PK\x03\x04.*(xl/|\[Content_Types\]\.xml)", SHEET),
    (rb"PK\x03\x04.*opendocument\.spreadsheet", "a spreadsheet. Save its sheet as CSV UTF-8"),
    (rb"PK\x03\x04", "a zip archive. Call it NAME.zip if it holds one table, or unpack it"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", SHEET),
    (rb"\x1f\x8b", "packed with gzip. Call it NAME.csv.gz, or unpack it"),
    (rb"BZh[1-9]", "packed with bzip2. Call it NAME.csv.bz2, or unpack it"),
    (rb"\xfd7zXZ\0", "packed with xz. Call it NAME.csv.xz, or unpack it"),
    (rb"\x28\xb5\x2f\xfd", "packed with zstd. Call it NAME.csv.zst, or unpack it"),
    (rb"SQLite format 3\0", "a SQLite database. Name it by its URL, sqlite:///PATH, and a table of it by --query"),
    (rb"ARROW1", "an Arrow file. Write it as Parquet: pandas.read_feather(...).to_parquet(...)"),
    (rb"\x80[\x02-\x05]", "a pickle, which is never loaded. Write the table as Parquet"),
    (rb"%PDF-|\x89PNG|\xff\xd8\xff|GIF8", "a picture or a document. A table as CSV or Parquet is needed"),
    (
        rb"\s*<(!doctype|html|\?xml)",
        "a page of HTML or XML, as a download that failed leaves. Save the table as CSV or Parquet",
    ),
    (
        rb"\s*(\[\s*)?\{\s*\"",
        "JSON. Write it as a table: pandas.read_json(...).to_parquet(...), with lines=True for one object a line",
    ),
)


def refuse_foreign(content: bytes, where: str) -> None:
    """Raise :class:`RefitError`, beginning with ``where``, for content that is a file of another kind."""
    head = content[:HEAD].removeprefix(b"\xef\xbb\xbf")
    for beginning, what in BEGINNINGS:
        if re.match(beginning, head, re.DOTALL | re.IGNORECASE):
            raise RefitError(f"{where}: is {what}.")
