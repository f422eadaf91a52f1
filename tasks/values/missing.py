"""Which texts count as missing: the usual ones unless ``data.missing``, or ``missing`` of a column, lists others.

One rule for every source and for requests: a text of the list is missing, wherever it stands; null (and a stored NaN)
always is. A list takes the place of the usual texts, and has them too where it names ``usual``; so NA and an empty text
can be told apart (``missing: [""]`` makes NA a value), and ``missing: [usual, unknown]`` adds a word. Numbers of the
list count too: ``missing: [-999]``.
"""

from __future__ import annotations

from collections.abc import Iterable

# The spellings of R, SQL, pandas, NumPy and spreadsheets, as pandas and Arrow take them by default.
USUAL = (
    "", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None",
    "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
)  # fmt: skip
WORD = "usual"  # in a list: all of the above
EMPTY = "(empty)"  # the level of an empty text where a list says that it is not missing


def check_missing(written: object) -> tuple[str, ...]:
    """A list of ``params.yaml`` as texts; YAML's own ``null`` and numbers as they are written. Raises ``ValueError``.

    >>> check_missing(["", None, "unknown", -999])
    ('', 'null', 'unknown', '-999')
    """
    from tasks.values.levels import level

    if isinstance(written, str) or not isinstance(written, Iterable):
        raise ValueError('missing is a list of texts, as in ["", NA, unknown]; `usual` in it stands for the usual ones')
    listed = ["null" if one is None else one.strip() if isinstance(one, str) else level(one) or "" for one in written]
    return tuple(dict.fromkeys(listed))


def texts(listed: Iterable[str] | None) -> tuple[str, ...]:
    """All texts that count as missing by a list; of None, the usual ones.

    >>> texts([""]), texts(None) == USUAL, texts(["usual", "?"])[-1]
    (('',), True, '?')
    """
    if listed is None:
        return USUAL
    words: list[str] = []
    for one in listed:
        words += USUAL if one == WORD else (one,)
    return tuple(dict.fromkeys(words))


def numbers(listed: Iterable[str]) -> tuple[float, ...]:
    """The numbers among the texts: a typed column may hold them.

    >>> numbers(("", "NaN", "-999"))
    (-999.0,)
    """
    values = []
    for text in listed:
        if any(c.isdigit() for c in text) and "#" not in text:
            try:
                values.append(float(text))
            except ValueError:
                continue
    return tuple(values)
