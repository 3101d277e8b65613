"""Measure how the cost of every step grows with symbols and sessions, and estimate a larger table.

Generated bars of each size go through `main` with `backend=local` and an empty store, so that every
step is a command of its own; then once more with one new session a symbol. Growth exponents are
least-squares slopes of log cost over log size. It prints one Markdown table.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.scale.growth import table
from benchmarks.scale.measure import Size, measure


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "sizes",
        nargs="*",
        type=Size.parse,
        metavar="SYMBOLSxSESSIONS",
        default=[Size(5, 2500), Size(50, 2500), Size(50, 5000), Size(500, 2500), Size(2000, 2500)],
        help="default: 5x2500 50x2500 50x5000 500x2500 2000x2500",
    )
    parser.add_argument(
        "--estimate",
        type=Size.parse,
        default=Size(10_000, 5040),
        metavar="SYMBOLSxSESSIONS",
        help="size to extrapolate to: from the two largest numbers of symbols with the same "
        "sessions, and from the sizes that differ in sessions alone (default: 10000x5040)",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="existing folder with room for stores, bars and artifacts (default: a temporary one)",
    )
    parser.add_argument(
        "-P",
        dest="parameters",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="parameter of main, such as models=prior",
    )
    options = parser.parse_args()
    parameters = [f"--{parameter}" for parameter in options.parameters]
    measured = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            measured.append(measure(size, Path(folder), parameters))
    sys.stdout.write("\n".join(table(measured, options.estimate)) + "\n")
    for item in measured:
        for name, failure in item.failures.items():
            if failure:
                sys.stdout.write(f"\n{item.size}, {name}: {failure}\n")


if __name__ == "__main__":
    main()
