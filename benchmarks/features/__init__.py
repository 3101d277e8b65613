"""Benchmark of features against pandas and TA-Lib on the same bars."""
