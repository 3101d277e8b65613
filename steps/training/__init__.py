"""Training: candidates and trials as nested runs."""
