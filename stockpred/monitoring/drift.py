"""Drift: distance of recent values from those of training; shown, but never an alert."""

from typing import Any

import numpy as np

from stockpred.arrays import Array

NOTABLE = 0.1  # standard deviations of the reference, as Evidently's default


def distance(reference: Array, current: Array) -> float | None:
    """Compute the Wasserstein distance in standard deviations of the reference.

    The mean distance by which values must be moved to turn one distribution into the other; what
    Evidently reports for over 1,000 rows. There is no p-value: rows of one date and its neighbours
    are alike, and with thousands of them a test finds any difference.

    Parameters
    ----------
    reference, current : array, shape (rows,)
        NaN are left out.

    Returns
    -------
    float or None
        At least 0; None where a side is empty or the reference constant.

    References
    ----------
    Ramdas, A., Garcia Trillos, N. and Cuturi, M. (2017). On Wasserstein two-sample testing and
    related families of nonparametric tests. Entropy 19, 47.
    """
    one, other = (values[np.isfinite(values)] for values in (reference, current))
    if not len(one) or not len(other) or np.ptp(one) == 0:
        return None
    from scipy.stats import wasserstein_distance  # noqa: PLC0415 - a second, and only drift needs it

    return float(wasserstein_distance(one, other) / one.std())


def drift(reference: dict[str, Array], current: dict[str, Array]) -> list[dict[str, Any]]:
    """Compute the distance of each column that both sides have.

    Parameters
    ----------
    reference, current : dict of str to array
        Values of training and recent ones, by column; NaN are left out.

    Returns
    -------
    list of dict
        The largest distance first: ``name``, ``distance`` (None where undefined),
        ``reference_mean`` and ``current_mean`` (None without a value).
    """
    rows = [
        {
            "name": name,
            "distance": distance(reference[name], current[name]),
            "reference_mean": _mean(reference[name]),
            "current_mean": _mean(current[name]),
        }
        for name in reference
        if name in current
    ]
    return sorted(rows, key=lambda row: -(row["distance"] or 0.0))


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
