"""Chains of MLflow runs: cache, processes, artifacts, tracking, registry; nothing of stocks."""

import sys

if sys.platform == "win32":  # before an import fails: resource, fcntl
    sys.exit("error: platform='win32': expected Linux or macOS. Fix: run it in WSL.")
