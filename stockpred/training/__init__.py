"""Training: purged splits, sample weights, fits, the search over folds, walk-forward."""
