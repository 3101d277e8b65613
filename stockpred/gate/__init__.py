"""The gate: rules, the evidence they read, and the record of looks at it."""
