"""Plots, as PNG for a file and as SVG for a page."""
