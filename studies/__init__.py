"""Simulations with known truth: what the pipeline finds in them, and what it does not."""
