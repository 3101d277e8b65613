"""Compose files, checks and load for the tests of containers."""
