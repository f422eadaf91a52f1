"""``python -m tasks.ingest``: every table's source to ``data/raw/<table>.parquet``, and ``manifest.json``."""

from tasks import stage  # isort: skip  (its settings come first)

from tasks import files, params
from tasks.artifacts import RawManifest, RawTable
from tasks.artifacts.folders import RAW
from tasks.ingest.files import check_listed
from tasks.ingest.tables import ingest, manifest_of
from tasks.stage import log


def main() -> None:
    """The stage: every table from its source; writes ``data/raw``."""
    declared = params.load()
    check_listed(declared)
    with files.replacing_dir(RAW) as folder:
        manifest: dict[str, RawTable] = {}
        for name, table in declared.data.tables.items():
            if table.snapshots:  # the stage validate makes them
                continue
            read = ingest(name, table)
            files.write_table(folder / f"{name}.parquet", read.frame)
            if len(read.problems):
                files.write_table(folder / f"{name}.problems.parquet", read.problems)
            if len(read.refused):
                files.write_table(folder / f"{name}.refused.parquet", read.refused)
            manifest[name] = manifest_of(table, read)
            log(f"{name}: {len(read.frame):,} rows from {table.shown}" + _unreadable(len(read.problems)))
            if len(read.refused):
                log(f"{name}: {len(read.refused):,} events were refused on receipt (they go to quarantine)")
            for line in read.remarks:
                log(f"{name}: {line}")
        RawManifest(tables=manifest).write(folder)


def _unreadable(count: int) -> str:
    return f", {count:,} values could not be read (their rows go to quarantine)" if count else ""


if __name__ == "__main__":
    stage.run(main)
