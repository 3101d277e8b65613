"""Source of Yahoo's daily bars: rate-limited chart requests, merged with stored bars."""
