"""Builders, stand-ins and real servers that several tests share."""
