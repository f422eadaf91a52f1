"""``python -m tasks.ingest``: every table's source to ``data/raw/<table>.parquet``, and ``manifest.json``."""

from tasks import stage  # isort: skip  (its settings come first)

from pathlib import Path

from tasks import files, params
from tasks.ingest.files import check_listed
from tasks.ingest.tables import ingest, source_of
from tasks.stage import log

RAW = Path("data/raw")


def main() -> None:
    declared = params.load()
    check_listed(declared)
    with files.replacing_dir(RAW) as folder:
        manifest = {}
        for name, table in declared.data.tables.items():
            if table.snapshots:  # the stage validate makes them
                continue
            read = ingest(name, table)
            files.write_table(folder / f"{name}.parquet", read.frame)
            if len(read.problems):
                files.write_table(folder / f"{name}.problems.parquet", read.problems)
            manifest[name] = {
                "source": source_of(table),
                "sha256": read.sha256,
                "rows": len(read.frame),
                "columns": list(read.frame.columns),
                "unreadable": len(read.problems),
                **read.about,
            }
            log(f"{name}: {len(read.frame):,} rows from {table.shown}" + _unreadable(len(read.problems)))
            for line in read.about.get("remarks", ()):
                log(f"{name}: {line}")
        files.write_json(folder / "manifest.json", {"tables": manifest})


def _unreadable(count: int) -> str:
    return f", {count:,} values could not be read (their rows go to quarantine)" if count else ""


if __name__ == "__main__":
    stage.run(main)
