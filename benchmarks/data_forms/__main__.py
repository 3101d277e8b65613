"""Run each form through `main -P phase=ideation` and print a Markdown table.

Forms with the same result share a row. `--only WORD` runs the forms whose name contains the word.
"""

import argparse
import contextlib
import functools
import gzip
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.data_forms.forms import FORMS, embedded_bars
from tests.support.paths import ROOT

NOTE, ERROR, KEY_FIGURE = "bars: ", "error: ", "acquire "
SERVED = "a server that encodes with gzip"


class GzipHandler(SimpleHTTPRequestHandler):
    """Answer with files, encoded with gzip whether or not the client takes that."""

    def do_GET(self) -> None:
        """Send one file."""
        content = gzip.compress(Path(self.translate_path(self.path)).read_bytes())
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine; yield the address."""
    handler = functools.partial(GzipHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def run_form(source: str, store: Path) -> tuple[str, list[str], float]:
    """Run the chain on a source; return what was read, its notes or its error, and seconds."""
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{store}"}
    command = [sys.executable, "-m", "steps.main", "--phase", "ideation", "--source", source]
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    seconds = time.monotonic() - began
    lines = (done.stdout + done.stderr).splitlines()
    notes = [line.removeprefix(NOTE) for line in lines if line.startswith(NOTE)]
    errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    if done.returncode == 0:
        [row] = [line for line in lines if line.startswith(KEY_FIGURE) and " bars of " in line]
        return row.split(None, 3)[3].rsplit(None, 1)[0], notes, seconds
    if not errors or "Traceback" in done.stdout + done.stderr:
        sys.exit(f"{source}:\n{done.stdout}{done.stderr}")
    return "refused", [*notes, errors[-1].partition(" [run ")[0]], seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD")
    word = parser.parse_args().only
    bars = embedded_bars()
    rows: dict[tuple[str, str], list[tuple[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch, serve(Path(scratch)) as address:
        names = [name for name in (*FORMS, SERVED) if word in name]
        for number, name in enumerate(names):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            source = FORMS.get(name, FORMS["plain"])(folder, bars)
            place = f"{address}/{number}" if name == SERVED else str(folder)
            read, notes, seconds = run_form(f"{place}/{source}", Path(scratch) / "store.db")
            words = "; ".join(notes).replace(f"{place}/", "").replace("|", "\\|")
            rows.setdefault((read, words), []).append((name, seconds))
            sys.stderr.write(f"{number + 1} of {len(names)}: {name}, {seconds:.1f} s\n")
    sys.stdout.write("| form | read | notes or error | s |\n| --- | --- | --- | ---: |\n")
    for (read, words), forms in rows.items():
        times = [seconds for _, seconds in forms]
        span = " to ".join(dict.fromkeys(f"{edge(times):.0f}" for edge in (min, max)))
        listed = ", ".join(name for name, _ in forms)
        sys.stdout.write(f"| {listed} | {read} | {words} | {span} |\n")


if __name__ == "__main__":
    main()
