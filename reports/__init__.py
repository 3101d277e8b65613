"""Data in, pictures and pages out."""
