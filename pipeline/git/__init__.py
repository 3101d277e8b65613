"""Git: clones that MLflow makes for a run, and refs resolved to commits."""
