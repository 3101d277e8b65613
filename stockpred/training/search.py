"""Search over candidates and hyperparameters: the defaults first, then further trials."""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

import pandas as pd

from stockpred.models.candidates import Hyperparameters, get_candidate
from stockpred.training.fit import import_libraries
from stockpred.training.folds import FoldResult, Folds
from stockpred.training.trial import (
    COMPLETE,
    FAILED,
    PRUNED,
    Trial,
    best_trial,
    propose,
    should_prune,
)
from stockpred.training.warning_filters import shared_warning_filters

# Errors of a fit whose hyperparameters do not suit the data: the trial fails, the search goes on.
FIT_ERRORS = (ValueError, ArithmeticError, MemoryError)


class Search:
    """A search over candidates and their hyperparameters.

    Fits run in threads, which is safe and parallel because scikit-learn's trees, boosting and
    linear algebra release the interpreter's lock and a fit writes to nothing shared.

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
        Called after each fit, by one thread at a time, with the fits done, their number, and a
        text on the last one. Fits that a trial leaves out count as done.

    Attributes
    ----------
    trials : dict of str to list of Trial
        All trials of each candidate so far; the best holds its results.

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
        self._folds = folds
        self._sharpe = sharpe
        self._stopped = threading.Event()
        self._counts = {
            name: trials if get_candidate(name).space else min(trials, 1) for name in models
        }
        self.trials: dict[str, list[Trial]] = {name: [] for name in models}
        for name in models:
            earlier = {trial.number: trial for trial in (adopted or {}).get(name, ())}
            for number in range(self._counts[name]):
                if number not in earlier:
                    break
                self.trials[name].append(earlier[number])
        self._progress, self._lock, self._done = progress, threading.Lock(), 0
        wanted = sum(max(self._counts[name], 1) - len(self.trials[name]) for name in models)
        self._fits = wanted * len(folds.numbers)

    def run(self, jobs: int = 1) -> Generator[Trial, None, None]:
        """Yield each trial when it has ended, those of one candidate in the order of numbers.

        Adopted trials are not repeated. When the iterator is closed early, no further fit starts.

        Parameters
        ----------
        jobs : int
            Fits that run at a time, in threads; the result does not depend on it.

        Yields
        ------
        Trial
            With its results where it is the candidate's best so far.
        """
        import_libraries(self.trials, self._folds.training)
        with shared_warning_filters():
            yield from self._run(jobs)

    def _run(self, jobs: int) -> Iterator[Trial]:
        executor = ThreadPoolExecutor(jobs)
        try:
            defaults = {
                name: get_candidate(name).defaults
                for name, trials in self.trials.items()
                if not trials
            }
            for name, results in self._fit_all_folds(executor, defaults):
                yield self._add(self._complete(name, 0, defaults[name], results))
            yield from self._further_trials(executor)
            # An adopted trial comes without results; those of the best are needed.
            bare = {name: best_trial(trials) for name, trials in self.trials.items()}
            bare = {name: trial for name, trial in bare.items() if not trial.results}
            wanted = {name: trial.hyperparameters for name, trial in bare.items()}
            self._fits += len(wanted) * len(self._folds.numbers)
            for name, results in self._fit_all_folds(executor, wanted):
                number = bare[name].number
                self.trials[name][number] = replace(bare[name], results=results)
        finally:
            self._stopped.set()
            executor.shutdown(wait=False, cancel_futures=True)

    def _fit_all_folds(
        self, executor: ThreadPoolExecutor, wanted: Mapping[str, Hyperparameters]
    ) -> Iterator[tuple[str, tuple[FoldResult, ...]]]:
        """Fit some candidates on all folds in parallel; yield each when all its folds are done."""
        futures = {
            name: [
                executor.submit(self._fit, name, hyperparameters, n) for n in self._folds.numbers
            ]
            for name, hyperparameters in wanted.items()
        }
        for name, parts in futures.items():
            yield name, tuple(part.result() for part in parts)

    def _further_trials(self, executor: ThreadPoolExecutor) -> Iterator[Trial]:
        """Run trials beyond the defaults, one at a time a candidate: each depends on the last."""
        running: dict[Future[Trial], str] = {}

        def submit(name: str) -> None:
            if len(self.trials[name]) < self._counts[name]:
                # Proposed by this thread, since it may import Optuna.
                hyperparameters = propose(self.trials[name], self._folds.random_state)
                running[executor.submit(self._try, name, hyperparameters)] = name

        for name in self.trials:
            submit(name)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                name = running.pop(future)
                trial = self._add(future.result())
                submit(name)
                yield trial

    def _try(self, name: str, hyperparameters: Hyperparameters) -> Trial:
        """Fit fold after fold until the trial is complete, pruned or failed."""
        history = self.trials[name]
        number = len(history)
        results: list[FoldResult] = []
        losses: tuple[float, ...] = ()
        for fold in self._folds.numbers:
            try:
                results.append(self._fit(name, hyperparameters, fold))
            except FIT_ERRORS as error:
                self._count(len(self._folds.numbers) - fold + 1, f"{name}, trial {number}, failed")
                line = " ".join(str(error).split()) or type(error).__name__
                return Trial(name, number, hyperparameters, FAILED, losses, None, line[:400])
            losses = tuple(result.loss for result in results)
            if fold < len(self._folds.numbers) and should_prune(losses, history):
                self._count(len(self._folds.numbers) - fold, f"{name}, trial {number}, pruned")
                sharpe = self._sharpe_of(results)
                return Trial(name, number, hyperparameters, PRUNED, losses, sharpe)
        return self._complete(name, number, hyperparameters, tuple(results))

    def _fit(self, name: str, hyperparameters: Hyperparameters, fold: int) -> FoldResult:
        if self._stopped.is_set():
            raise RuntimeError("the search was ended")
        result = self._folds.run(name, hyperparameters, fold)
        self._count(1, f"{name}, fold {fold}")
        return result

    def _count(self, fits: int, text: str) -> None:
        with self._lock:
            self._done += fits
            self._progress(self._done, self._fits, text)

    def _complete(
        self,
        name: str,
        number: int,
        hyperparameters: Hyperparameters,
        results: tuple[FoldResult, ...],
    ) -> Trial:
        losses = tuple(result.loss for result in results)
        sharpe = self._sharpe_of(results)
        return Trial(name, number, hyperparameters, COMPLETE, losses, sharpe, results=results)

    def _sharpe_of(self, results: Sequence[FoldResult]) -> float | None:
        if self._sharpe is None:
            return None
        parts = [result.predictions for result in results]
        return self._sharpe(pd.concat(parts, ignore_index=True))

    def _add(self, trial: Trial) -> Trial:
        """Append a trial; of its candidate's trials only the best keeps its results."""
        trials = self.trials[trial.candidate]
        trials.append(trial)
        best = best_trial(trials)
        trials[:] = [other if other is best else replace(other, results=()) for other in trials]
        return trial
