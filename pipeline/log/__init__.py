"""Log lines, redaction of secrets, progress bar and webhook."""
