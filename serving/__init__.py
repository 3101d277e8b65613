"""The registered model: logging and loading it, serving it over HTTP."""
