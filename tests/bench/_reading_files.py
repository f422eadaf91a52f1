"""Awkward files, written here, each with the values that it holds or the refusal that it deserves (``tests.bench.reading``)."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

N = 60
ROWS = range(N)
Y = ["yes" if v < 0.6 else "no" for v in np.random.default_rng(7).random(N)]
X = [round(((i * 37) % 101) / 7, 3) for i in ROWS]
AMOUNTS = [round(((i * 7919) % 50_000) + ((i * 13) % 100) / 100 - 900, 2) for i in ROWS]
NUMBERS = [float(i * i * 997 % 1_000_003) for i in ROWS]
DAYS = [pd.Timestamp("2023-01-05", tz="UTC") + pd.Timedelta(days=5 * i) for i in ROWS]


@dataclass(frozen=True)
class Case:
    """A file and what must come of it.

    ``truth``: columns with their values in source order (float, ``str``, bool, time; None: missing); ``rows``: how many
    rows pass validation; ``ignored``: columns that must be left out; ``said``: words of what ``init`` tells; ``refused``:
    a pattern of the refusal. ``served``: a package is made of it, and asked with the cells as the file has them.
    """

    name: str
    content: bytes
    truth: dict[str, list[Any]] = field(default_factory=dict)
    file: str = "orders.csv"
    target: str = "y"
    kind: str = "binary"
    ignored: tuple[str, ...] = ()
    said: str = ""
    refused: str = ""
    rows: int = N
    served: bool = False
    cells: dict[str, list[str]] = field(default_factory=dict)


def text(columns: dict[str, Sequence[Any]], sep: str = ",", end: str = "\n", header: bool = True) -> str:
    """A CSV text; cells are written as they are, quoted where they must be."""

    def cell(value: Any) -> str:
        value = "" if value is None else str(value)
        return '"' + value.replace('"', '""') + '"' if any(c in value for c in (sep, '"', "\n", "\r")) else value

    lines = [sep.join(cell(name) for name in columns)] if header else []
    lines += [sep.join(map(cell, row)) for row in zip(*columns.values(), strict=True)]
    return end.join(lines) + end


def written(values: Sequence[float], thousands: str, decimal_mark: str, form: str = "{}") -> list[str]:
    """Numbers with two decimals, marks of thousands, and a text around; a minus leads."""

    def one(value: float) -> str:
        body = f"{abs(value):,.2f}".replace(",", "\0").replace(".", decimal_mark).replace("\0", thousands)
        return ("-" if value < 0 else "") + form.format(body)

    return [one(value) for value in values]


def indian(value: float) -> str:
    whole, rest = f"{abs(value):.2f}".split(".")
    head, tail = whole[:-3], whole[-3:]
    while len(head) > 2:
        tail, head = head[-2:] + "," + tail, head[:-2]
    return ("-" if value < 0 else "") + (head + "," if head else "") + tail + "." + rest


def plain(**columns: list[Any]) -> dict[str, list[Any]]:
    return {"x": X, **columns, "y": Y}


def csv(name: str, columns: dict[str, Sequence[Any]], truth: dict[str, list[Any]], *, sep: str = ",", end: str = "\n",
        encoding: str = "utf-8", before: str = "", after: str = "", **more: Any) -> Case:  # fmt: skip
    content = (before + text(columns, sep, end) + after).encode(encoding)
    return Case(name, content, truth, cells={n: [*map(str, v)] for n, v in columns.items()}, **more)


def amount(name: str, cells: list[str], truth: list[float | None], *, sep: str = ",", **more: Any) -> Case:
    return csv(name, {"x": X, "amount": cells, "y": Y}, {"amount": truth, "y": Y}, sep=sep, **more)


def parquet(name: str, columns: dict[str, pa.Array], truth: dict[str, list[Any]], **more: Any) -> Case:
    into = io.BytesIO()
    arrays = {"x": pa.array(X), **columns, "y": pa.array(Y)}
    pq.write_table(pa.table(list(arrays.values()), names=list(arrays)), into)
    return Case(name, into.getvalue(), {"y": Y, **truth}, file="orders.parquet", **more)


def encodings() -> list[Case]:
    towns = [("Köln", "Zürich", "Århus", "Paris")[i % 4] for i in ROWS]
    rows = {"x": X, "town": towns, "y": Y}
    truth = plain(town=towns)
    price = [("5 €", "7 €", "“new”")[i % 3] for i in ROWS]
    half = [unicodedata.normalize("NFD" if i % 8 < 4 else "NFC", town) for i, town in enumerate(towns)]
    russian = [("Москва", "Тверь", "Казань")[i % 3] for i in ROWS]
    broken = text(rows).encode().replace("Zürich".encode(), b"Z\xfcrich", 1)
    return [
        csv("UTF-8 with a byte-order mark", rows, truth, before="\ufeff"),
        csv("UTF-16, as spreadsheets save Unicode text", rows, truth, sep="\t", encoding="utf-16", said="UTF-16"),
        csv("UTF-16 without a mark", rows, truth, encoding="utf-16-le", said="UTF-16"),
        csv("Latin-1", rows, truth, encoding="latin-1", said="read as Windows-1252, as in 'Köln'"),
        csv("Windows-1252 with curly quotes", {"x": X, "price": price, "y": Y}, plain(price=price), encoding="cp1252"),
        csv("Windows-1251", {"x": X, "town": russian, "y": Y}, {}, encoding="cp1251", refused="not UTF-8"),
        Case("UTF-8 with a damaged byte", broken, refused=r"orders.csv:3: not UTF-8 \(byte 0xfc\)"),
        csv("accents typed in two ways", {"x": X, "town": half, "y": Y}, truth, served=True),
    ]


def layouts() -> list[Case]:
    notes = [("short", "two\nlines, and a comma", 'a "quote"')[i % 3] for i in ROWS]
    rows: dict[str, Sequence[Any]] = {"x": X, "n": NUMBERS, "y": Y}
    truth = plain(n=NUMBERS)
    comma = [str(x).replace(".", ",") for x in X]
    odd = {"a;b;c": X, "n": NUMBERS, "y": Y}
    total = f"Total;{sum(X):.3f};\n"
    named = {"who": [f"p{i % 9}" for i in ROWS], "x": X, "y": Y}
    return [
        csv("semicolons and decimal commas", {"x": comma, "n": NUMBERS, "y": Y}, truth, sep=";", served=True),
        csv("tabs", rows, truth, sep="\t"),
        csv("bars", rows, truth, sep="|"),
        csv("quoted line ends", {"x": X, "note": notes, "y": Y}, plain(note=notes)),
        csv("only carriage returns", rows, truth, end="\r"),
        csv("line ends of Windows", rows, truth, end="\r\n"),
        Case("other separators within a quoted name", ('"a;b;c",n,y\n' + text(odd, header=False)).encode(),
             {"a;b;c": X, "n": NUMBERS, "y": Y}),
        csv("a title above the names", rows, truth, before="Orders of May\nprinted on Monday\n\n", said="before the names left out"),
        csv("a title padded with separators", rows, truth, before="Orders of May,,\n,,\n", said="before the names left out"),
        csv("comments above the names", rows, truth, before="# made by a tool\n# version 3\n", said="# made by a tool"),
        csv("a line that tells the separator", rows, truth, sep=";", before="sep=;\n"),
        csv("a total in the last row", named, {"x": X, "y": Y}, sep=";", after=total, said="taken for a total"),
        csv("a note in the last line", rows, truth, after="\n(60 rows)\n", said="taken for a note"),
        Case("no names", text(rows, header=False).encode(), refused="has no column 'y'.* looks like values"),
        Case("nothing at all", b"", refused="the file is empty"),
        Case("names alone", b"x,n,y\n", refused="but no rows"),
        Case("a last row cut short", text(rows).encode()[:-6], refused="as many values in every row"),
        csv("blanks between values", rows, {}, sep=" ", refused="must stand `,`, `;`, tabs or"),
        Case("one column", text({"y": Y}).encode(), refused="no column is left to predict 'y' from"),
        csv("a separator after each last value", {"x": X, "n": NUMBERS, "y": Y, "": [""] * N}, truth, ignored=("column_4",)),
        csv("blank lines between rows", rows, truth, end="\n\n"),
    ]  # fmt: skip


def numbers() -> list[Case]:
    small = [round(((i * 31) % 1000) / 10, 1) for i in ROWS]
    words = ["unknown" if i % 5 == 0 else str(x) for i, x in enumerate(AMOUNTS)]
    known = [None if i % 5 == 0 else x for i, x in enumerate(AMOUNTS)]
    marks = [("?", "-", "n.a.")[i % 3] if i % 7 == 0 else str(x) for i, x in enumerate(AMOUNTS)]
    seen = [None if i % 7 == 0 else x for i, x in enumerate(AMOUNTS)]
    zips = [("01219", "80331", "04109", "10115")[i % 4] for i in ROWS]
    large = [2**53 + 1 + 12_345_678_901 * i for i in ROWS]
    mixed = [f"{('$', '€')[i % 2]}{abs(a):.2f}" for i, a in enumerate(AMOUNTS)]
    typo = [*map(str, AMOUNTS[:-1]), "12o5"]
    thousand = [f"{v:,.0f}" for v in NUMBERS]
    half = [f"{a:.2f}" if i % 2 else f"code {i}" for i, a in enumerate(AMOUNTS)]
    return [
        amount("thousands by commas", written(AMOUNTS, ",", "."), [*AMOUNTS], said="read as '1,234.50'"),
        amount("thousands by points", written(AMOUNTS, ".", ","), [*AMOUNTS], sep=";", served=True),
        amount("thousands by spaces", written(AMOUNTS, " ", ","), [*AMOUNTS], sep=";"),
        amount("thousands by narrow spaces", written(AMOUNTS, "\u202f", ","), [*AMOUNTS], sep=";"),
        amount("thousands by apostrophes", written(AMOUNTS, "’", "."), [*AMOUNTS]),
        amount("lakhs", [indian(a * 100) for a in AMOUNTS], [round(a * 100, 2) for a in AMOUNTS]),
        amount("whole thousands", thousand, [*NUMBERS], said="1,234 is read as one thousand"),
        amount("dollars", written(AMOUNTS, ",", ".", "${}"), [*AMOUNTS], served=True),
        amount("euros behind", written(AMOUNTS, ".", ",", "{} €"), [*AMOUNTS], sep=";"),
        amount("a code of money", written(AMOUNTS, ",", ".", "USD {}"), [*AMOUNTS]),
        amount("percent", [f"{v}%" for v in small], [*small], served=True),
        amount("percent with commas", [f"{v} %".replace(".", ",") for v in small], [*small], sep=";"),
        amount("parentheses of accounts", [f"({-a:,.2f})" if a < 0 else f"{a:,.2f}" for a in AMOUNTS], [*AMOUNTS]),
        amount("a minus behind", [f"{-a:.2f}-" if a < 0 else f"{a:.2f}" for a in AMOUNTS], [*AMOUNTS]),
        amount("a typographer's minus", [f"{a:.2f}".replace("-", "\u2212") for a in AMOUNTS], [*AMOUNTS]),
        amount("a unit", [f"{v} kg" for v in small], [*small]),
        amount("a word in a fifth of the rows", words, known, said="'unknown' (12 rows) counts as missing", served=True),
        amount("marks for no value", marks, seen, said="count as missing"),
        amount("scientific notation", [f"{a:.6e}" for a in AMOUNTS], [*AMOUNTS]),
        amount("hexadecimal", [hex(int(v)) for v in NUMBERS], [*NUMBERS], said="hexadecimal"),
        amount("a typing mistake", typo, [*AMOUNTS[:-1], None], rows=N - 1, said="'12o5', whose rows go to quarantine"),
        csv("postcodes", {"x": X, "zip": zips, "y": Y}, plain(zip=zips), said="digits with leading zeros"),
        csv("whole numbers too large for a float", {"x": X, "ref": large, "y": Y}, {"x": X, "y": Y}, ignored=("ref",), said="beyond 2^53"),
        csv("two currencies", {"x": X, "amount": mixed, "y": Y}, {"x": X, "y": Y}, ignored=("amount",), said="several currencies"),
        csv("half numbers, half texts", {"x": X, "amount": half, "y": Y}, {"x": X, "y": Y}, ignored=("amount",),
            said="30 of 60 values are numbers such as"),
    ]  # fmt: skip


def times() -> list[Case]:
    def dated(name: str, cells: list[Any], truth: list[Any], **more: Any) -> Case:
        return csv(name, {"x": more.pop("x", X), "day": cells, "y": Y}, {"x": X, "day": truth, "y": Y}, **more)

    def as_written(form: str, days: list[pd.Timestamp]) -> list[str]:
        return [day.strftime(form) for day in days]

    early = [pd.Timestamp(2023, 1 + i // 11, 1 + i % 11, tz="UTC") for i in ROWS]
    shuffled = [early[i] for i in np.random.default_rng(3).permutation(N)]
    before = [day.replace(year=2021) for day in shuffled]
    clock = [day + pd.Timedelta(minutes=i * 37 % 1440) for i, day in enumerate(DAYS)]
    born = [pd.Timestamp(1955, 1, 1, tz="UTC") + pd.Timedelta(days=321 * i) for i in ROWS]
    zoned = [f"{c.tz_convert('Asia/Tokyo').isoformat()}" if i % 2 else c.isoformat() for i, c in enumerate(clock)]
    words = ["today" if i == 7 else d for i, d in enumerate(as_written("%Y-%m-%d", DAYS))]
    unknown = ["unknown" if i % 6 == 0 else d for i, d in enumerate(as_written("%d.%m.%Y", DAYS))]
    known = [None if i % 6 == 0 else d for i, d in enumerate(DAYS)]
    alone = [f"{i * 37 % 24:02d}:{i * 11 % 60:02d}" for i in ROWS]
    return [
        dated("days first, with points", as_written("%d.%m.%Y", DAYS), DAYS, served=True),
        dated("months first", as_written("%m/%d/%Y", DAYS), DAYS),
        dated("days first, with bars", as_written("%d/%m/%Y", DAYS), DAYS),
        dated("days and months that could change places", as_written("%d/%m/%Y", early), early, said="the values do not tell"),
        csv("a day's order that another column tells", {"x": X, "asked": as_written("%d/%m/%Y", before), "day": as_written("%d/%m/%Y", DAYS), "y": Y},
            {"asked": before, "day": DAYS}, said="as the other columns are written"),
        dated("a day's order that decimal commas tell", as_written("%d/%m/%Y", shuffled), shuffled, x=[str(x).replace(".", ",") for x in X], sep=";"),
        dated("years of two digits", as_written("%d.%m.%y", DAYS), DAYS),
        dated("years of two digits before 1970", as_written("%d.%m.%y", born), [d if d.year >= 1969 else d + pd.DateOffset(years=100) for d in born],
              said="69 to 99 are of the 1900s"),
        dated("twelve hours", as_written("%m/%d/%Y %I:%M %p", clock), clock),
        dated("names of months", as_written("%d %B %Y", DAYS), DAYS),
        dated("seconds since 1970", [int(d.timestamp()) for d in DAYS], DAYS),
        dated("zones mixed", zoned, clock),
        dated("a word held against the clock", words, [None if i == 7 else d for i, d in enumerate(DAYS)], rows=N - 1),
        dated("times that are not known", unknown, known, said="'unknown' (10 rows) counts as missing"),
        csv("times of day alone", {"x": X, "at": alone, "y": Y}, {"x": X, "y": Y}, ignored=("at",), said="times of day"),
    ]  # fmt: skip


def classes() -> list[Case]:
    n = 400
    depth = [("None", "Mild", "Severe")[0 if i % 400 < 218 else 1 + i % 2] for i in (j * 7 % 400 for j in range(n))]
    many = [round(((i * 37) % 101) / 7, 3) for i in range(n)]
    region = [("NA", "EU", "ASIA")[i % 3] for i in np.random.default_rng(5).permutation(N)]
    r_export = ["NA" if i % 9 == 0 else str(a) for i, a in enumerate(AMOUNTS)]
    r_known = [None if i % 9 == 0 else a for i, a in enumerate(AMOUNTS)]
    r_label = ["NA" if i % 9 == 0 else y for i, y in enumerate(Y)]
    spelled = [
        ("Yes", " yes", "YES\u00a0", "no", "No", "\u200bno ")[
            (i * 7 % 3 > 0) * 0 + (i % 3 if Y[i] == "yes" else 3 + i % 3)
        ]
        for i in ROWS
    ]
    truths = [("TRUE", "no", "Y", "False", "yes", "n")[i % 6] for i in ROWS]
    answers = [i % 2 == 0 for i in ROWS]
    gone = [None if i % 10 == 0 else y for i, y in enumerate(Y)]
    german = [("ja", "nein")[i % 2] for i in ROWS]
    empties = [("", "NA", "x", "y")[i % 4] for i in ROWS]
    return [
        csv("a class called None", {"x": many, "depth": depth}, {"depth": depth}, target="depth", kind="multiclass", rows=n,
            said="'None' (218 rows) is a value here", served=True),
        csv("a class called NA", {"x": X, "region": region}, {"region": region}, target="region", kind="multiclass", said="'NA' (20 rows) is a value"),
        csv("NA for missing, as R writes it", {"amount": r_export, "x": X, "y": r_label},
            {"amount": r_known, "y": [None if v == "NA" else v for v in r_label]}, said="'NA' counts as missing"),
        csv("labels without a value", {"x": X, "n": NUMBERS, "y": gone}, {"n": NUMBERS, "y": gone}),
        csv("labels spelled in six ways", {"x": X, "n": NUMBERS, "y": spelled}, {"y": Y}, said="count as one"),
        csv("truth spelled in six ways", {"x": X, "flag": truths, "y": Y}, {"flag": answers, "y": Y}, served=True),
        csv("truth in German", {"x": X, "flag": german, "y": Y}, {"flag": answers, "y": Y}),
        csv("NA beside empty", {"x": X, "alley": empties, "y": Y},
            {"alley": [e or None for e in empties], "y": Y}, said="'NA' (15 rows) is a value"),
    ]  # fmt: skip


def names() -> list[Case]:
    odd = {"a: b": X, "# c": NUMBERS, "'q\"": X[::-1], "ünï": NUMBERS[::-1], "- d": X, "yes": NUMBERS, "{x}": X, "a.b": X, "a - b + 2h": NUMBERS, "`z`": X, "y": Y}  # fmt: skip
    head = "a,a,a ,y\n"
    body = text({"1": X, "2": NUMBERS, "3": X[::-1], "y": Y}, header=False)
    two = text({"1": X, "2": NUMBERS, "y": Y}, header=False)
    gaps = [i + i // 7 for i in ROWS]
    return [
        csv("an index without a name", {"": list(ROWS), "x": X, "y": Y}, {"x": X, "y": Y}, ignored=("column_1",)),
        csv("an index with gaps", {"Unnamed: 0": gaps, "x": X, "y": Y}, {"x": X, "y": Y}, ignored=("Unnamed: 0",)),
        Case("a name three times", (head + body).encode(), {"a": X, "a_2": NUMBERS, "a_3": X[::-1], "y": Y}, said="'a' is there 3 times"),
        Case("names that stages use", ("__row__,__target__,y\n" + two).encode(), {"row": X, "target": NUMBERS, "y": Y}, said="is a name that stages use"),
        Case("a name of blanks", ("x,\u00a0 ,y\n" + two).encode(), {"x": X, "column_2": NUMBERS, "y": Y}, said="column 2 has no name"),
        Case("blanks around names", ("x , n\u200b, y\n" + two).encode(), {"x": X, "n": NUMBERS, "y": Y}),
        Case("names that differ by capitals", ("Price,price,y\n" + two).encode(), {"Price": X, "price": NUMBERS, "y": Y}, said="differ by capital letters"),
        csv("names of any character", odd, {name: list(values) for name, values in odd.items()}, served=True),
    ]  # fmt: skip


def types() -> list[Case]:
    naive = [d.tz_localize(None) for d in DAYS]
    spans = [dt.timedelta(seconds=90 * i * i) for i in ROWS]
    codes = [("a", "b", "c")[i % 3] for i in ROWS]
    lists = pa.array([[i, i + 1] for i in ROWS])
    records = pa.array([{"a": i} for i in ROWS])
    maps = pa.array([[("k", i)] for i in ROWS], pa.map_(pa.string(), pa.int64()))
    halves = np.array([i / 8 for i in ROWS], np.float16)
    frame = pd.DataFrame({"x": X, "month": pd.period_range("2020-01", periods=N, freq="M"), "band": pd.arrays.IntervalArray.from_arrays(list(ROWS), [i + 1 for i in ROWS]), "y": Y})  # fmt: skip
    into = io.BytesIO()
    frame.to_parquet(into)
    months = list(pd.date_range("2020-01-01", periods=N, freq="MS", tz="UTC"))
    return [
        parquet("decimals", {"a": pa.array([decimal.Decimal(str(a)) for a in AMOUNTS], pa.decimal128(12, 2)),
                             "b": pa.array([decimal.Decimal(str(a)) for a in AMOUNTS], pa.decimal256(40, 2))}, {"a": AMOUNTS, "b": AMOUNTS}),
        parquet("lists, records and maps", {"l": lists, "r": records, "m": maps}, {"x": X}, ignored=("l", "r", "m"), said="holds lists"),
        parquet("bytes that are texts, and others", {"t": pa.array([c.encode() for c in codes]), "b": pa.array([b"\xff\xfe" + bytes([i]) for i in ROWS])},
                {"t": codes}, ignored=("b",), said="bytes that are no text"),
        parquet("dictionaries", {"d": pa.array(codes).dictionary_encode(), "n": pa.array(NUMBERS).dictionary_encode()}, {"d": codes, "n": NUMBERS}),
        parquet("times of day and spans", {"at": pa.array([dt.time(i % 24, i % 60) for i in ROWS]), "span": pa.array(spans, pa.duration("ns"))},
                {"span": [s.total_seconds() for s in spans]}, ignored=("at",), said="times of day"),
        parquet("times of all units and zones", {
            "s": pa.array(naive, pa.timestamp("s")), "ms": pa.array(naive, pa.timestamp("ms")), "us": pa.array(DAYS, pa.timestamp("us", "Europe/Berlin")),
            "ns": pa.array(DAYS, pa.timestamp("ns", "+05:30")), "d": pa.array(naive, pa.date32()), "d64": pa.array([d.date() for d in naive], pa.date64())},
            {"s": DAYS}),
        parquet("times beyond the years that there are", {"far": pa.array([10**14 if i == 7 else int(d.timestamp()) for i, d in enumerate(DAYS)], pa.timestamp("s")),
                "bc": pa.array([-(10**6) - i for i in ROWS], pa.date32()), "span": pa.array([i * 10**15 for i in ROWS], pa.duration("s"))},
                {"far": [None if i == 7 else d for i, d in enumerate(DAYS)], "span": [i * 1e15 for i in ROWS]}, ignored=("bc",), rows=N - 1),
        parquet("odd widths", {"none": pa.nulls(N), "u": pa.array([int(v) for v in NUMBERS], pa.uint64()), "h": pa.array(halves),
                               "t": pa.array(codes, pa.large_string()), "v": pa.array(codes, pa.string_view())},
                {"u": NUMBERS, "h": [float(h) for h in halves], "t": codes, "v": codes}, ignored=("none",)),
        Case("periods and intervals of pandas", into.getvalue(), {"month": months, "y": Y}, file="orders.parquet", ignored=("band",)),
        parquet("numbers as texts", {"a": pa.array(written(AMOUNTS, ".", ",")), "n": pa.array([None if i % 7 == 0 else str(v) for i, v in enumerate(NUMBERS)])},
                {"a": AMOUNTS, "n": [None if i % 7 == 0 else v for i, v in enumerate(NUMBERS)]}),
        Case("a Parquet file cut short", into.getvalue()[:-20], file="orders.parquet", refused="not a readable Parquet file"),
    ]  # fmt: skip


KINDS: tuple[Callable[[], list[Case]], ...] = (encodings, layouts, numbers, times, classes, names, types)


def cases() -> list[Case]:
    return [case for kind in KINDS for case in kind()]
