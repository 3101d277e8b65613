"""The alarm on fitted models: how often it is false, and how soon it sees a signal that dies.

`python -m studies.monitoring [--markets N]` prints a table for docs/monitoring.md and ends with
1 where a claim does not hold. What was done before a kill is not done again.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.chain.code_digest import Code
from stockpred.columns import (
    ADJ_CLOSE,
    CLOSE,
    DATE,
    LABEL,
    LABEL_END,
    PRICES,
    PRIOR,
    PROBABILITY_UP,
    SUPPORTED_SHARE,
    SYMBOL,
    VOLUME,
)
from stockpred.gate.expected_lead import expected_lead
from stockpred.monitoring.change_detector import detect_change, supported_share
from stockpred.training.fit import fit, probability_up
from studies.many import run_cases
from studies.markets import market, strength_for
from studies.sections import Section, allowed
from studies.verdict import Settings, judged, recipe_of, table_of

ROOT = Path(__file__).resolve().parent.parent
SESSIONS, SYMBOLS, AUC = 2500, 20, 0.57
MONTH, SEEN = 21, 120


def case(seed: int) -> dict[str, Any]:
    """One market, its model fitted and promised on 2,500 sessions, then watched on 120 more.

    Returns
    -------
    dict
        Session, from 0, on which the alarm was raised, or None: ``alive`` where the signal goes
        on, ``dead`` where it died with the last training session. ``passed``: the gate's word.
    """
    strength = strength_for("linear", AUC)
    whole = market(SYMBOLS, SESSIONS + SEEN, seed, "linear", strength).bars
    noise = market(SYMBOLS, SESSIONS + SEEN, seed + 1_000_000).bars
    settings = Settings()
    table = table_of(whole, settings)
    last = np.unique(whole[DATE])[SESSIONS - 1]
    known = table[(table[LABEL_END] <= last).to_numpy() & table[LABEL].notna().to_numpy()]
    recipe = recipe_of("logistic", settings)
    verdict = judged(known.reset_index(drop=True), recipe, settings)
    backed = supported_share(expected_lead(verdict.predictions, settings.horizon))
    estimator = fit(known, recipe.candidate, recipe.hyperparameters, 0, training=recipe.training)
    prior = (known[LABEL].sum() + 1) / (len(known) + 2)
    found: dict[str, Any] = {"passed": verdict.passed}
    for name, bars in (("alive", whole), ("dead", followed(whole, noise, last))):
        rows = table_of(bars, settings)
        rows = rows[(rows[DATE] >= last).to_numpy() & rows[LABEL].notna().to_numpy()]
        chance = probability_up(estimator, rows)
        raised = detect_change(
            rows.assign(**{PROBABILITY_UP: chance, PRIOR: prior, SUPPORTED_SHARE: backed}), 1
        )
        since = np.flatnonzero(raised.dates == raised.since)
        found[name] = int(since[0]) if len(since) else None
    return found


def followed(first: pd.DataFrame, second: pd.DataFrame, last: np.datetime64) -> pd.DataFrame:
    """Bars of one market up to a date and of another after it, on one scale of prices."""
    before, after = first[first[DATE] <= last], second[second[DATE] > last].copy()
    old = before.groupby(SYMBOL)[CLOSE].last()
    new = second[second[DATE] == last].set_index(SYMBOL)[CLOSE]
    scale = after[SYMBOL].map(old / new)
    for name in (*PRICES, ADJ_CLOSE):
        after[name] *= scale
    after[VOLUME] /= scale
    return pd.concat([before, after]).sort_values([SYMBOL, DATE], ignore_index=True)


def report(found: list[dict[str, Any]]) -> Section:
    """A table, and the claims of docs/monitoring.md."""
    count, out = len(found), Section()
    false = {
        days: sum(each["alive"] is not None and each["alive"] < days for each in found)
        for days in (MONTH, SEEN)
    }
    dead = sorted(SEEN if each["dead"] is None else each["dead"] + 1 for each in found)
    seen = sum(each["dead"] is not None for each in found)
    out.table(
        [f"{count} markets, {SYMBOLS} symbols, logistic, AUC {AUC}", "alarm raised"],
        [
            [f"no change, in {MONTH} nights", false[MONTH]],
            [f"no change, in {SEEN} nights", false[SEEN]],
            [f"the signal died, in {SEEN} nights", seen],
            ["of these, median session", dead[count // 2]],
            ["(passed the gate)", sum(each["passed"] for each in found)],
        ],
    )
    most = allowed(count)
    out.claim(f"at most {most} of {count} false in a month", false[MONTH] <= most)
    out.claim("a dead signal is seen in at least 85 %", seen >= 0.85 * count)
    return out


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--markets", type=int, default=200, help="of a few, chance alone can miss a claim"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    given = parser.parse_args()
    code = Code(ROOT).of_modules("studies.monitoring")
    kept = ROOT / ".stockpred" / "monitoring" / f"{code[:16]}.jsonl"
    seeds = [{"seed": 50_000 + number} for number in range(given.markets)]
    section = report(run_cases(case, seeds, given.jobs, kept))
    sys.stdout.write(section.markdown())
    return int(not all(holds for _, holds in section.claims))


if __name__ == "__main__":
    sys.exit(main())
