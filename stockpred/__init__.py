"""What a prediction is: pure functions and small classes. No file, clock, environment or mlflow."""
