"""Stores, registries and the commands that run on them."""
