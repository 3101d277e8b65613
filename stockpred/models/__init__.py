"""Models: candidates, calibrators, and the recipe that defines a model apart from its data."""
