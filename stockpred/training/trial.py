"""A trial: one set of hyperparameters of a candidate, judged on the folds; and which comes next."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from stockpred.models.candidates import CANDIDATES, Hyperparameters
from stockpred.training.folds import FoldResult

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
MIN_COMPLETE = 5  # complete trials of a candidate before any is pruned
MIN_FOLDS = 2  # folds of a trial before it may be pruned


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes
    ----------
    number : int
        From 0, the candidate's defaults.
    state : str
        `COMPLETE`; `PRUNED`, hopeless after some folds; `FAILED`, a fit broke and `error` says why.
    losses : tuple of float
        Mean log loss by fold, in nats, as far as it came.
    sharpe : float, optional
        Sharpe ratio of its predictions a period, where one was asked for.
    results : tuple of FoldResult
        Held by the best trial of a candidate alone; not part of what the trial is.
    """

    candidate: str
    number: int
    hyperparameters: Hyperparameters
    state: str
    losses: tuple[float, ...]
    sharpe: float | None = None
    error: str = ""
    results: tuple[FoldResult, ...] = field(default=(), compare=False, repr=False)

    @property
    def mean(self) -> float:
        """Mean log loss over its folds."""
        return float(np.mean(self.losses))

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data, without results."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.compare}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Trial":
        """Read what `to_dict` gave, equal bit by bit."""
        return cls(**{**content, "losses": tuple(content["losses"])})


def propose(history: Sequence[Trial], random_state: int) -> Hyperparameters:
    """Hyperparameters of the next trial: a pure function of the trials before it.

    Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), with a seed of its own for
    each trial: a search that was broken off goes on to where it would have gone.

    Parameters
    ----------
    history : sequence of Trial
        The trials of a candidate that has a search space, in the order of their numbers.
    """
    import optuna
    from optuna.trial import TrialState, create_trial

    name = history[0].candidate
    space = CANDIDATES[name].space
    distributions = dict(space()) if space else {}
    digest = hashlib.sha256(f"{random_state}/{name}/{len(history)}".encode()).digest()
    sampler = optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4]))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=sampler)
    states = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
    for trial in history:
        study.add_trial(
            create_trial(
                state=states[trial.state],
                value=trial.mean if trial.state == COMPLETE else None,
                params={key: trial.hyperparameters[key] for key in distributions},
                distributions=distributions,
                intermediate_values=dict(enumerate(_running_means(trial.losses), start=1)),
            )
        )
    return {**CANDIDATES[name].defaults, **study.ask(distributions).params}


def _running_means(losses: Sequence[float]) -> list[float]:
    return [float(np.mean(losses[:count])) for count in range(1, len(losses) + 1)]


def should_prune(losses: Sequence[float], history: Sequence[Trial]) -> bool:
    """Whether the mean over a trial's first folds is above the median of the complete trials'.

    The same folds are compared, since folds differ more than hyperparameters do.
    """
    complete = [trial.losses for trial in history if trial.state == COMPLETE]
    if len(complete) < MIN_COMPLETE or len(losses) < MIN_FOLDS:
        return False
    return bool(np.mean(losses) > np.median([np.mean(each[: len(losses)]) for each in complete]))


def best_trial(trials: Sequence[Trial]) -> Trial:
    """The complete trial with the lowest mean log loss; on a tie the first."""
    return min((t for t in trials if t.state == COMPLETE), key=lambda trial: trial.mean)
