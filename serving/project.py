"""Folder of the checkout that this code runs from."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
