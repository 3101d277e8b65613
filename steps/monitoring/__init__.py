"""Inputs of the monitor."""
