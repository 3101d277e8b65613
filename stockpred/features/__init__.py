"""Feature sets, the table of features and outcomes, its statistics and its leakage check."""
