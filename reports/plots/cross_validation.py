"""Plots of training: log loss by fold, permutation importance of the features."""

from collections.abc import Mapping, Sequence

import numpy as np

from reports.plots.figure import (
    BASELINE,
    MODEL,
    MOST_LETTERS,
    Picture,
    new_figure,
    row_figure_size,
    to_picture,
)

MOST_FEATURES = 20  # in one plot


def draw_fold_losses(losses: Mapping[str, Sequence[float]], chosen: str) -> Picture:
    """Draw the log loss of each candidate on each fold, the chosen candidate as a thick line.

    Parameters
    ----------
    losses : mapping of str to sequence of float
        Candidate to its log losses in nats, one a fold.
    chosen : str
        The candidate to emphasise.

    Returns
    -------
    Picture
    """
    figure, axes = new_figure(f"Log loss by fold before the holdout; chosen: {chosen}")
    for name, values in losses.items():
        width, order = (2.5, 3) if name == chosen else (1.0, 2)
        folds = range(1, len(values) + 1)
        label = f"{name} ({np.mean(values):.4f})"
        axes.plot(folds, values, marker="o", label=label, linewidth=width, zorder=order)
    axes.axhline(np.log(2), color=BASELINE, linestyle="--", linewidth=0.8, label="coin (0.6931)")
    axes.set_xticks(range(1, max(map(len, losses.values())) + 1))
    axes.set_xlabel("fold")
    axes.set_ylabel("log loss, nats")
    axes.legend(frameon=False, fontsize=8)
    return to_picture(figure, for_page=False)  # which has a table of them


def draw_importances(importances: Mapping[str, float], candidate: str) -> Picture:
    """Draw the largest permutation importances as bars.

    Parameters
    ----------
    importances : mapping of str to float
        Feature to the mean rise in log loss, in nats, when it is shuffled within the validation
        folds. Must not be empty.
    candidate : str
        The model that they were measured on.

    Returns
    -------
    Picture
    """
    largest = sorted(importances.items(), key=lambda item: -item[1])[:MOST_FEATURES]
    names, values = zip(*reversed(largest), strict=True)
    figure, axes = new_figure(
        f"{candidate}: cost of shuffling a feature on the folds", row_figure_size(len(names))
    )
    colours = [MODEL if value > 0 else BASELINE for value in values]
    axes.barh(range(len(names)), np.multiply(1000, values), color=colours)
    axes.set_yticks(range(len(names)), [name[:MOST_LETTERS] for name in names])
    axes.grid(visible=False)
    axes.locator_params("x", nbins=5)
    axes.axvline(0, color=BASELINE, linewidth=0.8)
    axes.set_xlabel("rise in log loss, thousandths of a nat")
    return to_picture(figure)
