"""MLflow runs: how a step's run begins, is logged to, and ends, also when it was killed."""
