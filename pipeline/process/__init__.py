"""Operating-system processes: identity, signals, scratch folders, the fork server."""
