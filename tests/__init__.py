"""Tests: units by room, whole processes, and the project itself."""
