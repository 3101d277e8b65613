"""Search over candidates and hyperparameters: the defaults first, then further trials."""

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

import pandas as pd

from stockpred.models.candidates import Hyperparameters, get_candidate
from stockpred.training.folds import Fit, FoldResult, Folds
from stockpred.training.trial import (
    COMPLETE,
    FAILED,
    MIN_COMPLETE,
    MIN_FOLDS,
    PRUNED,
    Trial,
    best_trial,
    propose,
    should_prune,
)

# Errors of a fit whose hyperparameters do not suit the data: the trial fails, the search goes on.
FIT_ERRORS = (ValueError, ArithmeticError, MemoryError)

Submit = Callable[[Fit], "Future[FoldResult]"]


class Search:
    """A search over candidates and their hyperparameters.

    Parameters
    ----------
    folds : Folds
        Folds that every trial is fitted on.
    models : sequence of str
        Names of candidates.
    trials : int
        Trials of each candidate, its defaults included; 0: the defaults alone. A candidate
        without a search space has one.
    adopted : mapping of str to sequence of Trial, optional
        Trials of an earlier search with the same data, code and parameters that was interrupted.
    sharpe : callable, optional
        Predictions -> Sharpe ratio by session, recorded with each trial.
    progress : callable, optional
        Called after each fit with the fits done, their number, and a text on the last one. Fits
        that a trial leaves out count as done.

    Attributes
    ----------
    folds : Folds
    trials : dict of str to list of Trial
        All trials of each candidate so far; once the search has ended the best holds its results.

    Raises
    ------
    ParameterError
        An unknown candidate, or one whose library is not installed.
    """

    def __init__(  # noqa: PLR0913 - `progress` changes no result
        self,
        folds: Folds,
        models: Sequence[str],
        trials: int = 0,
        *,
        adopted: Mapping[str, Sequence[Trial]] | None = None,
        sharpe: Callable[[pd.DataFrame], float | None] | None = None,
        progress: Callable[[int, int, str], None] = lambda done, count, text: None,
    ) -> None:
        self.folds = folds
        self._sharpe = sharpe
        self._counts = {name: max(trials, 1) if get_candidate(name).space else 1 for name in models}
        self.trials: dict[str, list[Trial]] = {name: [] for name in models}
        for name in models:
            earlier = {trial.number: trial for trial in (adopted or {}).get(name, ())}
            for number in range(self._counts[name] if trials else 0):
                if number not in earlier:
                    break
                self.trials[name].append(earlier[number])
        self._progress, self._done = progress, 0
        missing = {name: count - len(self.trials[name]) for name, count in self._counts.items()}
        fitted_again = sum(count > 1 or not missing[name] for name, count in self._counts.items())
        self._fits = (sum(missing.values()) + fitted_again) * len(folds.numbers)

    def run(self, submit: Submit) -> Generator[Trial, None, None]:
        """Yield each trial when it has ended, those of one candidate in the order of numbers.

        Adopted trials are not repeated. Candidates are tried side by side, the trials of one after
        each other, since each proposal depends on the trials before. A candidate that has several
        is at last fitted once more with its best trial's hyperparameters, for the results that
        other trials do without.

        Parameters
        ----------
        submit : callable
            Starts a fit (`Folds.run`) on some machine, in any order, and returns its future; the
            result of the search does not depend on how. When the iterator is closed early, fits
            that have not begun are cancelled.

        Yields
        ------
        Trial
        """
        running: dict[str, _Attempt] = {}
        try:
            for name in self.trials:
                self._start_next(name, running, submit)
            while running:
                pending = [future for attempt in running.values() for future in attempt.pending]
                wait(pending, return_when=FIRST_COMPLETED)
                for name, attempt in list(running.items()):
                    if (trial := self._advance(attempt, submit)) is None:
                        continue
                    if attempt.is_fitted_again:
                        self.trials[name][trial.number] = trial
                    else:
                        self.trials[name].append(trial)
                    self._start_next(name, running, submit)
                    if not attempt.is_fitted_again:
                        yield trial
        finally:
            for attempt in running.values():
                attempt.cancel()

    def predictions(self, candidate: str, results: Sequence[FoldResult]) -> pd.DataFrame:
        """Concatenate the predictions of one candidate's fits, of fold 1 and those after it."""
        parts = [
            self.folds.predictions(candidate, fold, result.probability)
            for fold, result in enumerate(results, start=1)
        ]
        return pd.concat(parts, ignore_index=True)

    def _start_next(self, name: str, running: dict[str, "_Attempt"], submit: Submit) -> None:
        """Start the attempt that follows on a candidate's trials so far, if any does."""
        running.pop(name, None)
        trials, count = self.trials[name], self._counts[name]
        if not trials:
            hyperparameters = get_candidate(name).defaults
            attempt = _Attempt(name, 0, hyperparameters, is_strict=True, is_last=count == 1)
        elif len(trials) < count:
            hyperparameters = propose(trials, self.folds.random_state)
            attempt = _Attempt(name, len(trials), hyperparameters)
        elif not (best := best_trial(trials)).results:
            attempt = _Attempt(
                name, best.number, best.hyperparameters, is_strict=True, is_last=True, best=best
            )
        else:
            return
        running[name] = attempt
        self._submit(attempt, submit)

    def _submit(self, attempt: "_Attempt", submit: Submit) -> None:
        """Submit the fits that the attempt needs in any case, given the folds that have ended."""
        ended, folds = len(attempt.counted), self.folds.numbers
        complete = sum(t.state == COMPLETE for t in self.trials[attempt.candidate])
        may_be_pruned = not attempt.is_strict and complete >= MIN_COMPLETE
        needed = max(MIN_FOLDS, ended + 1) if may_be_pruned else len(folds)
        for fold in folds[len(attempt.futures) : needed]:
            task = Fit(attempt.candidate, attempt.hyperparameters, fold, attempt.is_last)
            attempt.futures.append(submit(task))

    def _advance(self, attempt: "_Attempt", submit: Submit) -> Trial | None:
        """Take in the fits that have ended; return the trial if it is complete, pruned or failed.

        Otherwise submit the fits that it needs next.
        """
        for fold, future in enumerate(attempt.futures, start=1):
            if fold not in attempt.counted and future.done():
                attempt.counted.add(fold)
                self._count(1, f"{attempt.candidate}, fold {fold}")
        results: list[FoldResult] = []
        for future in attempt.futures:
            if not future.done():
                break
            try:
                results.append(future.result())
            except FIT_ERRORS as error:
                if attempt.is_strict:
                    raise
                line = " ".join(str(error).split()) or type(error).__name__
                return self._trial(attempt, FAILED, results, line[:400])
            losses, is_last_fold = (
                [r.loss for r in results],
                len(results) == len(self.folds.numbers),
            )
            if is_last_fold:
                return self._trial(attempt, COMPLETE, results)
            if not attempt.is_strict and should_prune(losses, self.trials[attempt.candidate]):
                return self._trial(attempt, PRUNED, results)
        self._submit(attempt, submit)
        return None

    def _trial(
        self, attempt: "_Attempt", state: str, results: Sequence[FoldResult], error: str = ""
    ) -> Trial:
        """Make the trial of an attempt that has ended."""
        attempt.cancel()
        if left_out := len(self.folds.numbers) - len(attempt.counted):
            self._count(left_out, f"{attempt.candidate}, trial {attempt.number}, {state}")
        if attempt.best is not None:
            return replace(attempt.best, results=tuple(results))
        sharpe = None
        if self._sharpe is not None and state != FAILED:
            sharpe = self._sharpe(self.predictions(attempt.candidate, results))
        return Trial(
            attempt.candidate,
            attempt.number,
            attempt.hyperparameters,
            state,
            tuple(result.loss for result in results),
            sharpe,
            error,
            tuple(results) if attempt.is_last else (),
        )

    def _count(self, fits: int, text: str) -> None:
        self._done += fits
        self._progress(self._done, self._fits, text)


@dataclass
class _Attempt:
    """A trial whose fits are under way, by fold.

    Attributes
    ----------
    candidate, number, hyperparameters
        Of the trial.
    is_strict : bool
        Whether the error of a fit ends the search: of defaults, and of what was fitted before.
    is_last : bool
        Whether its results are kept, with importances.
    best : Trial, optional
        The trial of an earlier attempt that is fitted once more.
    """

    candidate: str
    number: int
    hyperparameters: Hyperparameters
    is_strict: bool = False
    is_last: bool = False
    best: Trial | None = None
    futures: list["Future[FoldResult]"] = field(default_factory=list)
    counted: set[int] = field(default_factory=set)

    @property
    def pending(self) -> list["Future[FoldResult]"]:
        """Futures whose end has not been taken in."""
        return [f for fold, f in enumerate(self.futures, start=1) if fold not in self.counted]

    @property
    def is_fitted_again(self) -> bool:
        return self.best is not None

    def cancel(self) -> None:
        for future in self.futures:
            future.cancel()
