"""What several tests use: builders, stand-ins, real servers."""
