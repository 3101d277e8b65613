"""Drift: how far recent values lie from those of training. It informs, and never alarms."""

from typing import Any

import numpy as np

from stockpred.arrays import Array

NOTABLE = 0.1  # standard deviations of the reference: Evidently's default, too


def distance(reference: Array, current: Array) -> float | None:
    """Wasserstein distance in standard deviations of the reference.

    The mean distance by which values must be moved to turn one distribution into the other
    (Ramdas, Garcia and Cuturi 2017), and the figure that Evidently gives for over 1,000 rows. It
    has no p-value: rows of one date, and of neighbouring ones, are alike, and with thousands of
    them a test finds any difference.

    Parameters
    ----------
    reference, current : array, shape (rows,)
        NaN are left out.

    Returns
    -------
    float or None
        None where a side is empty or the reference constant.
    """
    one, other = (each[np.isfinite(each)] for each in (reference, current))
    if not len(one) or not len(other) or np.ptp(one) == 0:
        return None
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(one, other) / one.std())


def drift(reference: dict[str, Array], current: dict[str, Array]) -> list[dict[str, Any]]:
    """Distance of each column that both sides have, the largest first.

    Returns
    -------
    list of dict
        ``name``, ``distance`` (None where undefined), means of both sides.
    """
    found = [
        {
            "name": name,
            "distance": distance(reference[name], current[name]),
            "reference_mean": _mean(reference[name]),
            "current_mean": _mean(current[name]),
        }
        for name in reference
        if name in current
    ]
    return sorted(found, key=lambda each: -(each["distance"] or 0.0))


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
