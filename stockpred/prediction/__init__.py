"""Prediction: requests, forecasts by symbol and date, and the range seen in training."""
