"""Batch prediction with a registered model."""
