"""The summary of validation over all symbols: the content of validation.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from stockpred.arrays import Dates
from stockpred.bars.checks.limits import GAP_DAYS
from stockpred.bars.checks.sessions import GAP
from stockpred.bars.checks.tradability import SIGNS
from stockpred.bars.checks.validate import CHECKS, SymbolValidation

EXAMPLES = 5  # dates shown of each symbol's missing and extra sessions


def summarise(validations: Mapping[str, SymbolValidation]) -> dict[str, Any]:
    """Summarise the validation of all symbols as plain values.

    Parameters
    ----------
    validations : mapping of str to SymbolValidation
        Symbol -> its validation; `bars` is not read.

    Returns
    -------
    dict
        ``symbols``: their number. ``listed``, ``bars``: bars before and after. ``checks``: for
        every check its level and rule, in how many symbols and how often it was broken, and the
        first example. ``dropped``: symbol -> reason. ``quarantined``: periods removed from symbols
        that stay, and the checks that failed in each. ``sessions``: for every symbol with a
        calendar the number of expected, missing and extra sessions. ``long_gaps``: their limit in
        days, their number, that of their symbols, and of the rows that have no whole look-back
        because of one, all of symbols that stay. ``tradability``: the limits,
        and the shares of each symbol and year (`tradability.YearShares`) with the names of those
        above their limit. ``problems``: all of them.
    """
    problems = [problem for result in validations.values() for problem in result.problems]
    checks = []
    for check in CHECKS:
        broken = [problem for problem in problems if problem.check == check.name]
        checks.append(
            {
                "check": check.name,
                "level": check.level,
                "rule": check.rule,
                "symbols": len(broken),
                "count": sum(problem.count for problem in broken),
                "first": broken[0].example if broken else None,
            }
        )
    return {
        "symbols": len(validations),
        "listed": sum(result.listed for result in validations.values()),
        "bars": sum(result.kept for result in validations.values()),
        "checks": checks,
        "dropped": {
            symbol: result.reason for symbol, result in validations.items() if result.reason
        },
        "quarantined": [
            {**quarantine._asdict(), "checks": list(names)}
            for result in validations.values()
            if not result.reason
            for quarantine, names in result.failed_checks.items()
        ],
        "sessions": {
            symbol: {
                "calendar": result.gaps.calendar,
                "expected": len(result.gaps.expected),
                "missing": len(result.gaps.missing),
                "extra": len(result.gaps.extra),
                "first_missing": _first_days(result.gaps.missing),
                "first_extra": _first_days(result.gaps.extra),
            }
            for symbol, result in validations.items()
            if result.gaps.calendar
        },
        "long_gaps": _summarise_gaps([r for r in validations.values() if not r.reason]),
        "tradability": {
            "limits": {sign.name: sign.limit for sign in SIGNS},
            "years": [year.to_dict() for result in validations.values() for year in result.years],
        },
        "problems": [asdict(problem) for problem in problems],
    }


def _summarise_gaps(kept: Sequence[SymbolValidation]) -> dict[str, int]:
    counts = [p.count for result in kept for p in result.problems if p.check == GAP]
    return {
        "days": GAP_DAYS,
        "count": sum(counts),
        "symbols": len(counts),
        "rows": sum(result.cut_rows for result in kept),
    }


def _first_days(dates: Dates) -> list[str]:
    return [str(date)[:10] for date in dates[:EXAMPLES]]
