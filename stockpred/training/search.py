"""Trying candidates on the folds: their defaults first, then as many trials as were asked for."""

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

# What a fit may raise on hyperparameters that do not go with the data.
FIT_ERRORS = (ValueError, ArithmeticError, MemoryError)


class Search:
    """A search over candidates and their hyperparameters; the result does not depend on `jobs`.

    Fits run in threads, which scikit-learn's trees, boosting and linear algebra leave free for one
    another. They touch nothing but the folds.

    Parameters
    ----------
    models : sequence of str
    count : int
        Trials a candidate, its defaults included; 0: the defaults alone. A candidate without a
        search space has one.
    adopted : mapping of str to sequence of Trial
        Trials of an earlier search with the same data, code and parameters that was broken off.
    sharpe : callable, optional
        Predictions -> Sharpe ratio a period, for each trial.

    Attributes
    ----------
    trials : dict of str to list of Trial
        All trials of each candidate, as far as the search has come; the best holds its results.

    Raises
    ------
    ParameterError
        An unknown candidate, or one whose library is not installed.
    """

    def __init__(
        self,
        folds: Folds,
        models: Sequence[str],
        trials: int = 0,
        *,
        adopted: Mapping[str, Sequence[Trial]] | None = None,
        sharpe: Callable[[pd.DataFrame], float | None] | None = None,
    ) -> None:
        self._folds = folds
        self._sharpe = sharpe
        self._stopped = threading.Event()
        self._counts = {
            name: trials if get_candidate(name).space else min(trials, 1) for name in models
        }
        self.trials: dict[str, list[Trial]] = {name: [] for name in models}
        for name in models:
            known = {trial.number: trial for trial in (adopted or {}).get(name, ())}
            for number in range(self._counts[name]):
                if number not in known:
                    break
                self.trials[name].append(known[number])

    def run(self, jobs: int = 1) -> Generator[Trial, None, None]:
        """Yield each trial when it has ended, those of one candidate in the order of numbers.

        Adopted trials are not repeated. When the iterator is closed early, no further fit begins.
        """
        import_libraries(self.trials, self._folds.training)
        executor = ThreadPoolExecutor(jobs)
        try:
            for name, results in self._all_folds(
                executor,
                {n: get_candidate(n).defaults for n, known in self.trials.items() if not known},
            ):
                yield self._add(self._complete(name, 0, get_candidate(name).defaults, results))
            yield from self._further(executor)
            # An adopted trial comes without results; the best one's are wanted.
            bare = {name: best_trial(known) for name, known in self.trials.items()}
            bare = {name: trial for name, trial in bare.items() if not trial.results}
            wanted = {name: trial.hyperparameters for name, trial in bare.items()}
            for name, results in self._all_folds(executor, wanted):
                number = bare[name].number
                self.trials[name][number] = replace(bare[name], results=results)
        finally:
            self._stopped.set()
            executor.shutdown(wait=False, cancel_futures=True)

    def _all_folds(
        self, executor: ThreadPoolExecutor, wanted: Mapping[str, Hyperparameters]
    ) -> Iterator[tuple[str, tuple[FoldResult, ...]]]:
        """Fit some candidates on all folds, side by side; yield each when it is through."""
        futures = {
            name: [executor.submit(self._fit, name, given, n) for n in self._folds.numbers]
            for name, given in wanted.items()
        }
        for name, parts in futures.items():
            yield name, tuple(part.result() for part in parts)

    def _further(self, executor: ThreadPoolExecutor) -> Iterator[Trial]:
        """Trials beyond the defaults: one at a time a candidate, each a step on from the last."""
        running: dict[Future[Trial], str] = {}

        def submit(name: str) -> None:
            if len(self.trials[name]) < self._counts[name]:
                # Proposed by this thread, in which Optuna may be imported.
                given = propose(self.trials[name], self._folds.random_state)
                running[executor.submit(self._try, name, given)] = name

        for name in self.trials:
            submit(name)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                name = running.pop(future)
                trial = self._add(future.result())
                submit(name)
                yield trial

    def _try(self, name: str, given: Hyperparameters) -> Trial:
        """Go through the folds as long as there is hope."""
        history = self.trials[name]
        results: list[FoldResult] = []
        losses: tuple[float, ...] = ()
        for number in self._folds.numbers:
            try:
                results.append(self._fit(name, given, number))
            except FIT_ERRORS as error:
                line = " ".join(str(error).split()) or type(error).__name__
                return Trial(name, len(history), given, FAILED, losses, None, line[:400])
            losses = tuple(result.loss for result in results)
            if number < len(self._folds.numbers) and should_prune(losses, history):
                return Trial(name, len(history), given, PRUNED, losses, self._sharpe_of(results))
        return self._complete(name, len(history), given, tuple(results))

    def _fit(self, name: str, given: Hyperparameters, number: int) -> FoldResult:
        if self._stopped.is_set():
            raise RuntimeError("the search was ended")
        return self._folds.run(name, given, number)

    def _complete(
        self, name: str, number: int, given: Hyperparameters, results: tuple[FoldResult, ...]
    ) -> Trial:
        losses = tuple(result.loss for result in results)
        sharpe = self._sharpe_of(results)
        return Trial(name, number, given, COMPLETE, losses, sharpe, results=results)

    def _sharpe_of(self, results: Sequence[FoldResult]) -> float | None:
        if self._sharpe is None:
            return None
        return self._sharpe(pd.concat([r.predictions for r in results], ignore_index=True))

    def _add(self, trial: Trial) -> Trial:
        """Take a trial in; of its candidate's trials only the best one keeps its results."""
        known = self.trials[trial.candidate]
        known.append(trial)
        best = best_trial(known)
        known[:] = [each if each is best else replace(each, results=()) for each in known]
        return trial
