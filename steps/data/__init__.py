"""Bars of a step: the source asked for, bars of earlier runs, validation."""
