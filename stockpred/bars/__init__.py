"""Bars: their schema and metadata, the parser of raw tables, and the checks."""
