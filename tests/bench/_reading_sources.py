"""Awkward sources, each with the values that it holds or the refusal that it deserves (``tests.bench.reading``).

A case is some files in a folder, what ``refit init`` is given, and what must come of it. :func:`wrong` runs one in the
working directory, which must be empty: ``init`` and the stage ``ingest``, after the changes that the case asks for.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

N = 60
IDS = list(range(1000, 1000 + N))
X = [round(((i * 37) % 101) / 7, 3) for i in range(N)]
Y = ["yes" if v < 0.6 else "no" for v in np.random.default_rng(7).random(N)]
TABLE = pd.DataFrame({"order_id": IDS, "x": X, "town": [f"t{i % 4}" for i in range(N)], "y": Y})
TRUTH = {"order_id": [float(i) for i in IDS], "x": X, "town": [f"t{i % 4}" for i in range(N)], "y": Y}


@dataclass(frozen=True)
class Source:
    """``data`` (and ``query``) is what init is given; ``files`` lie there by then. ``truth``: columns in order of the key.

    ``change`` is done after init, as a week later: to the folder, and to the text of ``params.yaml``, which it gets and
    returns. ``said``: words of the manifest's remarks; ``refused``: a pattern of the refusal.
    """

    name: str
    data: str
    files: dict[str, bytes]
    query: str | None = None
    change: Callable[[str], str] | None = None
    truth: dict[str, list[Any]] = field(default_factory=lambda: TRUTH)
    said: str = ""
    refused: str = ""


def csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def parquet(frame: pd.DataFrame) -> bytes:
    return frame.to_parquet(index=False)  # type: ignore[no-any-return]


def weeks(form: str) -> dict[str, bytes]:
    """Three files of 20 rows; the tenth comes after the ninth."""
    write = csv if form == "csv" else parquet
    return {f"weekly/w{9 + k}.{form}": write(TABLE.iloc[20 * k : 20 * k + 20]) for k in range(3)}


def cases() -> list[Source]:
    found: list[Source] = []
    for form, write in (("csv", csv), ("parquet", parquet)):
        found += [
            Source(f"a folder of weeks, {form}", "weekly", weeks(form)),
            Source(f"a glob of weeks, {form}", f"weekly/*.{form}", weeks(form)),
            Source(f"a glob through folders, {form}", f"in/*/part.{form}", {f"in/{k}/part.{form}": c for k, c in enumerate(weeks(form).values())}),
            Source(f"a packed file, {form}", f"orders.{form}.gz", {f"orders.{form}.gz": gzip.compress(write(TABLE), mtime=0)}),
            Source(f"packed weeks, {form}", "weekly", {f"{n}.gz": gzip.compress(c, mtime=0) for n, c in weeks(form).items()}),
            Source(f"a zip of one file, {form}", "orders.zip", {"orders.zip": zipped({f"a.{form}": write(TABLE)})}),
            Source(f"the same week twice, {form}", "weekly", weeks(form), change=add(f"weekly/w9b.{form}", weeks(form)[f"weekly/w9.{form}"]), said="is weekly/w9." + form + " again"),
            Source(f"weeks that overlap, {form}", "weekly", weeks(form), change=add(f"weekly/w12.{form}", write(TABLE.iloc[35:])), said="25 rows are there again in a later file"),
            Source(f"a week without a column, {form}", "weekly", weeks(form), change=add(f"weekly/w11.{form}", write(TABLE.iloc[40:].drop(columns="town"))), truth={**TRUTH, "town": [*TRUTH["town"][:40], *[None] * 20]}, said="without the column 'town', which is missing in 20 rows"),
            Source(f"a week with a column more, {form}", "weekly", weeks(form), change=add(f"weekly/w11.{form}", write(TABLE.iloc[40:].assign(mood=1))), said="a column 'mood', which is not declared"),
            Source(f"a row corrected in a later week, {form}", "weekly", weeks(form), change=add(f"weekly/w12.{form}", write(TABLE.iloc[:1].assign(x=99.5))), truth={**TRUTH, "x": [99.5, *X[1:]]}, said="1 rows are corrected by a later file's row"),
            Source(f"a week half written, {form}", "weekly", weeks(form), change=add(f"weekly/w12.{form}", write(TABLE)[:-30]), refused=rf"weekly/w12\.{form}: .*(still being written|may be cut)"),
            Source(f"a week half written that may wait, {form}", "weekly", weeks(form), change=both(add(f"weekly/w12.{form}", write(TABLE)[:-30]), declare("files: {unfinished: wait}")), said=f"left for the next run: weekly/w12.{form}"),
            Source(f"a week of another form, {form}", "weekly", weeks(form), change=add(f"weekly/w12.{form}", write(TABLE.assign(order_id=lambda f: f["order_id"] + 100, x="n.a."))), refused=rf"60 of 60 values of weekly/w12\.{form} cannot be read as numeric"),
            Source(f"numbers that become texts, {form}", "weekly", weeks(form), change=add(f"weekly/w11.{form}", write(TABLE.iloc[40:].astype("str")))),
        ]  # fmt: skip
    found += [
        Source("weeks of two formats", "weekly", {**weeks("csv"), "weekly/w11.parquet": parquet(TABLE.iloc[40:])} | {}, change=remove("weekly/w11.csv")),
        Source("a partitioned data set", "orders", {f"orders/town=t{k}/part-0.parquet": parquet(TABLE[TABLE["town"] == f"t{k}"].drop(columns="town")) for k in range(4)}),
        Source("files that are no table beside", "weekly", {**weeks("csv"), "weekly/README.md": b"# weeks", "weekly/_SUCCESS": b"", "weekly/w12.csv.part": b"or"}, said="passed over"),
        Source("a zip of two files", "orders.zip", {"orders.zip": zipped({"a.csv": csv(TABLE), "b.csv": csv(TABLE)})}, refused="holds 2 files"),
        Source("a workbook", "orders.zip", {"orders.zip": zipped({"[Content_Types].xml": b"<a/>", "xl/b.xml": b"<b/>"})}, refused="is a workbook"),
        Source("an empty folder", "weekly", {"weekly/README.md": b"none yet"}, refused="the folder weekly has no table"),
        Source("a glob of nothing", "weekly/*.tsv", weeks("csv"), refused=r"no file matches weekly/\*\.tsv"),
        Source("the project's own folder", "*.csv", {"orders.csv": csv(TABLE)}, refused="every run would change the folder"),
        Source("a table of SQLite", "sqlite:///shop.db", {"shop.db": database()}, query="orders"),
        Source("a query of SQLite", "sqlite:///shop.db", {"shop.db": database()}, query="select * from orders where x < 99 -- 100%"),
        Source("a table that is not there", "sqlite:///shop.db", {"shop.db": database()}, query="order", refused="there is no table 'order'"),
        Source("a password in the URL", "postgresql://me:word@host/shop", {}, query="orders", refused="a password does not stand in this file"),
    ]  # fmt: skip
    return found


def zipped(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return sink.getvalue()


def database() -> bytes:
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        TABLE.sample(frac=1, random_state=1).to_sql("orders", db, index=False)
        db.commit()
        return db.serialize()


def add(path: str, content: bytes) -> Callable[[str], str]:
    def change(text: str) -> str:
        Path(path).write_bytes(content)
        return text

    return change


def remove(path: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        Path(path).unlink()
        return text

    return change


def declare(line: str) -> Callable[[str], str]:
    return lambda text: re.sub(r"^( +)(source: .*)$", rf"\1\2\n\1{line}", text, flags=re.MULTILINE)


def both(*changes: Callable[[str], str]) -> Callable[[str], str]:
    def change(text: str) -> str:
        for one in changes:
            text = one(text)
        return text

    return change


def wrong(case: Source) -> list[str]:
    """What is wrong with the reading of a case; run in an empty folder."""
    from flows import sources
    from tasks import files, params
    from tasks.errors import RefitError
    from tasks.ingest.__main__ import main as ingest
    from tasks.profile import infer, to_yaml

    for path, content in case.files.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content)
    try:
        source, path, given = sources.look(Path.cwd(), case.data, case.query)
        tree = infer(path, "y", given=given)
        if given is not None:
            tree["data"]["tables"][tree["problem"]["table"]]["source"] = source
        text = to_yaml(tree)
        Path("params.yaml").write_text(case.change(text) if case.change else text, encoding="utf-8")
        declared = params.load()
        list(sources.take(Path.cwd(), declared))
        with contextlib.redirect_stdout(io.StringIO()):
            ingest()
    except RefitError as error:
        return [] if case.refused and re.search(case.refused, str(error)) else [f"refused: {error}"]
    if case.refused:
        return ["not refused"]
    name = declared.problem.table
    raw = pd.read_parquet(f"data/raw/{name}.parquet").sort_values("order_id", ignore_index=True)
    found = [
        f"{column}: {raw.get(column, pd.Series()).tolist()[:5]}"
        for column, values in case.truth.items()
        if not raw.get(column, pd.Series()).equals(
            pd.Series(values, dtype=raw[column].dtype if column in raw else None)
        )
    ]
    remarks = "\n".join(files.read_json("data/raw/manifest.json")["tables"][name].get("remarks", []))
    return found + ([] if case.said in remarks else [f"does not say {case.said!r}, but: {remarks[:400]}"])
