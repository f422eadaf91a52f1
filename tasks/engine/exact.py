"""Exact arithmetic on columns: sums whose bits do not depend on the order or the grouping of the additions.

Every float64 is an integer times a power of two. :class:`Exact` holds a column as integers on one common grid
``2**exponent``: in plain int64 where a bound proves that nothing can overflow, otherwise as several int64 digits in
base ``2**26``. Additions, subtractions and products are exact; :meth:`Exact.to_float` rounds once, to the nearest
float64 (ties to even). A result therefore depends on the mathematical value alone, not on the grid, the order, the
batch or the machine that computed it, and prefix sums may be subtracted without any loss.

>>> import numpy as np
>>> x = Exact.from_floats(np.array([0.1, 1e16, 0.2, -1e16]))
>>> x.prefix().take(np.array([4])).to_float() == np.array([0.1 + 0.2])   # naive summing gives 0.0 here
array([ True])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.errors import RefitError

BITS = 26
BASE = 1 << BITS
MASK = BASE - 1
NARROW = 1 << 62  # int64 results stay below this, with a bit to spare
MAX_DIGITS = 40  # more than 1,000 binary places between the largest and the smallest value are refused


class TooWide(RefitError):
    """Values so far apart that their exact sum would need more than MAX_DIGITS digits, or overflows float64."""


@dataclass(frozen=True, slots=True, eq=False)
class Exact:
    """``n`` exact numbers: ``sum_j digits[j] * 2**(26 j) * 2**exponent``.

    ``digits`` is int64 of shape (digits, n). With one digit it is a plain integer. ``bound`` is a Python integer that
    no ``|integer|`` of this column exceeds.
    """

    digits: np.ndarray
    exponent: int
    bound: int

    @classmethod
    def from_ints(cls, values: np.ndarray, bound: int | None = None) -> Exact:
        """An int64 column as it is. ``bound`` saves the search for the largest where it is known."""
        values = np.asarray(values, dtype=np.int64)
        return cls(values[None, :], 0, _largest(values) if bound is None else bound)

    @classmethod
    def from_floats(cls, values: np.ndarray) -> Exact:
        """A float64 column; missing values (NaN) count as zero, infinite ones must have been refused before."""
        x = np.asarray(values, dtype=np.float64)
        x = np.where(np.isnan(x), 0.0, x)
        if not len(x):
            return cls(np.zeros((1, 0), np.int64), 0, 0)
        top = float(max(x.max(), -x.min()))
        if top < 2.0**53:
            whole = x.astype(np.int64)
            if np.array_equal(whole, x):
                return cls(whole[None, :], 0, int(top))
        fraction, power = np.frexp(x)
        mantissa = np.ldexp(fraction, 53).astype(np.int64)
        shift = power.astype(np.int64) - 53
        used = mantissa != 0
        lowest_bit = np.frexp((mantissa[used] & -mantissa[used]).astype(np.float64))[1] - 1
        exponent = int((shift[used] + lowest_bit).min())
        width = int(power[used].max()) - exponent
        shift = np.where(used, shift - exponent, 0)
        mantissa >>= np.where(shift < 0, -shift, 0)
        shift = np.maximum(shift, 0)
        if width <= 61:
            ints = mantissa << shift
            return cls(ints[None, :], exponent, _largest(ints))
        return cls(_spread(mantissa, shift, width), exponent, 1 << width)

    def __len__(self) -> int:
        return self.digits.shape[1]

    @property
    def narrow(self) -> bool:
        """Whether each number is one digit, an int64."""
        return self.digits.shape[0] == 1

    def take(self, index: np.ndarray) -> Exact:
        """Some of the numbers, by position."""
        return Exact(self.digits[:, index], self.exponent, self.bound)

    def prefix(self) -> Exact:
        """Running sums with a leading zero: ``n + 1`` numbers, exact."""
        bound = max(self.bound, 1) * max(len(self), 1)
        digits = self.digits if bound < NARROW or not self.narrow else _widen(self.digits[0])
        sums = np.zeros((digits.shape[0], len(self) + 1), np.int64)
        np.cumsum(digits, axis=1, out=sums[:, 1:])
        return Exact(sums, self.exponent, bound)

    def __add__(self, other: Exact) -> Exact:
        return self._combine(other, 1)

    def __sub__(self, other: Exact) -> Exact:
        return self._combine(other, -1)

    def _combine(self, other: Exact, sign: int) -> Exact:
        exponent = min(self.exponent, other.exponent)
        a, b = self._at(exponent), other._at(exponent)
        bound = a.bound + b.bound
        if a.narrow and b.narrow and bound < NARROW:
            return Exact(a.digits + sign * b.digits, exponent, bound)
        x, y = a._wide(), b._wide()
        digits = np.zeros((max(len(x), len(y)) + 1, max(x.shape[1], y.shape[1])), np.int64)
        digits[: len(x)] += x
        digits[: len(y)] += sign * y
        return Exact(_carry(digits), exponent, bound)

    def __mul__(self, other: Exact) -> Exact:
        bound = self.bound * other.bound
        exponent = self.exponent + other.exponent
        if self.narrow and other.narrow and bound < NARROW:
            return Exact(self.digits * other.digits, exponent, bound)
        x, y = _carry(self._wide()), _carry(other._wide())
        if len(x) + len(y) > 2 * MAX_DIGITS:
            raise TooWide("values too far apart for exact products")
        digits = np.zeros((len(x) + len(y), max(x.shape[1], y.shape[1])), np.int64)
        for i, row in enumerate(x):
            digits[i : i + len(y)] += row * y
        return Exact(_carry(digits), exponent, bound)

    def _at(self, exponent: int) -> Exact:
        """The same numbers on a finer grid."""
        up = self.exponent - exponent
        if up == 0:
            return self
        bound = self.bound << up
        if self.narrow and bound < NARROW:
            return Exact(self.digits << up, exponent, bound)
        whole, rest = divmod(up, BITS)
        if whole > 2 * MAX_DIGITS:
            raise TooWide("values too far apart for exact sums")
        digits = _carry(_carry(self._wide()) << rest)
        return Exact(np.vstack([np.zeros((whole, len(self)), np.int64), digits]), exponent, bound)

    def _wide(self) -> np.ndarray:
        return _widen(self.digits[0]) if self.narrow else self.digits

    def to_float(self) -> np.ndarray:
        """Round to the nearest float64 (ties to even). Raises :class:`TooWide` where float64 overflows."""
        with np.errstate(over="ignore"):  # refused below
            if self.narrow:
                whole, exponent = self.digits[0].astype(np.float64), self.exponent
                result = whole if exponent == 0 else np.ldexp(whole, exponent)
            else:
                result = _round(_carry(self.digits), self.exponent)
        if self.bound.bit_length() + self.exponent > 1023 and not np.isfinite(result).all():
            raise TooWide("a sum is larger than a float64 can be")
        return result


def concatenate(parts: list[Exact]) -> Exact:
    """Columns one after another, on their common grid."""
    if len(parts) == 1:
        return parts[0]
    exponent = min(p.exponent for p in parts)
    placed = [p._at(exponent) for p in parts]
    bound = max(p.bound for p in placed)
    if all(p.narrow for p in placed):
        return Exact(np.concatenate([p.digits for p in placed], axis=1), exponent, bound)
    columns = [p._wide() for p in placed]
    digits = np.zeros((max(map(len, columns)), sum(c.shape[1] for c in columns)), np.int64)
    at = 0
    for c in columns:
        digits[: len(c), at : at + c.shape[1]] = c
        at += c.shape[1]
    return Exact(digits, exponent, bound)


def _largest(values: np.ndarray) -> int:
    return max(int(values.max()), -int(values.min())) if len(values) else 0


def _spread(mantissa: np.ndarray, shift: np.ndarray, width: int) -> np.ndarray:
    """Digits of ``mantissa << shift``, each below BASE in magnitude and of the number's sign."""
    count = width // BITS + 4
    if count > MAX_DIGITS:
        raise TooWide("values too far apart for exact sums")
    digits = np.zeros((count, len(mantissa)), np.int64)
    sign, size = np.sign(mantissa), np.abs(mantissa)
    start, rest = np.divmod(shift, BITS)
    low, high = (size & MASK) << rest, (size >> BITS) << rest
    high += low >> BITS
    columns = np.arange(len(mantissa))
    for j, part in enumerate((low & MASK, high & MASK, (high >> BITS) & MASK, high >> 2 * BITS)):
        digits[start + j, columns] = sign * part
    return digits


def _widen(values: np.ndarray) -> np.ndarray:
    """An int64 column as three digits (the last one signed)."""
    return np.stack([values & MASK, (values >> BITS) & MASK, values >> 2 * BITS])


def _carry(digits: np.ndarray) -> np.ndarray:
    """The one canonical form: every digit in [0, BASE), but the last, which carries the sign and is 0 or -1 at the end."""
    out, carry = np.empty((len(digits) + 1, digits.shape[1]), np.int64), np.zeros(digits.shape[1], np.int64)
    for j, row in enumerate(digits):
        total = row + carry
        np.bitwise_and(total, MASK, out=out[j])
        carry = total >> BITS
    while ((carry + 1) >> 1).any():  # until it is 0 or -1 everywhere
        out[-1] = carry & MASK
        out = np.vstack([out, carry])
        carry = carry >> BITS
    out[-1] = carry
    return out


def _round(digits: np.ndarray, exponent: int) -> np.ndarray:
    """Nearest float64 of canonical digits: the top 64 bits, with a sticky last bit for whatever lies below."""
    negative = digits[-1] < 0
    size = _carry(np.where(negative, -digits, digits))[:-1].astype(np.uint64)
    size = np.vstack([np.zeros((3, size.shape[1]), np.uint64), size])  # room below the top four digits
    nonzero = size != 0
    top = len(size) - 1 - np.argmax(nonzero[::-1], axis=0)
    top = np.maximum(top, 3)
    columns = np.arange(size.shape[1])
    d3, d2, d1, d0 = (size[top - j, columns] for j in range(4))
    below = np.cumsum(nonzero, axis=0)[np.maximum(top - 4, 0), columns]
    sticky = np.where(top >= 4, below > 0, False)
    # 104 bits in two words: `high` holds d3 and d2 (52 bits), `low` holds d1 and d0 (52 bits).
    high, low = (d3 << np.uint64(BITS)) | d2, (d1 << np.uint64(BITS)) | d0
    # d3 is not zero, so `high` has at least 27 bits; shift left until 64 bits in all are used.
    used = np.frexp(high.astype(np.float64))[1].astype(np.uint64)
    room = np.uint64(64) - used  # between 12 and 37
    bits = (high << room) | (low >> (np.uint64(52) - room))
    rest = low & ((np.uint64(1) << (np.uint64(52) - room)) - np.uint64(1))
    bits |= (sticky | (rest != 0)).astype(np.uint64)
    power = (top - 1 - 3) * BITS - room.astype(np.int64) + exponent
    value = np.ldexp(bits.astype(np.float64), power.astype(np.int32))
    return np.where(nonzero.any(axis=0), np.where(negative, -value, value), 0.0)
