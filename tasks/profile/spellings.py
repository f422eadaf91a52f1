"""Levels of a column that are one thing written in several ways: which to join, and which to ask about."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from tasks.values.reading import FALSE, TRUE

MOST = 60  # levels that are compared with each other
TYPO = 0.85  # likeness from which on a rare level may be another one misspelt
SELDOM = 20  # so many times rarer
LETTERS = 5  # shorter words are too often alike by chance
_BETWEEN = re.compile(r"(?<=[^\W\d_])[\s_\-.'’/]+(?=[^\W\d_])|\.$")


def joined(counts: Mapping[str, int], truths: bool) -> dict[str, list[str]]:
    """Levels that differ by what stands between their letters alone, by the most frequent spelling.

    ``truths``: yes and no, in whatever words, are two levels too.

    >>> joined({"on time": 9, "on-time": 2, "late": 5}, truths=False), joined({"yes": 5, "y": 2, "no": 9}, truths=True)
    ({'on time': ['on-time']}, {'yes': ['y']})
    >>> joined({"AB+": 3, "AB-": 3, "1.0": 2, "10": 2}, truths=False)
    {}
    """
    if truths and len(counts) > 2 and _are_truths(counts):
        ways = [{text: n for text, n in counts.items() if text.lower() in words} for words in (TRUE, FALSE)]
    else:
        groups: dict[str, dict[str, int]] = {}
        for text, n in counts.items():
            groups.setdefault(text if re.search(r"\d", text) else _BETWEEN.sub("", text), {})[text] = n
        ways = [group for group in groups.values() if len(group) > 1]
    found = {}
    for group in ways:
        usual = max(group, key=lambda text: (len(text) > 1, group[text], text))
        if len(group) > 1:
            found[usual] = sorted(text for text in group if text != usual)
    return found


def _are_truths(counts: Mapping[str, int]) -> bool:
    words = {text.lower() for text in counts}
    both = bool(words & TRUE) and bool(words & FALSE) and words <= TRUE | FALSE
    return both and any(len(word) > 1 and word.isalpha() for word in words)


def misspelt(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Rare levels that look like a frequent one misspelt, each with that one.

    >>> misspelt({"setosa": 50, "setossa": 1, "virginica": 48})
    [('setossa', 'setosa')]
    """
    if len(counts) > MOST:
        return []
    found = []
    for rare, n in counts.items():
        usual = [text for text in counts if counts[text] >= SELDOM * n and min(len(text), len(rare)) >= LETTERS]
        near = difflib.get_close_matches(rare, usual, n=1, cutoff=TYPO)
        if near and re.sub(r"\d", "", rare) != re.sub(r"\d", "", near[0]):  # week1 and week2 are two things
            found.append((rare, near[0]))
    return found
