"""What is logged: console lines, redaction of secrets, progress, the webhook."""
