"""The identity of a process, and whether it has exited.

Read from ``/proc``, not by psutil: psutil's start time is a float of seconds since the epoch, which
moves with the system clock, so that a living process could look like another one; it knows neither
boots nor namespaces of process ids, by which a container's process 7 is told from the host's.
"""

import contextlib
import hashlib
import os
import re
import socket
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process, distinct from every other past or future one (without ``/proc``, from most).

    Attributes
    ----------
    host : str
    pid : int
    start : str
        Clock ticks from the boot to its start, as a process id is given again; ``none`` if it has
        exited, empty if the system does not say.
    boot, namespace : str
        Of the machine and of its process ids, as a container counts its own; empty likewise.
    """

    host: str
    pid: int
    start: str
    boot: str
    namespace: str

    def place(self) -> tuple[str, str, str]:
        """Return host, boot and namespace, within which the process id has its meaning."""
        return self.host, self.boot, self.namespace

    def slug(self) -> str:
        """Return a short form for names: the place as a hash, process id and start."""
        place = hashlib.sha256("\n".join(self.place()).encode()).hexdigest()[:12]
        return f"{place}-{self.pid}-{self.start}"

    def has_exited(self) -> bool:
        """Return whether it is gone, where it is of this place and the system says so."""
        return start_of(self.pid) not in (self.start, "")


def process_of(pid: int) -> Process:
    """Return the identity of a process of this machine."""
    boot = namespace = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with contextlib.suppress(OSError):
        namespace = re.sub(r"\D", "", str(Path("/proc/self/ns/pid").readlink()))
    start = start_of(pid)
    return Process(socket.gethostname(), pid, "none" if start is None else start, boot, namespace)


SLUG = r"[0-9a-f]{12}-[0-9]+-[0-9]*"  # of a process that was alive when its slug was made


def slug_has_exited(slug: str) -> bool:
    """Return whether a slug (of the form `SLUG`) is of a process of this place that has exited."""
    _, pid, start = slug.split("-")
    process = process_of(os.getpid())._replace(pid=int(pid), start=start)
    return process.slug() == slug and process.has_exited()


def stat_fields(pid: int) -> list[str]:
    """Return the fields of ``/proc/<pid>/stat`` from the state on; OSError where there is none."""
    # The name in parentheses may hold anything; the fields after it are plain.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def start_of(pid: int) -> str | None:
    """Return the start of a process; None if it has exited, empty if the system does not say."""
    try:
        fields = stat_fields(pid)
    except OSError:  # there is no /proc, or it hides other users' processes (hidepid)
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return None
        except OSError:
            pass
        return ""
    return None if fields[0] in "ZX" else fields[19]
