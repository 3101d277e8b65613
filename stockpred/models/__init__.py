"""Models: candidates, calibration, and the recipe that defines a model apart from its data."""
