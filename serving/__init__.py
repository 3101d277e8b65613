"""The model as MLflow loads it."""
