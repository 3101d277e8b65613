"""Feature sets, the table of features and outcomes, and the check for leakage."""
