"""A progress bar on stderr."""

import sys
from typing import Any


class Progress:
    """A progress bar on a terminal; in a log, a line every ten seconds."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, done: int, count: int, text: str) -> None:
        """Update the bar; closes it when all parts are done.

        Parameters
        ----------
        done, count : int
            Parts done, and in all.
        text : str
            Description of the last part.
        """
        if self._bar is None:
            from tqdm import tqdm

            interval = 0.2 if sys.stderr.isatty() else 10.0
            self._bar = tqdm(total=count, file=sys.stderr, mininterval=interval, dynamic_ncols=True)
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(done - self._bar.n)
        if done == count:
            self._bar.close()
