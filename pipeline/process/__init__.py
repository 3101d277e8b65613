"""Processes of the system: identity, signals, scratch folders."""
