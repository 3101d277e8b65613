"""Processes of the system: identity, signals, scratch folders, the fork server."""
