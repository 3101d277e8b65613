"""Resources that a step used: seconds, bytes, rows, memory.

From the kernel's account of this process: `getrusage` includes the program that it was forked from,
and psutil has no peak. MLflow's system metrics sample the whole machine in a thread, every ten
seconds, by psutil: neither the peak nor the process is in them.
"""

import re
import time
from collections.abc import Iterable
from pathlib import Path

PARQUET = ".parquet"


class ResourceUsage:
    """Measures from its construction, when a step's run opens."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._initial_rss = _memory("VmRSS")

    def metrics(self, written: Iterable[Path]) -> dict[str, float | None]:
        """Return the metrics up to now.

        Parameters
        ----------
        written : iterable of Path
            Files that the step has stored.

        Returns
        -------
        dict
            ``seconds``; ``bytes`` of the files, and ``rows`` of the Parquet files among them (None
            without any); ``peak_rss_mib``, the most memory that the process held at any time,
            Python and imports included, of which a warm process shares the fork server's;
            ``peak_added_mib``, how much of that was added to the memory at the start. Both None
            where there is no ``/proc``.
        """
        files = [path for path in written if path.is_file()]
        tables = [path for path in files if path.suffix == PARQUET]
        peak = _memory("VmHWM")
        initial = self._initial_rss
        added = None if peak is None or initial is None else max(peak - initial, 0.0)
        return {
            "seconds": time.monotonic() - self._started,
            "bytes": float(sum(path.stat().st_size for path in files)),
            "rows": float(sum(map(_rows, tables))) if tables else None,
            "peak_rss_mib": peak,
            "peak_added_mib": added,
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
