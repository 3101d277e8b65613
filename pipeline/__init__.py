"""How steps run: chain, cache, warm processes, artifacts, tracking, registry. Nothing of stocks."""
