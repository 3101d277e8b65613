"""MLflow runs of steps: start, logging, heartbeat, end, and the closing of orphans."""
