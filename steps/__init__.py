"""One shell an entry point: options -> read -> one call -> write -> log."""
