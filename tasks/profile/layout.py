"""How a text file is laid out: its encoding, what stands between values, and which of its lines are no rows.

All of it follows from the content, so every run reads the file alike; what was decided is said in remarks. Bytes that
are no UTF-8 are read as Windows-1252, a superset of Latin-1, where that gives words of Western Europe, and refused where
it would not: no reader can tell the other eight-bit encodings apart with certainty.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass

from tasks.errors import RefitError
from tasks.values.levels import tidied

DELIMITERS = ",;\t|"
HEAD, TAIL = 262_144, 8_192  # bytes looked at
RECORDS = 100
NUMBER = re.compile(r"[-+($€£¥]*\s?\d[\d.,' \u00a0\u202f\u2019]*\s?[%)€$£¥]?(e[-+]?\d+)?", re.IGNORECASE)
TOTAL = re.compile(r"(grand |sub)?(total|totals|sum|summe|gesamt|gesamtsumme|insgesamt|totale|totaal|suma|somme|average|mean|mittelwert)\s*:?", re.IGNORECASE)  # fmt: skip
NOTE = re.compile(
    r"#|--|\(?\d[\d., ]* (rows?|records?|lines?|zeilen)\b|(rows?|records?|source|sources|note|notes|quelle|stand|generated|exported|"
    r"created|printed|end of|(grand )?total|sum|summe|gesamt)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Layout:
    """A text file's names, its rows as UTF-8 bytes without the header, the delimiter, and what was decided."""

    names: list[str]
    body: bytes
    delimiter: str
    remarks: list[str]


def layout(content: bytes, where: str) -> Layout:
    """Lay out the content of a CSV file. ``where`` begins the messages of a :class:`RefitError`."""
    content, remarks = decoded(content, where)
    found = opening(content)
    body, left = without_notes(content[found.size :], found.delimiter, len(found.names))
    return Layout(found.names, body, found.delimiter, remarks + found.remarks + left)


@dataclass(frozen=True)
class Opening:
    """How a text file begins: its names, the delimiter, how many bytes come before its rows, and what was decided."""

    names: list[str]
    delimiter: str
    size: int
    remarks: list[str]


def opening(content: bytes) -> Opening:
    """What the beginning of a CSV file says, as UTF-8 without a byte-order mark."""
    head, remarks = content[:HEAD], []
    if len(content) > HEAD:
        head = head[: max(head.rfind(b"\n"), head.rfind(b"\r")) + 1] or head
    text = head.decode("utf-8", errors="ignore")
    lines = list(io.StringIO(text, newline=""))
    delimiter, told = None, re.match(r"sep=(.)\s*$", lines[0]) if lines else None
    if told:
        delimiter, lines = told[1], lines[1:]
    start = len(re.match(r"[^\r\n]*(\r\n|\r|\n)?", text)[0].encode()) if told else 0  # type: ignore[index]
    found = max((_Seen.of(lines, d) for d in ([delimiter] if delimiter else DELIMITERS)), key=lambda seen: seen.score)
    names, skipped, ends = found.header()
    if skipped:
        first = tidied(lines[0])[:60]
        remarks.append(f"{skipped} line{'s' if skipped > 1 else ''} before the names left out, such as {first!r}")
    return Opening(names, found.delimiter, start + len("".join(lines[:ends]).encode()), remarks)


def decoded(content: bytes, where: str) -> tuple[bytes, list[str]]:
    """The content as UTF-8 without a byte-order mark, and a remark where its encoding was another."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):  # fmt: skip
        if content.startswith(mark):
            if encoding == "utf-8":
                content = content[3:]
                break
            return _as(content, encoding, where)
    else:
        head = content[:2000]
        for odd, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
            if len(head) >= 4 and head[odd::2].count(0) > 0.4 * len(head[odd::2]) and not head[1 - odd :: 2].count(0):
                return _as(content, encoding, where)
    try:
        content.decode("utf-8")
        return content, []
    except UnicodeDecodeError as error:
        at = error.start
    line = content.count(b"\n", 0, at) + 1
    text = content.decode("cp1252", errors="replace")
    high = re.findall(r"[^\W\d_]*[^\x00-\x7f][^\W\d_]*", text[:HEAD])
    strange = sum(bool(re.search(r"[^\x00-\x7f]{3}", word)) for word in high)  # Cyrillic, Greek, Chinese and the like
    whole = sum(map(len, re.findall(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}", content)))
    mixed = whole > len(re.findall(rb"[\x80-\xff]", content)) / 2  # UTF-8 with a damaged place
    twofold = re.search(rb"\xc3[\x80-\xbf]", content)  # two letters in Windows-1252 that no word has
    if twofold:
        there = content.count(b"\n", 0, twofold.start()) + 1
        raise RefitError(
            f"{where}:{line}: not UTF-8 (byte 0x{content[at]:02x}), though line {there} is: two encodings in one file. Save it "
            "as UTF-8 throughout."
        )
    if "\ufffd" in text or strange > 0.3 * len(high) or mixed:
        raise RefitError(
            f"{where}:{line}: not UTF-8 (byte 0x{content[at]:02x}), nor Windows-1252 throughout. Save the file as UTF-8, "
            f"as in `iconv -f ENCODING -t utf-8` (its encoding may be cp1251, shift_jis, gb18030, …)."
        )
    word = next((word for word in high if not word.isascii()), "")
    return text.encode("utf-8"), [f"not UTF-8: read as Windows-1252, as in {word[:30]!r} (line {line})"]


def _as(content: bytes, encoding: str, where: str) -> tuple[bytes, list[str]]:
    try:
        return content.decode(encoding).removeprefix("\ufeff").encode("utf-8"), [f"read as {encoding.upper()[:6]}"]
    except UnicodeError:
        raise RefitError(
            f"{where}: begins as {encoding.upper()[:6]}, and is not throughout. Save it as UTF-8."
        ) from None


@dataclass(frozen=True)
class _Seen:
    """The first records of a file by one delimiter; ``ends`` has the number of lines up to the end of each."""

    delimiter: str
    records: list[list[str]]
    ends: list[int]

    @classmethod
    def of(cls, lines: list[str], delimiter: str) -> _Seen:
        records: list[list[str]] = []
        ends: list[int] = []
        reader = csv.reader(iter(lines), delimiter=delimiter)
        try:
            for record in reader:
                records.append(record)
                ends.append(reader.line_num)
                if len(records) == RECORDS:
                    break
        except csv.Error:
            pass
        return cls(delimiter, records, ends)

    @property
    def usual(self) -> int:
        """How many values most records have."""
        counts = Counter(len(record) for record in self.records if any(record))
        return max(counts, key=lambda n: (counts[n], n)) if counts else 1

    @property
    def score(self) -> tuple[bool, bool, float, int]:
        there = [record for record in self.records if any(record)]
        share = sum(len(record) == self.usual for record in there) / max(len(there), 1)
        header = self.records[self._at()] if there else []
        plain = not any(NUMBER.fullmatch(cell.strip()) for cell in header)
        return self.usual > 1, plain and len(header) == self.usual, share, self.usual

    def header(self) -> tuple[list[str], int, int]:
        """The names, how many lines that are not blank stand before them, and with which line they end."""
        if not self.records:
            return [""], 0, 1
        at = self._at()
        before = sum(any(cell.strip() for cell in record) for record in self.records[:at])
        return self.records[at], before, self.ends[at]

    def _at(self) -> int:
        """The place of the header among the records: the first that is no title or comment."""
        for at, record in enumerate(self.records):
            if self.usual < 2 or not self._is_before(at, record):
                blank = not any(cell.strip() for cell in record)
                if not (blank and at + 1 < len(self.records)):
                    return at
        return next((at for at, record in enumerate(self.records) if any(record)), 0)

    def _is_before(self, at: int, record: list[str]) -> bool:
        filled = sum(bool(cell.strip()) for cell in record)
        after = next((r for r in self.records[at + 1 :] if any(r)), None)
        if after is None:
            return False
        if record and record[0].lstrip().startswith("#"):  # a comment, unless it is the names themselves
            return len(record) != self.usual or (len(after) == self.usual and _names(after) and self._values_follow(at))
        title = filled <= 1 and (len(record) < self.usual or self.usual > 2)
        return title and any(len(r) == self.usual and _names(r) for r in self.records[at + 1 :])

    def _values_follow(self, at: int) -> bool:
        return len(self.records) > at + 2 and not _names(self.records[at + 2])


def _names(record: list[str]) -> bool:
    """Whether a record may be one of names: no number in it, and most are filled."""
    filled = [cell for cell in record if cell.strip()]
    return len(filled) > len(record) / 2 and not any(NUMBER.fullmatch(cell.strip()) for cell in filled)


def without_notes(body: bytes, delimiter: str, width: int) -> tuple[bytes, list[str]]:
    """The rows without notes and totals at the end, and what was left out."""
    said: list[str] = []
    if width < 2:
        return body, said
    for _ in range(10):
        whole = body.rstrip(b"\r\n")
        tail = whole[-TAIL:]
        cut = max(tail.rfind(b"\n"), tail.rfind(b"\r"))
        if cut < 0 or tail.count(b'"') % 2:
            break
        last = tail[cut + 1 :].decode("utf-8", errors="ignore")
        try:
            record = next(csv.reader([last], delimiter=delimiter), [])
        except csv.Error:
            break
        if len(record) != width and NOTE.match(last.strip().strip("\"'(").strip()):
            said.append(f"the last line was taken for a note and left out: {last.strip()[:60]!r}")
        elif len(record) == width and _total(record) and not _begins(record, whole[: len(whole) - len(tail) + cut]):
            said.append(f"the last row was taken for a total and left out: {last.strip()[:60]!r}")
        else:
            break
        body = whole[: len(whole) - len(tail) + cut + 1]
    return body, said


def _begins(record: list[str], rows: bytes) -> bool:
    """Whether an earlier row has the word of a total too, which then is a name like others."""
    word = next(cell.strip() for cell in record if cell.strip())
    return re.search(rb"(?:^|[\r\n,;|\t\"])" + re.escape(word.encode()) + rb"(?:[,;|\t\"]|$)", rows) is not None


def _total(record: list[str]) -> bool:
    cells = [cell.strip() for cell in record]
    filled = [cell for cell in cells if cell]
    rest = filled[1:]
    return (
        len(filled) > 0
        and TOTAL.fullmatch(filled[0]) is not None
        and all(NUMBER.fullmatch(cell) for cell in rest)
        and (len(filled) < len(cells) or len(rest) > 1)
    )
