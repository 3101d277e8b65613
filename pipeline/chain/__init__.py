"""Chains of steps: the chain, its cache, and the child processes of its steps."""
