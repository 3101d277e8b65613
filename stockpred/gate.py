"""The gate: rules as data, and the decision on a new version."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stockpred.compare import Lead

_DIRECTIONS: Mapping[str, Callable[[float, float], bool]] = {
    "below": operator.lt,
    "above": operator.gt,
    "at_least": operator.ge,
}


@dataclass(frozen=True)
class Rule:
    """A metric, a direction, a limit; `meaning` completes "it must hold that ..."."""

    metric: str
    direction: str
    limit: float
    meaning: str


# A new recipe, or the first, against the baselines on its own holdout.
BASELINE_RULES = (
    Rule("lead", "above", 0.0, "its log loss is lower than the expanding prior's"),
    Rule("lead_p_value", "below", 0.05, "chance alone would seldom give such a lead"),
    Rule("calibration_error", "below", 0.05, "its probabilities are near the observed shares"),
    Rule("dates", "at_least", 250, "the holdout has enough dates to tell"),
)
# A new recipe against the champion's, on the dates that both evaluations share.
CHAMPION_RULES = (
    Rule("common_dates", "at_least", 250, "the two evaluations share enough dates"),
    Rule("champion_lead", "above", 0.0, "its log loss is lower than the champion's there"),
    Rule("champion_lead_p_value", "below", 0.10, "chance alone would seldom give such a lead"),
)
# The champion's own recipe on newer data: replaced unless it has become worse.
REFRESH_RULES = (
    Rule("worse_than_prior_p_value", "at_least", 0.05, "it is not clearly worse than the prior"),
    Rule("calibration_error", "below", 0.05, "its probabilities are near the observed shares"),
)


@dataclass(frozen=True)
class Verdict:
    """A rule with the value it met."""

    rule: Rule
    value: float | None
    passed: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data, in one level."""
        return {**asdict(self.rule), "value": self.value, "passed": self.passed}


@dataclass(frozen=True)
class Decision:
    """Where a version goes: the tag `stage`, aliases beside ``candidate``, and why."""

    stage: str
    aliases: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    sentence: str


def judge(values: Mapping[str, float | None], rules: Sequence[Rule]) -> tuple[Verdict, ...]:
    """Hold values against rules; a value that is missing, None or NaN never passes."""
    verdicts = []
    for rule in rules:
        value = values.get(rule.metric)
        known = value is not None and math.isfinite(value)
        passed = known and _DIRECTIONS[rule.direction](float(value or 0.0), rule.limit)
        verdicts.append(Verdict(rule, value if known else None, passed))
    return tuple(verdicts)


def decide(
    values: Mapping[str, float | None],
    *,
    has_champion: bool,
    is_refresh: bool,
    against_champion: Lead | None,
    may_promote: bool,
) -> Decision:
    """Decide on a newly registered version.

    Parameters
    ----------
    values : mapping
        Metric -> value, as the rules name them.
    has_champion, is_refresh : bool
        Whether a version is champion, and whether it has the same recipe.
    against_champion : Lead, optional
        Lead over the champion's recipe on common dates.
    may_promote : bool
        False holds it at Staging (`phase=pilot`).
    """
    refresh = has_champion and is_refresh
    verdicts = judge(values, REFRESH_RULES if refresh else BASELINE_RULES)
    if not all(verdict.passed for verdict in verdicts):
        return Decision("Development", (), verdicts, _refusal(verdicts))
    if refresh:
        why = "the champion's recipe on newer data, not worse than promised"
    elif not has_champion:
        why = "the first to pass the checks against the baselines"
    else:
        lead = against_champion
        compared = judge(
            {
                **values,
                "common_dates": lead.dates if lead else 0,
                "champion_lead": lead.mean if lead else None,
                "champion_lead_p_value": lead.p_value if lead else None,
            },
            CHAMPION_RULES,
        )
        verdicts += compared
        if not all(verdict.passed for verdict in compared):
            sentence = f"passed against the baselines, stays challenger: {_refusal(compared)}"
            return Decision("Staging", ("challenger",), verdicts, sentence)
        why = "it beat the champion's recipe on the same dates"
    if not may_promote:
        return Decision("Staging", ("challenger",), verdicts, f"{why}; held at Staging by phase")
    return Decision("Production", ("champion",), verdicts, why)


def _refusal(verdicts: Sequence[Verdict]) -> str:
    broken = next(verdict for verdict in verdicts if not verdict.passed)
    shown = "undefined" if broken.value is None else f"{broken.value:.4g}"
    direction = broken.rule.direction.replace("_", " ")
    return (
        f"not shown that {broken.rule.meaning} "
        f"({broken.rule.metric} {shown}, to be {direction} {broken.rule.limit:g})"
    )
