"""Engines: overhead of the seam, start of a connection, gain of a second worker."""
