"""Sections of the study of honesty: their cases, tables, and the claims that must hold."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stockpred.bars.checks.limits import STALE_OPENS
from stockpred.gate.sequential_looks import alpha_share
from studies import cases
from studies.run_cases import Runner
from studies.verdict import LEVEL

AUCS = (0.51, 0.52, 0.53, 0.55, 0.57)
SIZES = (5, 20, 50)
TRIES = (1, 5, 20, 50)
STALE_SHARES = (0.0, 0.1, 0.2, 0.5, 0.97)


@dataclass
class Section:
    """Lines of Markdown, and claims, each with whether it holds."""

    lines: list[str] = field(default_factory=list)
    claims: list[tuple[str, bool]] = field(default_factory=list)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table; all columns but the first are figures."""
        self.lines += [
            "| " + " | ".join(header) + " |",
            "| --- |" + " ---: |" * (len(header) - 1),
            *("| " + " | ".join(map(str, row)) + " |" for row in rows),
            "",
        ]

    def claim(self, text: str, holds: bool) -> None:
        """Add a claim."""
        self.claims.append((text, bool(holds)))

    def markdown(self) -> str:
        """Render the tables, then one line for each claim."""
        claims = (f"- {text}: {'holds' if holds else 'BROKEN'}" for text, holds in self.claims)
        return "\n".join([*self.lines, *claims, ""])


def allowed(markets: int, level: float = LEVEL) -> int:
    """Count the passes that a gate of this level exceeds once in 80 times (binomial): 17 of 200."""
    from scipy.stats import binom  # noqa: PLC0415 - a second to import

    return int(binom.ppf(1 - 1 / 80, markets, level))


def noise(runner: Runner) -> Section:
    """Judge markets without signal: how many pass the gate, and whether p values are valid."""
    from scipy.stats import kstest  # noqa: PLC0415 - a second to import

    count, out, rows = runner.count(200), Section(), []
    most = allowed(count)
    for kind in ("generated", "flipped"):
        given = [{"seed": seed, "kind": kind} for seed in range(count)]
        found = runner.run(cases.judge_noise, given)
        for asked in ("chosen", "logistic"):
            passed = sum(case[asked]["passed"] for case in found)
            p = [case[asked]["p"] for case in found]
            small = kstest(p, "uniform", alternative="greater").pvalue
            skilled = sum(case[asked]["candidate"] != "prior" for case in found)
            auc = np.mean([case[asked]["auc"] for case in found])
            rows.append(
                [
                    f"{kind}, {asked}",
                    f"{passed} of {count}",
                    most,
                    skilled,
                    f"{np.mean(np.array(p) < LEVEL):.3f}",
                    f"{small:.2f}",
                    f"{auc:.4f}",
                ]
            )
            out.claim(f"{kind}, {asked}: at most {most} pass", passed <= most)
            out.claim(f"{kind}, {asked}: p values not smaller than uniform", small > 0.01)
    out.table(
        [
            "noise, recipe",
            "passed",
            "at most",
            "not the prior",
            "share of p < 0.05",
            "KS p that p is smaller than uniform",
            "mean AUC",
        ],
        rows,
    )
    return out


def year(runner: Runner) -> Section:
    """Look weekly for a year at markets without signal: how many ever promote."""
    count, out = runner.count(200), Section()
    found = runner.run(cases.judge_weekly, [{"seed": 10_000 + seed} for seed in range(count)])
    most = max(count * 28 // 200, allowed(count))
    rows = []
    for text, key in (("a plain paired test", "leads"), ("the gate", "passed")):
        once = sum(0 in case[key] for case in found)
        ever = sum(bool(case[key]) for case in found)
        rows.append([text, f"{once} of {count}", f"{ever} of {count}"])
    out.table(
        ["noise markets called skilled by", "asked once", f"ever, asked {cases.LOOKS} times"], rows
    )
    out.claim(f"at most {most} of {count} noise markets ever promote in a year", ever <= most)
    return out


def _planted(
    runner: Runner, cells: Sequence[tuple[int, float]]
) -> dict[tuple[int, float], list[cases.Case]]:
    """Run markets with a linear signal, by (symbols, best possible AUC)."""
    count = runner.count(60)
    given = [
        {"seed": 20_000 + seed, "symbols": symbols, "auc": auc}
        for symbols, auc in cells
        for seed in range(count)
    ]
    found = iter(runner.run(cases.judge_signal, given))
    return {cell: [next(found) for _ in range(count)] for cell in cells}


def power(runner: Runner) -> Section:
    """Measure the share of markets with a planted linear signal that pass, by best AUC."""
    out = Section()
    by_cell = _planted(runner, [(symbols, auc) for symbols in SIZES for auc in AUCS])

    def curve(symbols: int, key: str) -> list[float]:
        return [float(np.mean([case[key] for case in by_cell[symbols, auc]])) for auc in AUCS]

    curves = {symbols: curve(symbols, "passed") for symbols in SIZES}
    out.table(
        ["share that passes the gate (a plain paired test)", *(f"AUC {auc}" for auc in AUCS)],
        [
            [
                f"{n} symbols",
                *(
                    f"{gate:.0%} ({plain:.0%})"
                    for gate, plain in zip(curves[n], curve(n, "leads"), strict=True)
                ),
            ]
            for n in SIZES
        ],
    )
    if runner.picture:
        _draw(curves, runner.picture)
    share = curves[5][-1]
    out.claim(f"at AUC 0.57 with 5 symbols at least 75 % pass ({share:.0%})", share >= 0.75)
    return out


def tries(runner: Runner) -> Section:
    """Measure the share of the markets of `power` that pass as the k-th recipe ever judged."""
    out, by_cell = Section(), _planted(runner, [(5, auc) for auc in AUCS[-2:]])

    def share(found: list[cases.Case], k: int) -> float:
        level = LEVEL * alpha_share(k)
        return float(np.mean([case["passed"] and case["anytime_p"] < level for case in found]))

    out.table(
        ["share that passes, 5 symbols", *(f"try {k}" for k in TRIES)],
        [
            [f"AUC {auc}", *(f"{share(found, k):.0%}" for k in TRIES)]
            for (_, auc), found in by_cell.items()
        ],
    )
    for (_, auc), found in by_cell.items():
        same = share(found, 1) == np.mean([case["passed"] for case in found])
        out.claim(f"AUC {auc}: the first try is the gate's own verdict", same)
    return out


def _draw(curves: dict[int, list[float]], picture: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second to import

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for symbols, curve in curves.items():
        axes.plot(AUCS, curve, marker="o", label=f"{symbols} symbols")
    axes.axhline(LEVEL, color="grey", linewidth=0.8, linestyle=":")
    axes.set(
        xlabel="best possible AUC of the planted signal",
        ylabel="share that passes the gate",
        ylim=(0, 1.02),
        xticks=AUCS,
    )
    axes.legend(frameon=False)
    figure.savefig(picture, dpi=110)


def auc(runner: Runner) -> Section:
    """Compare the AUC that the pipeline reaches on its holdout with the best possible one."""
    count, out, rows = runner.count(30), Section(), []
    for kind in ("linear", "threshold"):
        for symbols in (5, 20):
            given = [
                {"seed": 30_000 + seed, "symbols": symbols, "auc": 0.57, "signal": kind}
                for seed in range(count)
            ]
            found = runner.run(cases.judge_signal, given)
            reached, best = (float(np.mean([case[k] for case in found])) for k in ("auc", "best"))
            rows.append([kind, symbols, count, f"{reached:.4f}", f"{best:.4f}"])
            text = f"{kind}, {symbols} symbols: within 0.02 of the best"
            out.claim(text, abs(reached - best) <= 0.02)
    out.table(["signal", "symbols", "markets", "mean holdout AUC", "best possible"], rows)
    return out


def coverage(runner: Runner) -> Section:
    """Measure how often the 95 % interval of the AUC covers the fitted model's true AUC."""
    count, out, rows = runner.count(250), Section(), []
    held, cells = 0, (0.53, 0.57)
    for cell, best in enumerate(cells):
        first = 50_000 + count * cell
        given = [{"seed": seed, "auc": best} for seed in range(first, first + count)]
        found = runner.run(cases.measure_coverage, given)
        inside = sum(case["low"] <= case["true"] <= case["high"] for case in found)
        width = np.mean([case["high"] - case["low"] for case in found])
        true = np.mean([case["true"] for case in found])
        rows.append([f"AUC {best}", f"{true:.3f}", f"{width:.3f}", f"{inside} of {count}"])
        held += inside
    out.table(["planted", "mean true AUC of the models", "mean width", "true AUC inside"], rows)
    share = held / (len(cells) * count)
    out.claim(f"95 % intervals hold the truth in 92 to 98 % ({share:.1%})", 0.92 <= share <= 0.98)
    return out


def mistake(runner: Runner) -> Section:
    """Make the classic mistake on pure noise: a random split of overlapping windows."""
    count, out = runner.count(100), Section()
    found = runner.run(cases.measure_splits, [{"seed": 40_000 + seed} for seed in range(count)])
    means = {k: float(np.mean([case[k] for case in found])) for k in found[0]}
    errors = {k: float(np.std([case[k] for case in found])) / count**0.5 for k in found[0]}
    names = {
        "random": "windows of 14 closes, nearest neighbours, random split",
        "purged": "the same windows and learner, purged walk-forward",
        # purged: what is left above one half comes from the scaling, which knows the whole range.
        # pipeline: what is missing from it comes from the base rate, which each fit learns anew, is
        # lowest after a run of downs, and of which the next outcomes, on noise, know nothing.
        "pipeline": "this pipeline, logistic",
        "fits": "the same, mean of the AUCs within the dates of one fit",
        "prior": "the prior alone, learnt anew by each fit",
    }
    out.table(
        [f"pure noise, horizon 10, {count} markets", "reported AUC", "standard error"],
        [[text, f"{means[name]:.3f}", f"{errors[name]:.3f}"] for name, text in names.items()],
    )
    out.claim("the random split reports an AUC above 0.6", means["random"] > 0.6)
    above = means["pipeline"] - 0.5
    out.claim("this pipeline reports no more than 0.50 + 3 errors", above < 3 * errors["pipeline"])
    miss = abs(means["fits"] - 0.5)
    out.claim("within a fit it reports 0.50, within 3 standard errors", miss < 3 * errors["fits"])
    return out


def stale_opens(runner: Runner) -> Section:
    """Judge noise with a bid-ask spread and stale opens: how many pass, by the share of these."""
    count, out, rows = runner.count(20), Section(), []
    for share in STALE_SHARES:
        given = [{"seed": 60_000 + seed, "share": share} for seed in range(count)]
        found = runner.run(cases.judge_stale_opens, given)
        passed, off = (sum(case[key] for case in found) for key in ("passed", "off"))
        mean = np.mean([case["auc"] for case in found])
        rows.append([f"{share:.0%}", f"{mean:.3f}", f"{off} of {count}", f"{passed} of {count}"])
        most = allowed(count) if share <= STALE_OPENS else 0
        out.claim(f"{share:.0%} stale opens: at most {most} pass", passed <= most)
        if share == STALE_SHARES[-1]:
            out.claim("without the rule most of these pass", off > count / 2)
    out.table(
        ["noise with a spread, stale opens", "mean AUC", "passed without the rule", "with it"], rows
    )
    return out


SECTIONS = {
    section.__name__: section
    for section in (noise, year, power, tries, auc, coverage, mistake, stale_opens)
}
