"""MLflow's tracking server: artifacts, idempotent calls, checks that it can be reached."""
