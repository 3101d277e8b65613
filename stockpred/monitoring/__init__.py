"""Monitoring: forecasts joined with outcomes, live performance, alerts."""
