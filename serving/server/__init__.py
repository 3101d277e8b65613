"""The model server: its process, its app, and the check of requests."""
