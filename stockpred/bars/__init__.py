"""Bars: their schema and metadata, how raw tables become bars, which symbols are missing."""
