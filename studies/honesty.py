"""The proof: on generated markets, where the truth is known, the pipeline reports the truth.

`python -m studies.honesty [SECTION ...]` prints Markdown tables for docs/honesty.md and ends
with 1 where a claim does not hold. The sections: noise, year, power, tries, auc, coverage,
mistake. What was done before a kill is not done again.
"""

import argparse
import resource
import signal
import sys
import time
from pathlib import Path

from pipeline.chain.code_digest import Code
from studies.many import Runner
from studies.sections import SECTIONS

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run sections and print them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--markets", type=int, help="markets a cell, for a shorter run")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--picture", type=Path, help="where to draw the power curve (PNG)")
    given = parser.parse_args()
    unknown = sorted(set(given.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"section {unknown[0]!r}: choose from {', '.join(SECTIONS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes end, too
    # Results of other code are other results.
    code = Code(ROOT).of_modules("studies.honesty")
    kept = ROOT / ".stockpred" / "honesty" / f"{code[:16]}.jsonl"
    runner = Runner(given.markets, given.jobs, kept, given.picture)
    broken = 0
    for name in given.sections or SECTIONS:
        began, used = time.monotonic(), _cpu()
        section = SECTIONS[name](runner)
        broken += sum(not holds for _, holds in section.claims)
        sys.stdout.write(f"### {name}\n\n{section.markdown()}\n")
        spent = f"{(time.monotonic() - began) / 60:.1f} minutes, {(_cpu() - used) / 60:.1f} of CPU."
        sys.stdout.write(f"{spent}\n\n")
        sys.stdout.flush()
    return int(broken > 0)


def _cpu() -> float:
    """Seconds of processor that this process and its ended children have used."""
    of = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in of)


if __name__ == "__main__":
    sys.exit(main())
