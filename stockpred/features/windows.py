"""Sums, means, moments and extremes of trailing windows, each merged from two smaller windows.

Which smaller windows a window is merged from depends on its length alone, so a value depends on the
bars of its own window alone, bit for bit: on no earlier bar, as a running sum does, and on no
length of the history.

References
----------
.. [1] Chan, Golub and LeVeque (1983). Algorithms for computing the sample variance: analysis and
   recommendations. The American Statistician 37(3), 242-247. How squares are merged.
.. [2] Pebay (2008). Formulas for robust, one-pass parallel computation of covariances and
   arbitrary-order statistical moments. Sandia report SAND2008-6212. Third moments and products.
"""

from collections.abc import Callable

import numpy as np

from stockpred.arrays import Array


def _newer_part(window: int) -> int:
    """Return the length of the newer of the two windows that a window is merged from.

    A half; of an odd window two thirds; else all but the oldest value. So the windows that features
    share are computed once: 60 is merged from 30, 15, 10, 5, 4 and 2, and 20 from 10.
    """
    if window % 2 == 0:
        return window // 2
    return window * 2 // 3 if window % 3 == 0 else window - 1


class Windows:
    """All trailing windows of one series; each result is computed once.

    Every method takes a window in rows, at least 1, the current row included, and returns an array
    of float64 of shape (rows,) that must not be changed: NaN before the first whole window, and
    where the window holds a NaN.

    Squares and products are of deviations from the window's own mean and never cancel: a series of
    equal values has a deviation of exactly 0 at any price.

    Parameters
    ----------
    values : array of float64, shape (rows,)

    Examples
    --------
    >>> windows = Windows(np.array([1.0, 2.0, 4.0]))
    >>> windows.sum(2).tolist()
    [nan, 3.0, 6.0]
    >>> windows.deviation(2).tolist()
    [nan, 0.5, 1.0]
    """

    def __init__(self, values: Array) -> None:
        self._sums = {1: values}
        self._means = {1: values}
        self._differences: dict[int, Array] = {}  # newer part's mean less that of the older part
        self._squares: dict[int, Array] = {}
        self._cubes: dict[int, Array] = {}
        self._products: dict[int, Array] = {}
        self._highest = {1: values}
        self._lowest = {1: values}

    def sum(self, window: int) -> Array:
        """Add the values."""
        if window not in self._sums:
            newer = _newer_part(window)
            a, b = self.sum(newer), self.sum(window - newer)
            self._sums[window] = out = np.empty_like(a)
            out[:newer] = np.nan
            np.add(a[newer:], b[:-newer], out=out[newer:])
        return self._sums[window]

    def mean(self, window: int) -> Array:
        """Compute the mean; of equal values exactly these."""
        if window not in self._means:
            newer = _newer_part(window)
            difference = self._difference(window)
            self._means[window] = out = difference * (newer / window)
            out[newer:] += self.mean(window - newer)[:-newer]
        return self._means[window]

    def _difference(self, window: int) -> Array:
        if window not in self._differences:
            newer = _newer_part(window)
            a, b = self.mean(newer), self.mean(window - newer)
            self._differences[window] = out = np.empty_like(a)
            out[:newer] = np.nan
            np.subtract(a[newer:], b[:-newer], out=out[newer:])
        return self._differences[window]

    def _add_parts(self, out: Array, part: Callable[[int], Array], window: int) -> Array:
        newer = _newer_part(window)
        older = window - newer
        if newer > 1:  # a single value has no deviation
            out += part(newer)
        if older > 1:
            out[newer:] += part(older)[:-newer]
        return out

    def squares(self, window: int) -> Array:
        """Add the squared deviations from the mean; `window` at least 2."""
        if window not in self._squares:
            newer = _newer_part(window)
            difference = self._difference(window)
            out = difference * difference
            out *= newer * (window - newer) / window
            self._squares[window] = self._add_parts(out, self.squares, window)
        return self._squares[window]

    def deviation(self, window: int) -> Array:
        """Compute the population standard deviation; `window` at least 2."""
        return np.sqrt(self.squares(window) / window)

    def cubes(self, window: int) -> Array:
        """Add the cubed deviations from the mean; `window` at least 2."""
        if window not in self._cubes:
            newer = _newer_part(window)
            older = window - newer
            difference = self._difference(window)
            # difference**2 newer older (older - newer) / window**2
            #     + 3 (older squares(newer) - newer squares(older)) / window
            out = difference * difference
            out *= newer * older * (older - newer) / window**2
            if newer > 1:
                out += self.squares(newer) * (3 * older / window)
            if older > 1:
                out[newer:] -= self.squares(older)[:-newer] * (3 * newer / window)
            out *= difference
            self._cubes[window] = self._add_parts(out, self.cubes, window)
        return self._cubes[window]

    def products(self, window: int) -> Array:
        """Add the products of a value's deviation and of the deviation of the value before.

        Each is from the mean of its own window: the second window is a row earlier. `window` at
        least 2.
        """
        if window not in self._products:
            newer = _newer_part(window)
            difference = self._difference(window)
            out = np.empty_like(difference)
            out[:1] = np.nan
            np.multiply(difference[1:], difference[:-1], out=out[1:])
            out *= newer * (window - newer) / window
            self._products[window] = self._add_parts(out, self.products, window)
        return self._products[window]

    def highest(self, window: int) -> Array:
        """Find the highest value."""
        return _extreme(self._highest, np.maximum, window)

    def lowest(self, window: int) -> Array:
        """Find the lowest value."""
        return _extreme(self._lowest, np.minimum, window)


def _extreme(known: dict[int, Array], choose: Callable[..., Array], window: int) -> Array:
    """Choose from two windows that may overlap: of the largest power of two below `window`."""
    if window not in known:
        part = 1 << (window - 1).bit_length() - 1
        values, shift = _extreme(known, choose, part), window - part
        known[window] = out = np.empty_like(values)
        out[:shift] = np.nan
        choose(values[shift:], values[:-shift], out=out[shift:])
    return known[window]
