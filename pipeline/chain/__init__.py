"""Chains of steps: the table's run, its cache, and the child processes of its steps."""
