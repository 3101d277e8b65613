"""Forms of files of bars, each run through the chain: what is read, what is said, how long."""
