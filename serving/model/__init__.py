"""The registered model: how it is logged, loaded, checked, and asked in a process of its own."""
