"""How steps run: chain, cache, warm processes, artifacts, tracking, registry. Nothing of stocks."""

import sys

if sys.platform == "win32":  # before a module is missing: resource, fcntl
    sys.exit("error: this runs on Linux and macOS, not on Windows; there it runs in WSL")
