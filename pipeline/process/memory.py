"""Memory that this process may still use."""

import re
from pathlib import Path

# Of a container: cgroup 2, then 1, each as its limit and its use.
_CGROUPS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def available_memory(
    meminfo: Path = Path("/proc/meminfo"), cgroups: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Return the bytes that this machine, and the container's limit, leave for more work.

    Parameters
    ----------
    meminfo, cgroups : Path
        Where Linux says so.

    Returns
    -------
    int or None
        None where the system does not say (macOS).
    """
    match = re.search(r"^MemAvailable:\s+(\d+) kB$", _read(meminfo), re.MULTILINE)
    left = [int(match[1]) * 1024] if match else []
    for names in _CGROUPS:
        limit, use = (_read(cgroups / name).strip() for name in names)
        if limit.isdigit() and use.isdigit():  # "max": no limit
            left.append(max(int(limit) - int(use), 0))
    return min(left, default=None)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
