"""Output of a chain: the closing table, the last log line, the webhook."""
