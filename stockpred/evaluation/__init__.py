"""Evaluation of predictions: metrics, intervals, paired tests, backtest."""
