"""The checks that decide which bars may reach a model: rules, limits and the judge."""

from stockpred.checks.base import FAIL, WARN
from stockpred.checks.judge import CHECKS, NO_SESSIONS, Problem, Validated, validate
from stockpred.checks.sessions import Gaps
from stockpred.checks.summary import summarise

__all__ = [
    "CHECKS",
    "FAIL",
    "NO_SESSIONS",
    "WARN",
    "Gaps",
    "Problem",
    "Validated",
    "summarise",
    "validate",
]
