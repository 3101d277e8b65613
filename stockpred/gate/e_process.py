"""Evidence that forecasts beat a reference: bets over dates, valid however often one looks."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.columns import DATE, LABEL, PROBABILITY_UP
from stockpred.evaluation.calibration import CLIP

# Low ones for forecasts bolder than the truth or of symbols that move as one, high ones for timid
# forecasts of many symbols.
STAKES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
AT_RISK = 0.9  # share of its wealth that a block of bets can lose at most
LONGEST_BLOCK = 4  # dates, unless it would take more than so many bettors
MOST_BETTORS = 6


@dataclass(frozen=True)
class EProcess:
    """A test martingale: what bets of a model against a reference have come to, date after date.

    Under the null, that the reference gives the true probability of each outcome given what was
    known before, the expected wealth is at most the starting wealth of 1, so that the chance that
    it ever reaches 1 / alpha is at most alpha (Ville 1939; Shafer 2021). Symbols of one date may
    move together in any way.

    Wealth is split evenly among `STAKES` and, where outcomes of `horizon` > 1 sessions overlap,
    among a few bettors who take turns: each bets on a block of dates, and rests while the others
    bet on theirs until all its own outcomes are known.

    Attributes
    ----------
    horizon : int
        Sessions from entry to exit.
    dates : int
        Dates bet on so far.
    log_wealth : tuple of tuple of float
        Log wealth of each bettor and stake at its last whole block.
    block : tuple of float
        Gain so far, by stake, of the block in progress, as a share of the wealth before it.
    """

    horizon: int
    dates: int
    log_wealth: tuple[tuple[float, ...], ...]
    block: tuple[float, ...]

    @property
    def log_e_value(self) -> float:
        """Log of the wealth in all, the block in progress included."""
        wealth = np.array(self.log_wealth)
        wealth[self.dates // self._length % len(wealth)] += np.log1p(self.block)
        return float(np.logaddexp.reduce(wealth, axis=None) - np.log(wealth.size))

    @property
    def p_value(self) -> float:
        """1 over the wealth, at most 1: valid at any number of looks."""
        return float(np.exp(-max(0.0, self.log_e_value)))

    def bet(self, gain: Array, risk: Array) -> "EProcess":
        """Bet on further dates, in time order (see `date_gains`)."""
        if not len(gain):
            return self
        length, bettors = self._length, len(self.log_wealth)
        most = np.full_like(risk, np.inf)
        np.divide(AT_RISK / length, risk, out=most, where=risk > 0)
        # (dates, stakes): each stake is fixed before its date's outcomes are known.
        gains = np.minimum(STAKES, most[:, None]) * gain[:, None]
        begun = self.dates % length
        edges = np.maximum(np.arange(-begun, len(gain), length), 0)
        blocks = np.add.reduceat(gains, edges, axis=0)  # (blocks, stakes)
        blocks[0] += self.block
        whole = (begun + len(gain)) // length
        number = self.dates // length + np.arange(whole)
        grown = np.log1p(blocks[:whole])
        wealth = [
            np.add(before, grown[number % bettors == bettor].sum(axis=0))
            for bettor, before in enumerate(self.log_wealth)
        ]
        block = blocks[whole] if whole < len(blocks) else np.zeros(len(STAKES))
        return replace(
            self,
            dates=self.dates + len(gain),
            log_wealth=tuple(tuple(each.tolist()) for each in wealth),
            block=tuple(block.tolist()),
        )

    @property
    def _length(self) -> int:
        """Dates of a block: with the blocks of the others they outlast the horizon."""
        return max(1, -(-(self.horizon - 1) // max(1, len(self.log_wealth) - 1)))


def start_e_process(horizon: int) -> EProcess:
    """The state before the first bet."""
    # Few bettors on long blocks lose little to overlap, but may stake little on each date.
    bettors = min(MOST_BETTORS, 1 + -(-(horizon - 1) // LONGEST_BLOCK))
    nothing = (0.0,) * len(STAKES)
    return EProcess(horizon, 0, (nothing,) * bettors, nothing)


def date_gains(predictions: pd.DataFrame, reference: str) -> tuple[Array, Array]:
    """What a bet of stake 1 gains on each date, and the most that it could have lost.

    The gain is the mean over the date's symbols of the likelihood ratio of model and reference,
    less 1. The mean has expectation 0 under the null whatever the symbols share; the product of
    the ratios has not, and would let noise through.

    Parameters
    ----------
    predictions : DataFrame
        Labelled rows with a column ``probability_up`` and the reference's probability.

    Returns
    -------
    gain, risk : array, shape (dates,)
        In time order; ``gain >= -risk``.
    """
    p, q = (
        predictions[name].clip(CLIP, 1 - CLIP).to_numpy() for name in (PROBABILITY_UP, reference)
    )
    up, down = p / q, (1 - p) / (1 - q)
    rows = pd.DataFrame(
        {
            DATE: predictions[DATE].to_numpy(),
            "gain": np.where(predictions[LABEL].to_numpy() == 1, up, down) - 1,
            "risk": 1 - np.minimum(up, down),
        }
    )
    means = rows.groupby(DATE, sort=True).mean()
    return means["gain"].to_numpy(), means["risk"].to_numpy()
