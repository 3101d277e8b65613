"""Cost of `train` and `evaluate` beside bare fits of the same estimators."""
