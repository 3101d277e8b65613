"""What a chain leaves for people: the closing table, the last log line, the webhook."""
