"""An MLflow project backend whose steps are forks of a process with warm imports."""
