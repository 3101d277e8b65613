"""Trials of hyperparameters on the folds: their record, the next proposal, pruning, the best."""

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
    """One set of hyperparameters of a candidate, scored on the folds.

    Attributes
    ----------
    candidate : str
        Name of the candidate.
    number : int
        From 0, which has the candidate's defaults.
    hyperparameters : mapping of str to value
        All of them.
    state : str
        `COMPLETE`; `PRUNED`, ended after some folds; or `FAILED`, a fit raised `error`.
    losses : tuple of float
        Mean log loss by fold, in nats, of the folds that were fitted.
    sharpe : float, optional
        Sharpe ratio by session of its predictions, where the search computes one.
    error : str
        Message of the fit that failed, on one line; empty otherwise.
    results : tuple of FoldResult
        Of the best trial of a candidate once the search has ended; not compared.
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
        """Mean log loss over its folds, in nats."""
        return float(np.mean(self.losses))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, without results."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.compare}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Trial":
        """Read what `to_dict` returned, equal bit by bit."""
        return cls(**{**content, "losses": tuple(content["losses"])})


def propose(history: Sequence[Trial], random_state: int) -> Hyperparameters:
    """Propose the hyperparameters of the next trial: a pure function of the trials before it.

    By Optuna's tree-structured Parzen estimator, with a seed of its own for each trial: a search
    that was interrupted continues as it would have.

    Parameters
    ----------
    history : sequence of Trial
        The trials so far of a candidate with a search space, in the order of their numbers; at
        least one.
    random_state : int
        Seed of the search.

    Returns
    -------
    mapping of str to value
        The candidate's defaults with the proposed values.

    References
    ----------
    Bergstra, J., Bardenet, R., Bengio, Y. and Kegl, B. (2011). Algorithms for hyper-parameter
    optimization. Advances in Neural Information Processing Systems 24.
    """
    import optuna  # noqa: PLC0415 - seconds, and only a search needs it
    from optuna.trial import TrialState, create_trial  # noqa: PLC0415 - as above

    candidate = CANDIDATES[history[0].candidate]
    distributions = dict(candidate.space()) if candidate.space else {}
    key = f"{random_state}/{history[0].candidate}/{len(history)}"
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    states = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
    for trial in history:
        study.add_trial(
            create_trial(
                state=states[trial.state],
                value=trial.mean if trial.state == COMPLETE else None,
                params={name: trial.hyperparameters[name] for name in distributions},
                distributions=distributions,
                intermediate_values=dict(enumerate(_running_means(trial.losses), start=1)),
            )
        )
    return {**candidate.defaults, **study.ask(distributions).params}


def _running_means(losses: Sequence[float]) -> list[float]:
    return [float(np.mean(losses[:count])) for count in range(1, len(losses) + 1)]


def should_prune(losses: Sequence[float], history: Sequence[Trial]) -> bool:
    """Return whether a trial's mean loss is above the median of the complete trials.

    The same folds are compared, since folds differ more than hyperparameters do.

    Parameters
    ----------
    losses : sequence of float
        Mean log loss of the trial's first folds, in nats.
    history : sequence of Trial
        Trials of the same candidate.

    Returns
    -------
    bool
        False before `MIN_FOLDS` folds and before `MIN_COMPLETE` complete trials.
    """
    complete = [trial.losses for trial in history if trial.state == COMPLETE]
    if len(complete) < MIN_COMPLETE or len(losses) < MIN_FOLDS:
        return False
    return bool(np.mean(losses) > np.median([np.mean(other[: len(losses)]) for other in complete]))


def best_trial(trials: Sequence[Trial]) -> Trial:
    """Return the complete trial with the lowest mean log loss; on a tie the first."""
    complete = (trial for trial in trials if trial.state == COMPLETE)
    return min(complete, key=lambda trial: trial.mean)
