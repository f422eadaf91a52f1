"""The features by their definition, row by row with plain Python: slow, obvious, and independent of the engine."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

HOUR = 3_600_000_000
UNITS = {"s": 10**6, "m": 60 * 10**6, "h": HOUR, "d": 24 * HOUR}


def missing(value: Any) -> bool:
    return value is None or value is pd.NaT or value != value


def micros(value: Any) -> int | None:
    return None if missing(value) else round((pd.Timestamp(value) - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(1, "us"))


def visible(events: list[dict], key: tuple, by: list[str], t: int | None, window: str, own: Any) -> list[dict]:
    """Events in view, oldest first; ``events`` carry ``__s__`` and ``__k__`` (µs or None)."""
    if t is None or any(missing(part) for part in key):
        return []
    seen = [
        e
        for e in events
        if e["__s__"] is not None and e["__k__"] is not None
        and tuple(e[c] for c in by) == key
        and e["__s__"] < t and e["__k__"] < t
        and (own is None or e["id"] != own)
    ]  # fmt: skip
    seen.sort(key=lambda e: (e["__s__"], e["__k__"], e["id"]))
    if window.startswith("last "):
        return seen[-int(window[5:]) :]
    if window != "all":
        length = int(window[:-1]) * UNITS[window[-1]]
        seen = [e for e in seen if e["__s__"] >= t - length]
    return seen


def value(primitive: str, argument: str | None, column: str, seen: list[dict], t: int | None) -> Any:
    """One primitive of the events in view."""
    there = [e for e in seen if not missing(e[column])]
    xs = [e[column] for e in there]
    n = len(xs)
    nan = float("nan")
    match primitive:
        case "count":
            return float(n)
        case "sum":
            return float(sum(map(Fraction, xs), Fraction(0)))
        case "n_unique":
            return float(len(set(xs)))
        case "std":
            if n < 2:
                return nan
            exact = [Fraction(v) for v in xs]
            return math.sqrt(float(n * sum(v * v for v in exact) - sum(exact) ** 2) / (n * (n - 1)))
    if n == 0:
        return nan
    match primitive:
        case "mean":
            return float(sum(map(Fraction, xs), Fraction(0))) / n
        case "min":
            return min(xs) + 0.0
        case "max":
            return max(xs) + 0.0
        case "first":
            return xs[0]
        case "last":
            return xs[-1]
        case "median" | "quantile":
            place = (n - 1) * (0.5 if primitive == "median" else float(argument or 0))
            low = math.floor(place)
            ordered = sorted(xs)
            a, b = ordered[low] + 0.0, ordered[min(low + 1, n - 1)] + 0.0
            return a + (b - a) * (place - low)
        case "mode":
            counts = Counter(xs)
            return min(v for v, c in counts.items() if c == max(counts.values()))
        case "share":
            return sum(v == argument for v in xs) / n
        case "entropy":
            return -sum(c / n * math.log(c / n) for c in Counter(xs).values())
        case "time_since_last":
            return (t - there[-1]["__s__"]) / HOUR
        case "count_since":
            marked = [i for i, v in enumerate(xs) if v != 0]
            return float(n - 1 - marked[-1]) if marked else nan
        case "trend":
            s = [Fraction(e["__s__"]) for e in there]
            v = [Fraction(x) for x in xs]
            run = n * sum(a * a for a in s) - sum(s) ** 2
            if not run:
                return nan
            return float(n * sum(a * b for a, b in zip(s, v, strict=True)) - sum(s) * sum(v)) / float(run) * 24 * HOUR
        case "decayed_mean":
            half = int(argument[:-1]) * UNITS[argument[-1]]
            block = 64 * half
            near = [e for e in there if e["__s__"] // block >= (t - 1) // block - 1]
            weights = [2.0 ** ((e["__s__"] - t) / half) for e in near]
            return sum(w * e[column] for w, e in zip(weights, near, strict=True)) / sum(weights) if near else nan
    raise AssertionError(primitive)


def same_bits(a: Any, b: Any) -> bool:
    if missing(a) or missing(b):
        return missing(a) and missing(b)
    return a == b if isinstance(a, str) else np.float64(a).tobytes() == np.float64(b).tobytes()
