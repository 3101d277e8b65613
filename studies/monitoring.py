"""Study of the monitor's alarm: how often it is false, how soon it detects a dead signal.

`python -m studies.monitoring [--markets N]` prints a table for docs/monitoring.md and exits with
1 where a claim does not hold. A killed run goes on where it was.
"""

import argparse
import sys
from typing import Any

import numpy as np
import pandas as pd

from pipeline.chain.code_digest import Code
from steps.cli.types import ROOT
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
from studies.markets import generate_market, strength_for
from studies.run_cases import run_cases
from studies.sections import Section, allowed
from studies.verdict import Settings, default_recipe, judge_recipe, make_table

SESSIONS, SYMBOLS, AUC = 2500, 20, 0.57
MONTH, SEEN = 21, 120


def case(seed: int) -> dict[str, Any]:
    """Fit and judge a model on 2,500 sessions of a market, then monitor it on 120 more.

    Parameters
    ----------
    seed : int

    Returns
    -------
    dict
        Session, from 0, on which the alarm was raised, or None: ``alive`` where the signal goes
        on, ``dead`` where it died with the last training session. ``passed``: the gate's word.
    """
    strength = strength_for("linear", AUC)
    whole = generate_market(SYMBOLS, SESSIONS + SEEN, seed, "linear", strength).bars
    noise = generate_market(SYMBOLS, SESSIONS + SEEN, seed + 1_000_000).bars
    settings = Settings()
    table = make_table(whole, settings)
    last = np.unique(whole[DATE])[SESSIONS - 1]
    known = table[(table[LABEL_END] <= last).to_numpy() & table[LABEL].notna().to_numpy()]
    recipe = default_recipe("logistic", settings)
    verdict = judge_recipe(known.reset_index(drop=True), recipe, settings)
    backed = supported_share(expected_lead(verdict.predictions, settings.horizon))
    estimator = fit(known, recipe.candidate, recipe.hyperparameters, 0, training=recipe.training)
    prior = (known[LABEL].sum() + 1) / (len(known) + 2)
    found: dict[str, Any] = {"passed": verdict.passed}
    for name, bars in (("alive", whole), ("dead", followed(whole, noise, last))):
        rows = make_table(bars, settings)
        rows = rows[(rows[DATE] >= last).to_numpy() & rows[LABEL].notna().to_numpy()]
        chance = probability_up(estimator, rows)
        raised = detect_change(
            rows.assign(**{PROBABILITY_UP: chance, PRIOR: prior, SUPPORTED_SHARE: backed}), 1
        )
        since = np.flatnonzero(raised.dates == raised.since)
        found[name] = int(since[0]) if len(since) else None
    return found


def followed(first: pd.DataFrame, second: pd.DataFrame, last: np.datetime64) -> pd.DataFrame:
    """Join bars of one market up to a date and of another after it, on one scale of prices."""
    before, after = first[first[DATE] <= last], second[second[DATE] > last].copy()
    old = before.groupby(SYMBOL)[CLOSE].last()
    new = second[second[DATE] == last].set_index(SYMBOL)[CLOSE]
    scale = after[SYMBOL].map(old / new)
    for name in (*PRICES, ADJ_CLOSE):
        after[name] *= scale
    after[VOLUME] /= scale
    return pd.concat([before, after]).sort_values([SYMBOL, DATE], ignore_index=True)


def report(cases: list[dict[str, Any]]) -> Section:
    """Make the table and the claims of docs/monitoring.md."""
    count, out = len(cases), Section()
    false = {
        days: sum(case["alive"] is not None and case["alive"] < days for case in cases)
        for days in (MONTH, SEEN)
    }
    dead = sorted(SEEN if case["dead"] is None else case["dead"] + 1 for case in cases)
    seen = sum(case["dead"] is not None for case in cases)
    out.table(
        [f"{count} markets, {SYMBOLS} symbols, logistic, AUC {AUC}", "alarm raised"],
        [
            [f"no change, in {MONTH} nights", false[MONTH]],
            [f"no change, in {SEEN} nights", false[SEEN]],
            [f"the signal died, in {SEEN} nights", seen],
            ["of these, median session", dead[count // 2]],
            ["(passed the gate)", sum(case["passed"] for case in cases)],
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
        "--markets",
        type=int,
        default=200,
        help="generated markets (default: %(default)s; with few, a claim may fail by chance)",
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    options = parser.parse_args()
    code = Code(ROOT).of_modules("studies.monitoring")
    results_path = ROOT / ".stockpred" / "monitoring" / f"{code[:16]}.jsonl"
    seeds = [{"seed": 50_000 + number} for number in range(options.markets)]
    section = report(run_cases(case, seeds, options.jobs, results_path))
    sys.stdout.write(section.markdown())
    return int(not all(holds for _, holds in section.claims))


if __name__ == "__main__":
    sys.exit(main())
