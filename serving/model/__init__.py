"""The registered model: its files, logging, loading, checks, prediction in a subprocess."""
