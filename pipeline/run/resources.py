"""Resources that a step used: seconds, bytes, rows, memory.

Memory is read from ``/proc/self/status``. The peak of `getrusage` would include the program that
this process was forked from, and psutil has no peak. MLflow's system metrics sample the whole
machine every ten seconds: they have neither the peak nor this process alone.
"""

import re
import time
from collections.abc import Iterable
from pathlib import Path

PARQUET = ".parquet"


class ResourceUsage:
    """Resources used since this object was made, which is when a step's run opens."""

    def __init__(self) -> None:
        self._started = time.monotonic()
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
            group that MLflow shows apart: ``seconds``; ``artifact_bytes`` of the files;
            ``peak_rss_mib``, peak resident memory, with Python and imports (a warm process shares
            those with the fork server); ``peak_added_mib``, that peak less the memory at the start.
            The last two are None where there is no ``/proc``.
        """
        files = [path for path in written if path.is_file()]
        tables = [path for path in files if path.suffix == PARQUET]
        peak = _memory("VmHWM")
        initial = self._initial_rss
        added = None if peak is None or initial is None else max(peak - initial, 0.0)
        return {
            "system/seconds": time.monotonic() - self._started,
            "system/artifact_bytes": float(sum(path.stat().st_size for path in files)),
            "rows": float(sum(map(_rows, tables))) if tables else None,
            "system/peak_rss_mib": peak,
            "system/peak_added_mib": added,
        }


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
