"""The gate: rules, the metrics they check, e-processes and the record of sequential looks."""
