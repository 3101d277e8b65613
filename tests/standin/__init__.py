"""A stand-in for Yahoo that the real yfinance asks over HTTPS, with faults to switch on."""

from .market import Market, standin_bars
from .server import Request, Standin

__all__ = ["Market", "Request", "Standin", "standin_bars"]
