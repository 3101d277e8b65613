"""Kill `main` and all its processes all over the chain, and check the run after each kill.

It prints a Markdown table and exits with 1 where a kill was not survived. Every kill has a chain of
its own (another first date of the embedded bars), all in one store, so that anything left behind
would disturb the next.
"""

import argparse
import datetime as dt
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.chains import STEPS, table
from benchmarks.stores import Store


def again(store: Store, finished: Mapping[str, str], **params: str) -> list[str]:
    """Run a chain of which some steps are finished to its end; return the faults found."""
    main = store.start(**params)
    if main.wait() != 0:
        return ["the next run failed: " + " | ".join(main.lines[-5:])]
    steps = table("\n".join(main.lines))
    faults = [
        f"{step} was finished, and ran again"
        for step, run_id in finished.items()
        if steps.get(step) != ("cached", run_id)
    ]
    if list(steps) != STEPS:
        faults.append(f"steps {list(steps)}")
    return faults + store.faults()


def kill_at(store: Store, moment: float, **params: str) -> bool:
    """Kill `main` so many seconds after its start; False if it had ended."""
    main = store.start(**params)
    while time.monotonic() - main.began < moment and main.process.poll() is None:
        time.sleep(0.002)
    return main.kill()


def kill_after(store: Store, line: str, **params: str) -> bool:
    """Kill `main` when it says a line that starts so."""
    main = store.start(**params)
    return main.wait_for(line) and main.kill()


def session(number: int) -> dt.date:
    """Return a weekday of its own for each number below 45."""
    return dt.date(2009, 7, 6) + dt.timedelta(days=number // 5 * 7 + number % 5)


def prepare(store: Store) -> float:
    """Make a champion for the chains to refresh; return the seconds that a chain takes."""
    faults = again(store, {}, start="2009-12-01")
    # Independent of the gate's decision on the embedded bars.
    promote = ["--action", "promote", "--model_uri", "models:/stockpred/1", "--reason", "a start"]
    store.python("-m", "steps.register", *promote)
    store.champions = 1
    began = time.monotonic()
    faults += again(store, {}, start="2009-12-02")
    if faults:
        raise RuntimeError(f"faults before any kill: {faults}")
    return time.monotonic() - began


def main() -> None:
    """Kill, run again, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--random", type=int, default=30, help="kills at random moments (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the random moments (default: %(default)s)"
    )
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        seconds = prepare(store)
        borders = [f"{step}: {what}" for step in STEPS for what in ("started", "executed")]
        counts = {"at random moments": [0, 0], "at step borders": [0, 0]}
        for number, line in enumerate([*[""] * options.random, *borders], start=1):
            params = {"start": str(session(number))}
            moment = rng.uniform(0, seconds)
            while not (
                kill_after(store, line, **params) if line else kill_at(store, moment, **params)
            ):
                # The machine was faster this time.
                moment /= 2
                params["cache"] = "off"
            params.pop("cache", None)
            faults = again(store, store.finished(params["start"]), **params)
            count = counts["at step borders" if line else "at random moments"]
            count[0] += not faults
            count[1] += 1
            sys.stderr.write(f"{line or f'{moment:.2f} s'}: {'; '.join(faults) or 'survived'}\n")
        unloadable = store.load_all()
        sys.stderr.write(unloadable)
        versions = len(store.sources())
    _print(counts, versions, seconds)
    sys.exit(bool(unloadable) or any(survived < tried for survived, tried in counts.values()))


def _print(counts: Mapping[str, Sequence[int]], versions: int, seconds: float) -> None:
    lines = ["| kills | survived / tried |", "| --- | ---: |"]
    lines += [f"| {name} | {survived} / {tried} |" for name, (survived, tried) in counts.items()]
    lines += ["", f"A chain took {seconds:.0f} s; {versions} versions, each loaded and asked."]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
