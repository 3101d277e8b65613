"""Kills: SIGKILL to `main` and all its processes, over the whole chain, and what comes after.

Run it with `python -m benchmarks.kills`; it prints a Markdown table and ends with 1 where one kill
was not survived. Every kill has a chain of its own (another first date of the embedded bars), all
in one store, so that what one left behind would be in the way of the next.
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
    """Run a chain to its end, of which some steps are finished; what is wrong then."""
    main = store.start(**params)
    if main.wait() != 0:
        return ["the next run failed: " + " | ".join(main.lines[-5:])]
    steps = table("\n".join(main.lines))
    faults = [
        f"{step} was done, and done again"
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
    """A session of its own for each number below 45: what begins on a holiday has later bars."""
    return dt.date(2009, 7, 6) + dt.timedelta(days=number // 5 * 7 + number % 5)


def prepare(store: Store) -> float:
    """A champion, whose refreshes the chains then are; return the seconds that a chain takes."""
    faults = again(store, {}, start="2009-12-01")
    # Whatever the gate thinks of the embedded bars.
    options = ["--action", "promote", "--model_uri", "models:/stockpred/1", "--reason", "a start"]
    store.python("-m", "steps.register", *options)
    store.champions = 1
    began = time.monotonic()
    faults += again(store, {}, start="2009-12-02")
    if faults:
        raise RuntimeError(f"no kill yet, and {faults}")
    return time.monotonic() - began


def main() -> None:
    """Kill, run again, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        seconds = prepare(store)
        borders = [f"{step}: {what}" for step in STEPS for what in ("started", "executed")]
        counts = {"at random moments": [0, 0], "at step borders": [0, 0]}
        for number, line in enumerate([*[""] * given.random, *borders], start=1):
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
