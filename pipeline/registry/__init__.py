"""MLflow's model registry: versions, aliases, stages and the history of their moves."""
