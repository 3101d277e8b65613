"""Targets: what a forecast is about."""
