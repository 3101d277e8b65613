"""E-process of a model against a reference: a test martingale that is valid at any time."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.columns import DATE, LABEL, PROBABILITY_UP
from stockpred.evaluation.by_group import means_by_date
from stockpred.evaluation.calibration import CLIP

# Low ones suit overconfident forecasts and symbols that move as one, high ones underconfident
# forecasts of many symbols.
STAKES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
AT_RISK = 0.9  # share of its wealth that a block of bets can lose at most
LONGEST_BLOCK = 4  # dates, unless it would take more than so many bettors
MOST_BETTORS = 6


@dataclass(frozen=True)
class EProcess:
    """Wealth of bets of a model against a reference, date after date: a test martingale.

    Under the null, that the reference gives the true probability of each outcome given what was
    known before, the expected wealth is at most the initial 1. By Ville's inequality the
    probability that it ever reaches 1 / alpha is at most alpha. Symbols of one date may depend on
    each other in any way, if they share a calendar. Dates are those of all symbols together: of
    mixed calendars (a coin among stocks) an outcome of a symbol with fewer sessions comes after the
    bets on the dates between, and the bound holds only as far as these outcomes do not depend on
    it.

    Wealth is split evenly among `STAKES` and, where outcomes of `horizon` > 1 sessions overlap,
    among a few bettors that take turns: each bets on a block of dates, and pauses during the blocks
    of the others until all its own outcomes are known.

    Attributes
    ----------
    horizon : int
        Sessions from entry to exit.
    dates : int
        Dates bet on so far.
    log_wealth : tuple of tuple of float
        Log wealth of each bettor and stake after its last complete block.
    block : tuple of float
        Gain so far, by stake, of the block in progress, as a share of the wealth before it.

    References
    ----------
    Ville, J. (1939). Etude critique de la notion de collectif. Gauthier-Villars.

    Shafer, G. (2021). Testing by betting: a strategy for statistical and scientific communication.
    Journal of the Royal Statistical Society A 184, 407-431.

    Examples
    --------
    A model that doubles its bet of stake 1 on each of two dates, seen at once or one by one:

    >>> start = start_e_process(horizon=1)
    >>> gain, risk = np.array([1.0, 1.0]), np.array([1.0, 1.0])
    >>> both = start.bet(gain, risk)
    >>> print(f"e-value {np.exp(both.log_e_value):.2f}, p-value {both.p_value:.2f}")
    e-value 3.38, p-value 0.30
    >>> both == start.bet(gain[:1], risk[:1]).bet(gain[1:], risk[1:])
    True
    """

    horizon: int
    dates: int
    log_wealth: tuple[tuple[float, ...], ...]
    block: tuple[float, ...]

    @property
    def log_e_value(self) -> float:
        """Log of the total wealth, the block in progress included."""
        wealth = np.array(self.log_wealth)
        wealth[self.dates // self._length % len(wealth)] += np.log1p(self.block)
        return float(np.logaddexp.reduce(wealth, axis=None) - np.log(wealth.size))

    @property
    def p_value(self) -> float:
        """1 over the total wealth, at most 1: a p-value that is valid at any number of looks."""
        return float(np.exp(-max(0.0, self.log_e_value)))

    def bet(self, gain: Array, risk: Array) -> "EProcess":
        """Bet on further dates.

        Parameters
        ----------
        gain, risk : array, shape (dates,)
            As `date_gains` gives them, in time order; no NaN.

        Returns
        -------
        EProcess
            After these dates.
        """
        if not len(gain):
            return self
        length, bettors = self._length, len(self.log_wealth)
        most = np.full_like(risk, np.inf)
        np.divide(AT_RISK / length, risk, out=most, where=risk > 0)
        # (dates, stakes): each stake is fixed before its date's outcomes are known.
        gains = np.minimum(STAKES, most[:, None]) * gain[:, None]
        in_block = self.dates % length
        edges = np.maximum(np.arange(-in_block, len(gain), length), 0)
        blocks = np.add.reduceat(gains, edges, axis=0)  # (blocks, stakes)
        blocks[0] += self.block
        complete = (in_block + len(gain)) // length
        number = self.dates // length + np.arange(complete)
        growth = np.log1p(blocks[:complete])
        wealth = [
            np.add(before, growth[number % bettors == bettor].sum(axis=0))
            for bettor, before in enumerate(self.log_wealth)
        ]
        block = blocks[complete] if complete < len(blocks) else np.zeros(len(STAKES))
        return replace(
            self,
            dates=self.dates + len(gain),
            log_wealth=tuple(tuple(stakes.tolist()) for stakes in wealth),
            block=tuple(block.tolist()),
        )

    @property
    def _length(self) -> int:
        """Dates of a block: the blocks of the other bettors together cover the horizon."""
        return max(1, -(-(self.horizon - 1) // max(1, len(self.log_wealth) - 1)))


def start_e_process(horizon: int) -> EProcess:
    """Return the e-process before its first bet, for outcomes of `horizon` sessions."""
    # Few bettors with long blocks lose little to overlap, but may stake little on each date.
    bettors = min(MOST_BETTORS, 1 + -(-(horizon - 1) // LONGEST_BLOCK))
    zeros = (0.0,) * len(STAKES)
    return EProcess(horizon, 0, (zeros,) * bettors, zeros)


def date_gains(predictions: pd.DataFrame, reference: str) -> tuple[Array, Array]:
    """Compute the gain of a bet of stake 1 on each date, and the most it could have lost.

    The gain is the mean over the date's symbols of the likelihood ratio of model and reference,
    less 1. The mean has expectation 0 under the null however the symbols depend on each other; the
    product of the ratios has not, and would let noise pass.

    Parameters
    ----------
    predictions : DataFrame
        Labelled rows: date, label, probability_up and the reference's column; no NaN.
    reference : str
        Column with the probabilities of the reference.

    Returns
    -------
    gain, risk : array, shape (dates,)
        In time order; ``gain >= -risk``.
    """
    p, q = (
        predictions[name].clip(CLIP, 1 - CLIP).to_numpy() for name in (PROBABILITY_UP, reference)
    )
    up, down = p / q, (1 - p) / (1 - q)
    gain = np.where(predictions[LABEL].to_numpy() == 1, up, down) - 1
    risk = 1 - np.minimum(up, down)
    _, means = means_by_date(predictions[DATE].to_numpy(), gain, risk)
    return means[:, 0], means[:, 1]
