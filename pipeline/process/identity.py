"""The identity of a process: which one it is, and whether it is gone."""

import contextlib
import hashlib
import os
import re
import socket
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process that no other has been or will be, or about so where there is no ``/proc``.

    Attributes
    ----------
    host : str
    pid : int
    start : str
        Clock ticks from the boot to its start; a process id is given again, with another one.
    boot, namespace : str
        Of the machine and of its process ids: a container counts its own.
    """

    host: str
    pid: int
    start: str
    boot: str
    namespace: str

    def place(self) -> tuple[str, str, str]:
        """Where its process id means something."""
        return self.host, self.boot, self.namespace

    def slug(self) -> str:
        """A short form, as part of a name: the place as a hash, process id, start."""
        place = hashlib.sha256("\n".join(self.place()).encode()).hexdigest()[:12]
        return f"{place}-{self.pid}-{self.start}"


def process_of(pid: int) -> Process:
    """A process of this machine; one that is gone starts as ``none``, as no process does."""
    boot = namespace = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with contextlib.suppress(OSError):
        namespace = re.sub(r"\D", "", str(Path("/proc/self/ns/pid").readlink()))
    start = start_of(pid)
    start = "none" if start is None else start
    return Process(socket.gethostname(), pid, start, boot, namespace)


SLUG = r"[0-9a-f]{12}-[0-9]+-[0-9]*"  # of a process that lived when it was made


def slug_has_exited(mark: str) -> bool:
    """Whether a mark (of the form `MARK`) is that of a process of this place that is gone."""
    _, pid, start = mark.split("-")
    place = process_of(os.getpid())._replace(pid=int(pid), start=start)
    return place.slug() == mark and has_exited(int(pid), start)


def start_of(pid: int) -> str | None:
    """When a process started; None where there is none, empty where the system does not tell."""
    try:
        # The name in parentheses may hold anything; the fields after it are plain.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # there is no /proc, or it hides other users' processes (hidepid)
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return None
        except OSError:
            pass
        return ""
    return None if fields[0] in "ZX" else fields[19]


def has_exited(pid: int, start: str) -> bool:
    """Whether a process that started then is there no longer, as far as the system tells."""
    return start_of(pid) not in (start, "")
