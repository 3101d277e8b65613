"""What a step took of the machine: seconds, bytes, rows, memory."""

import re
import time
from collections.abc import Iterable
from pathlib import Path

PARQUET = ".parquet"


class ResourceUsage:
    """Measured from the moment that it is made, which is when a step's run opens."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._held = _memory("VmRSS")

    def metrics(self, written: Iterable[Path]) -> dict[str, float | None]:
        """Metrics of a step up to now; None for what it has none of, or the system does not tell.

        Parameters
        ----------
        written : iterable of Path
            The files that it has stored.

        Returns
        -------
        dict
            ``seconds``; ``bytes``, and ``rows`` of the Parquet files among them;
            ``peak_rss_mib``, the most memory that its process held at any time, with Python and
            what is imported, of which a warm process shares what its server had imported before;
            ``peak_added_mib``, how much of that came on top of what the process held at first.
        """
        files = [path for path in written if path.is_file()]
        tables = [path for path in files if path.suffix == PARQUET]
        peak = _memory("VmHWM")
        added = None if peak is None or self._held is None else max(peak - self._held, 0.0)
        return {
            "seconds": time.monotonic() - self._began,
            "bytes": float(sum(path.stat().st_size for path in files)),
            "rows": float(sum(map(_rows, tables))) if tables else None,
            "peak_rss_mib": peak,
            "peak_added_mib": added,
        }


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _memory(name: str) -> float | None:
    """MiB of this process, from the kernel's account of it alone: of its own life, not of the
    program or the process that it was forked from, as `getrusage` may say.
    """
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else None
