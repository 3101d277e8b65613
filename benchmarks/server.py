"""Measure the chain against a team's server: calls and seconds, with latency and with faults.

A real `mlflow server` on a real PostgreSQL, with proxied artifacts, and a proxy before it that
delays and loses responses. Further options are those of `main`.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.servers.faulty_proxy import (
    CUT,
    DROPPED,
    LOST,
    REFUSED,
    FaultyProxy,
    faulty_proxy,
)
from tests.support.servers.team_server import TeamClient, TeamServer, run_team_server

LATENCY = 0.2
RATE = 0.05
FAULTS = (REFUSED, LOST, DROPPED, CUT)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--seeds", type=int, default=3, help="chains under faults (default: %(default)s)"
    )
    given, words = parser.parse_known_args()
    options = {k.removeprefix("--"): v for k, v in zip(words[::2], words[1::2], strict=True)}
    with (
        tempfile.TemporaryDirectory() as folder,
        run_team_server(Path(folder) / "server") as shared,
    ):
        clients = Path(folder) / "clients"
        _say("| latency | faults | chain | calls | seconds |")
        _say("| ---: | ---: | --- | ---: | ---: |")
        with faulty_proxy(shared.server.uri) as proxy:
            faultless, routes = _chain(shared, proxy, clients / "0", options, "0 | 0")
        with faulty_proxy(shared.server.uri, latency=LATENCY) as proxy:
            _chain(shared, proxy, clients / "1", options, f"{1000 * LATENCY:.0f} ms | 0")
        injected: Counter[str] = Counter()
        differing = 0
        for seed in range(given.seeds):
            with faulty_proxy(shared.server.uri, rate=RATE, faults=FAULTS, seed=seed) as proxy:
                label = f"0 | {RATE:.0%}, seed {seed}"
                found, _ = _chain(shared, proxy, clients / f"faults-{seed}", options, label)
                injected += proxy.fault_counts()
                differing += len(found - faultless) + len(faultless - found)
        _say(f"\nFaults injected: {injected.total()} ({dict(injected)})")
        _say(f"Rows and files too many or too few, against the faultless chain: {differing}")
        _say("\nCalls of a cold chain, by route:\n")
        for (method, route), count in routes.most_common():
            _say(f"{count:5}  {method} {route}")


def _chain(
    shared: TeamServer, proxy: FaultyProxy, folder: Path, options: dict[str, str], label: str
) -> tuple[Counter[Any], Counter[tuple[str, str]]]:
    """Run it cold and cached on an emptied server; return rows and files, and the cold calls."""
    shared.empty()
    client = TeamClient(folder, proxy.uri, shared.folder)
    routes: Counter[tuple[str, str]] = Counter()
    found: Counter[Any] = Counter()
    for kind in ("cold", "cached"):
        before, began = proxy.calls.copy(), time.monotonic()
        code, said = client.run("main", **options)
        seconds = time.monotonic() - began
        if code:
            raise SystemExit(said)
        calls = proxy.calls - before
        _say(f"| {label} | {kind} | {calls.total()} | {seconds:.1f} |")
        if kind == "cold":
            routes, found = calls, shared.census()
    return found, routes


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
