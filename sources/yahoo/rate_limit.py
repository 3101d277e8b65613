"""Retry policy and the rate limiter shared by all requests to one host."""

import threading
import time
from dataclasses import dataclass

LONGEST_SLEEP = 0.2  # seconds: a waiting thread sees a stop after at most this


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of retries; times in seconds.

    Attributes
    ----------
    attempts : int
        Most attempts for one symbol.
    first_wait, longest_wait : float
        Wait before the second attempt, and bound of its exponential growth, without jitter.
    first_pause, longest_pause : float
        Pause of all requests after a rate limit; doubled with each further one until a request
        succeeds.
    spacing : float
        Least time between the starts of two requests after the first rate limit.
    pauses, failures : int
        The limiter stops after so many pauses, or failed attempts, without a success between.
    timeout : float
        Of one request.
    """

    attempts: int = 5
    first_wait: float = 0.5
    longest_wait: float = 10.0
    first_pause: float = 2.0
    longest_pause: float = 60.0
    spacing: float = 0.25
    pauses: int = 6
    failures: int = 20
    timeout: float = 20.0


class LimiterStopped(Exception):
    """No further request is allowed; the text is the reason of the last failure."""


class RateLimiter:
    """Rate limiter shared by the threads of a pool: a rate limit of one pauses all.

    Parameters
    ----------
    policy : RetryPolicy
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._spacing = 0.0
        self._rate_limits = 0
        self._pauses = 0
        self._failures = 0
        self._stopped: str | None = None

    def wait(self) -> int:
        """Wait until a request may start.

        Returns
        -------
        int
            Number of rate limits so far, for `record_rate_limit`.

        Raises
        ------
        LimiterStopped
        """
        while True:
            with self._lock:
                if self._stopped is not None:
                    raise LimiterStopped(self._stopped)
                now = time.monotonic()
                if now >= self._not_before:
                    self._not_before = now + self._spacing
                    return self._rate_limits
                until = self._not_before
            time.sleep(min(until - now, LONGEST_SLEEP))

    def stop(self, reason: str) -> None:
        """Refuse all further requests."""
        with self._lock:
            self._stopped = reason

    def record_success(self) -> None:
        """Reset the counts of pauses and failures."""
        with self._lock:
            self._pauses = self._failures = 0

    def record_failure(self, reason: str) -> None:
        """Count a failed attempt other than a rate limit; stop after too many."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._policy.failures:
                self._stopped = reason

    def record_rate_limit(self, ticket: int, reason: str, retry_after: float | None) -> None:
        """Pause all requests, space later ones; stop after too many pauses.

        Requests that were under way together meet one rate limit together: it counts once.

        Parameters
        ----------
        ticket : int
            Returned by `wait` for the request that was limited.
        reason : str
            Text of `LimiterStopped`, should the limiter stop.
        retry_after : float, optional
            Seconds that the server asked for; at most five times the longest pause is obeyed.
        """
        policy = self._policy
        with self._lock:
            if ticket != self._rate_limits:
                return
            self._rate_limits += 1
            pause = min(policy.first_pause * 2**self._pauses, policy.longest_pause)
            if retry_after is not None:
                pause = max(pause, min(retry_after, 5 * policy.longest_pause))
            self._pauses += 1
            self._spacing = policy.spacing
            self._not_before = max(self._not_before, time.monotonic() + pause)
            if self._pauses >= policy.pauses:
                self._stopped = reason
