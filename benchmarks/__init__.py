"""Ratios against peers and the floor, each measured in one run."""
