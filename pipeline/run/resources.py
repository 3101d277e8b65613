"""Resources that a step used: seconds, cores, bytes, rows, memory.

Memory is read from ``/proc/self/status``. The peak of `getrusage` would include the program that
this process was forked from, and psutil has no peak. MLflow's system metrics sample the whole
machine every ten seconds: they have neither the peak nor this process alone.
"""

import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

PARQUET = ".parquet"


class ResourceUsage:
    """Resources used since this object was made, which is when a step's run opens."""

    def __init__(self) -> None:
        self._started, self._cpu = time.monotonic(), _cpu_seconds()
        self._initial_rss = _memory("VmRSS")

    def metrics(self, written: Iterable[Path]) -> dict[str, float | None]:
        """Return the metrics of the time since then.

        Parameters
        ----------
        written : iterable of Path
            Files that the step has stored.

        Returns
        -------
        dict
            ``rows`` of the Parquet files among them (None without any), and under ``system/``, the
            group that MLflow shows apart: ``seconds``; ``cores_used``, CPU seconds of this process
            and of the programs that it waited for, a second; ``artifact_bytes`` of the files;
            ``peak_rss_mib``, peak resident memory, with Python and imports (a warm process shares
            those with the fork server); ``peak_added_mib``, that peak less the memory at the start.
            The last two are None where there is no ``/proc``.
        """
        files = [path for path in written if path.is_file()]
        tables = [path for path in files if path.suffix == PARQUET]
        peak = _memory("VmHWM")
        initial = self._initial_rss
        added = None if peak is None or initial is None else max(peak - initial, 0.0)
        seconds = time.monotonic() - self._started
        return {
            "system/seconds": seconds,
            "system/cores_used": (_cpu_seconds() - self._cpu) / max(seconds, 1e-3),
            "system/artifact_bytes": float(sum(path.stat().st_size for path in files)),
            "rows": float(sum(map(_rows, tables))) if tables else None,
            "system/peak_rss_mib": peak,
            "system/peak_added_mib": added,
        }


def describe(metrics: Mapping[str, float | None]) -> str:
    """Describe the resources of a step in one line.

    Parameters
    ----------
    metrics : mapping
        As from `ResourceUsage.metrics`.

    Examples
    --------
    >>> describe(  # doctest: +ELLIPSIS
    ...     {"system/seconds": 90.0, "system/cores_used": 1.52, "system/peak_rss_mib": None}
    ... )
    'took 90 s, on average 1.5 of ... cores'
    """
    line = f"took {metrics['system/seconds']:,.0f} s, on average {metrics['system/cores_used']:.1f}"
    line += f" of {os.cpu_count()} cores"
    peak = metrics["system/peak_rss_mib"]
    return line if peak is None else f"{line}, at most {peak:,.0f} MiB"


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process, and of its children that have ended."""
    return sum(os.times()[:4])


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq  # noqa: PLC0415 - only steps that write tables pay for it

    return int(pq.read_metadata(path).num_rows)


def _memory(name: str) -> float | None:
    """Return a field of ``/proc/self/status`` in MiB, None where there is no ``/proc``."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    match = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(match[1]) / 1024 if match else None
