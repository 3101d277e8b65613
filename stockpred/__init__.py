"""Prediction as pure functions and small classes, without file, clock, environment or mlflow."""
