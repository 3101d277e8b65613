"""The common pace of a pool of requests to one host, and when it gives up."""

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How hard to try; times in seconds.

    Attributes
    ----------
    attempts : int
        For one symbol.
    first_wait, longest_wait : float
        Before the second attempt, and the bound of the exponential growth; jitter comes on top.
    first_pause, longest_pause : float
        Of the whole pool after a rate limit; it doubles until a request succeeds again.
    spacing : float
        Between the starts of two requests once a rate limit has been met.
    pauses, failures : int
        So many pauses, or failed attempts, without one success between: the pool gives up.
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


class GivenUp(Exception):
    """The pool asks no more; the reason is that of its last failure."""


class Pace:
    """Shared by the threads of a pool: a rate limit of one of them slows all of them down."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._spacing = 0.0
        self._met = 0  # rate limits so far: tells those that were met together
        self._pauses = 0
        self._failures = 0
        self._given_up: str | None = None

    def wait(self) -> int:
        """Wait for this request's turn; return a ticket for `limited`.

        Raises
        ------
        GivenUp
        """
        while True:
            with self._lock:
                if self._given_up is not None:
                    raise GivenUp(self._given_up)
                now = time.monotonic()
                if now >= self._not_before:
                    self._not_before = now + self._spacing
                    return self._met
                until = self._not_before
            time.sleep(min(until - now, 0.2))

    def give_up(self, reason: str) -> None:
        """Let nobody ask any more."""
        with self._lock:
            self._given_up = reason

    def succeeded(self) -> None:
        """An answer came: the counts of failures start anew."""
        with self._lock:
            self._pauses = self._failures = 0

    def failed(self, reason: str) -> None:
        """An attempt failed in another way than by a rate limit."""
        with self._lock:
            self._failures += 1
            if self._failures >= self._patience.failures:
                self._given_up = reason

    def limited(self, ticket: int, reason: str, retry_after: float | None) -> None:
        """A rate limit was met: nobody asks for a while, and more slowly after that.

        Requests that were under way together meet it together; they count as one.
        """
        patience = self._patience
        with self._lock:
            if ticket != self._met:
                return
            self._met += 1
            pause = min(patience.first_pause * 2**self._pauses, patience.longest_pause)
            if retry_after is not None:
                pause = max(pause, min(retry_after, 5 * patience.longest_pause))
            self._pauses += 1
            self._spacing = patience.spacing
            self._not_before = max(self._not_before, time.monotonic() + pause)
            if self._pauses >= patience.pauses:
                self._given_up = reason
