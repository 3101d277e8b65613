"""Simulations whose truth is known: what the pipeline finds in them, and what it does not."""
