"""Rules of the gate, as data, and the decision on a new version."""

import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stockpred.bars.checks.limits import UNTRADABLE_ROWS

_DIRECTIONS: Mapping[str, Callable[[float, float], bool]] = {
    "below": operator.lt,
    "above": operator.gt,
    "at_least": operator.ge,
}


@dataclass(frozen=True)
class Rule:
    """Limit of a metric.

    Attributes
    ----------
    metric : str
        Name of the metric.
    direction : str
        ``below``, ``above`` or ``at_least``.
    limit : float
        In the metric's unit.
    meaning : str
        Completes "it must hold that ...".
    fix : str
        What to do where an input lacks the metric; empty where none can.
    """

    metric: str
    direction: str
    limit: float
    meaning: str
    fix: str = ""


_CALIBRATED = Rule(
    "excess_calibration_error", "below", 0.05, "its probabilities are near the observed shares"
)
_VALIDATE = "give validation.json of a new run of validate"
_SOUND = Rule(
    "unsound_share", "below", 0.05, "the bars were validated and nearly all are sound", _VALIDATE
)
UNTRADABLE_SHARE = "untradable_share"
_TRADABLE = Rule(
    UNTRADABLE_SHARE,
    "below",
    UNTRADABLE_ROWS,
    "nearly all prices it was judged on could be traded at",
    _VALIDATE,
)
MIN_SHARED_SYMBOLS = 0.5
_SAME_SYMBOLS = Rule(
    "shared_symbols",
    "at_least",
    MIN_SHARED_SYMBOLS,
    "it forecasts the symbols that the champion forecasts",
)
_COMPARABLE = (
    _SAME_SYMBOLS,
    Rule("common_dates", "at_least", 250, "the two evaluations share enough dates"),
)
# A new recipe, or the first, against the base rates on its own holdout.
BASELINE_RULES = (
    Rule("lead", "above", 0.0, "its log loss is lower than that of the expanding prior"),
    Rule(
        "anytime_p_value",
        "below",
        0.05,
        "chance alone would seldom do so in any look",
    ),
    _CALIBRATED,
    Rule("dates", "at_least", 250, "the holdout has enough dates to tell"),
    _SOUND,
    _TRADABLE,
)
# A new recipe against the champion's, on the dates that both evaluations share.
CHAMPION_RULES = (
    *_COMPARABLE,
    Rule("champion_lead", "above", 0.0, "its log loss is lower than the champion's there"),
    # Bets show only that the champion is wrong, which a worse recipe can show, too.
    Rule("champion_lead_p_value", "below", 0.10, "chance alone would seldom give such a lead"),
    Rule("champion_anytime_p_value", "below", 0.10, "nor would it in any look"),
)
# Or: the champion's recipe no longer shows skill there, and the new one does.
SUCCESSION_RULES = (
    *_COMPARABLE,
    Rule("champion_baseline_p_value", "at_least", 0.05, "the champion shows no skill there"),
    Rule("common_p_value", "below", 0.05, "the new recipe shows skill there"),
)
# The champion's own recipe on newer data: replaced unless it has become worse.
REFRESH_RULES = (
    Rule("shortfall_p_value", "at_least", 0.05, "its recent record is not below its promise"),
    Rule("worse_than_prior_p_value", "at_least", 0.05, "it is not clearly worse than the prior"),
    _CALIBRATED,
    _SOUND,
    _TRADABLE,
    _SAME_SYMBOLS,
)


@dataclass(frozen=True)
class RuleResult:
    """Result of a rule.

    Attributes
    ----------
    rule : Rule
        What was checked.
    value : float or None
        Value of the metric; None where it is missing or not finite.
    passed : bool
        False without a value.
    """

    rule: Rule
    value: float | None
    passed: bool

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, in one level."""
        return {**asdict(self.rule), "value": self.value, "passed": self.passed}


@dataclass(frozen=True)
class Decision:
    """Decision on a version.

    Attributes
    ----------
    stage : str
        Value of the tag ``stage``.
    aliases : tuple of str
        Aliases it gets, besides ``candidate``.
    results : tuple of RuleResult
        Every rule that was checked.
    sentence : str
        Reason.
    """

    stage: str
    aliases: tuple[str, ...]
    results: tuple[RuleResult, ...]
    sentence: str


def check_rules(
    values: Mapping[str, float | None], rules: Sequence[Rule]
) -> tuple[RuleResult, ...]:
    """Check values against rules.

    Parameters
    ----------
    values : mapping of str to float or None
        By metric; one that is missing, None or not finite fails.
    rules : sequence of Rule
        Rules to check.

    Returns
    -------
    tuple of RuleResult
        In the order of `rules`.
    """
    results = []
    for rule in rules:
        value = values.get(rule.metric)
        known = value is not None and math.isfinite(value)
        passed = known and _DIRECTIONS[rule.direction](float(value or 0.0), rule.limit)
        results.append(RuleResult(rule, value if known else None, passed))
    return tuple(results)


def decide(
    values: Mapping[str, float | None],
    *,
    has_champion: bool = False,
    is_refresh: bool = False,
    may_promote: bool = True,
    waived: Collection[str] = (),
) -> Decision:
    """Decide on a newly registered version.

    Parameters
    ----------
    values : mapping of str to float or None
        By metric, as the rules name them (`gate.metrics`).
    has_champion : bool
        Whether the registered model has a champion.
    is_refresh : bool
        Whether the champion has the same recipe.
    may_promote : bool
        False keeps it at Staging (``phase=pilot``).
    waived : collection of str
        Metrics whose rules are left out, at the user's wish.

    Returns
    -------
    Decision
        Development where a rule fails, Production for a new champion, Staging otherwise.

    Examples
    --------
    >>> values = {"lead": 0.002, "anytime_p_value": 0.2, "excess_calibration_error": 0.01,
    ...           "dates": 500, "unsound_share": 0.0, "untradable_share": 0.0}
    >>> decision = decide(values)
    >>> decision.stage, [result.rule.metric for result in decision.results if not result.passed]
    ('Development', ['anytime_p_value'])
    >>> decide(values | {"anytime_p_value": 0.01}).aliases
    ('champion',)
    """
    refresh = has_champion and is_refresh
    rules: tuple[Rule, ...] = REFRESH_RULES if refresh else BASELINE_RULES
    if refresh and not _all_passed(check_rules(values, [_SAME_SYMBOLS])):
        # On other symbols the recipe is a new one, whose skill comes first.
        rules = (*BASELINE_RULES, _SAME_SYMBOLS)
    results = check_rules(values, [rule for rule in rules if rule.metric not in waived])
    if not _all_passed(results):
        return Decision("Development", (), results, _refusal(results))
    if refresh:
        why = "the champion's recipe on newer data, not worse than promised"
    elif not has_champion:
        why = "the first to pass the checks against the baselines"
    else:
        beaten, succeeded = (
            check_rules(values, CHAMPION_RULES),
            check_rules(values, SUCCESSION_RULES),
        )
        results += tuple(dict.fromkeys(beaten + succeeded))
        if _all_passed(beaten):
            why = "it beat the champion's recipe on the same dates"
        elif _all_passed(succeeded):
            why = "it shows skill on the dates on which the champion's recipe shows none"
        else:
            sentence = f"passed against the baselines, stays challenger: {_refusal(beaten)}"
            return Decision("Staging", ("challenger",), results, sentence)
    if not may_promote:
        return Decision("Staging", ("challenger",), results, f"{why}; held at Staging by phase")
    return Decision("Production", ("champion",), results, why)


def _all_passed(results: Sequence[RuleResult]) -> bool:
    return all(result.passed for result in results)


def _refusal(results: Sequence[RuleResult]) -> str:
    broken = next(result for result in results if not result.passed)
    shown = "undefined" if broken.value is None else f"{broken.value:.4g}"
    direction = broken.rule.direction.replace("_", " ")
    sentence = (
        f"not shown that {broken.rule.meaning} "
        f"({broken.rule.metric} {shown}, to be {direction} {broken.rule.limit:g})"
    )
    is_lacking = broken.value is None and broken.rule.fix
    return f"{sentence}; fix: {broken.rule.fix}" if is_lacking else sentence
