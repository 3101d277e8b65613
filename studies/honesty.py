"""Study of honesty: what the pipeline reports on simulated markets whose truth is known.

`python -m studies.honesty [SECTION ...]` prints Markdown tables for docs/honesty.md and exits with
1 where a claim does not hold. A killed study resumes from its stored results.
"""

import argparse
import resource
import signal
import sys
import time
from pathlib import Path

from pipeline.chain.code_digest import Code
from pipeline.errors import EngineError
from pipeline.parallel.address import LOCAL
from steps.cli.types import ROOT
from studies.run_cases import Runner
from studies.sections import SECTIONS


def main() -> int:
    """Run sections and print them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)} (default: all)"
    )
    parser.add_argument(
        "--markets", type=int, help="markets of each cell (default: each section's own number)"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument(
        "--engine",
        default=LOCAL,
        help="a Dask scheduler's address, whose workers replace processes (default: %(default)s)",
    )
    parser.add_argument(
        "--picture", type=Path, help="file for the power curve, PNG (default: none)"
    )
    options = parser.parse_args()
    unknown = sorted(set(options.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"section {unknown[0]!r}: choose from {', '.join(SECTIONS)}")
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # the exit ends the worker processes, too
    # A file for each version of the code: results of other code are not reused.
    code = Code(ROOT).of_modules("studies.honesty")
    results_path = ROOT / ".stockpred" / "honesty" / f"{code[:16]}.jsonl"
    runner = Runner(options.markets, options.jobs, results_path, options.picture, options.engine)
    failed_claims = 0
    for name in options.sections or SECTIONS:
        began, used = time.monotonic(), _cpu()
        try:
            section = SECTIONS[name](runner)
        except EngineError as error:
            sys.exit(str(error))
        failed_claims += sum(not holds for _, holds in section.claims)
        sys.stdout.write(f"### {name}\n\n{section.markdown()}\n")
        spent = f"{(time.monotonic() - began) / 60:.1f} minutes, {(_cpu() - used) / 60:.1f} of CPU."
        sys.stdout.write(f"{spent}\n\n")
        sys.stdout.flush()
    return int(failed_claims > 0)


def _cpu() -> float:
    """Return the CPU seconds used by this process and its ended children."""
    scopes = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, scopes))


if __name__ == "__main__":
    sys.exit(main())
