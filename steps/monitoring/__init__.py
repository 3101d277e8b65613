"""Monitoring: what the monitor reads."""
