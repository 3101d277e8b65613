"""Keys of a model's metadata that have a meaning beyond information."""

TRAINED_ON = "trained_on"  # source and symbols; private: a source may be a path of the machine
