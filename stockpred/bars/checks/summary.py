"""What validation found over all symbols: the content of validation.json."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from stockpred.arrays import Dates
from stockpred.bars.checks.validate import CHECKS, SymbolValidation

EXAMPLES = 5  # dates shown of each symbol's missing and extra sessions


def summarise(judged: Mapping[str, SymbolValidation]) -> dict[str, Any]:
    """Everything found, as plain values.

    Parameters
    ----------
    judged : mapping of str to SymbolValidation
        Symbol -> what was found in it; the bars themselves are not looked at.

    Returns
    -------
    dict
        ``symbols``; ``listed`` and ``bars``, before and after; ``checks``: for every check its
        level and rule, in how many symbols and how often it was broken, and the first example;
        ``dropped``: symbol -> reason; ``quarantined``: the stretches taken out of symbols that
        stay, and the checks that failed in each; ``sessions``: for every symbol with a calendar
        how many it expects and lacks; ``problems``.
    """
    problems = [problem for found in judged.values() for problem in found.problems]
    checks = []
    for check in CHECKS:
        found = [problem for problem in problems if problem.check == check.name]
        checks.append(
            {
                "check": check.name,
                "level": check.level,
                "rule": check.rule,
                "symbols": len(found),
                "count": sum(problem.count for problem in found),
                "first": found[0].example if found else None,
            }
        )
    return {
        "symbols": len(judged),
        "listed": sum(found.listed for found in judged.values()),
        "bars": sum(found.kept for found in judged.values()),
        "checks": checks,
        "dropped": {symbol: found.reason for symbol, found in judged.items() if found.reason},
        "quarantined": [
            {**quarantine._asdict(), "checks": list(names)}
            for found in judged.values()
            for quarantine, names in ({} if found.reason else found.failed_checks).items()
        ],
        "sessions": {
            symbol: {
                "calendar": found.gaps.calendar,
                "expected": len(found.gaps.expected),
                "missing": len(found.gaps.missing),
                "extra": len(found.gaps.extra),
                "first_missing": _days(found.gaps.missing),
                "first_extra": _days(found.gaps.extra),
            }
            for symbol, found in judged.items()
            if found.gaps.calendar
        },
        "problems": [asdict(problem) for problem in problems],
    }


def _days(dates: Dates) -> list[str]:
    return [str(date)[:10] for date in dates[:EXAMPLES]]
