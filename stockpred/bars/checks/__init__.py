"""Checks that decide which bars may reach a model: rules, limits and validation."""
