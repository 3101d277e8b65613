"""Bars of a step: their source, bars stored by earlier runs, validation."""
