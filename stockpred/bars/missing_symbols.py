"""How many symbols a run may go on without."""

from collections.abc import Mapping

from stockpred.errors import NotEnoughData


def check_missing_symbols(
    reasons: Mapping[str, str], symbols: int, max_missing: float, what: str
) -> None:
    """Raise where more symbols are missing than `max_missing` allows.

    Above 0 it always allows one symbol where there are four or more.

    Parameters
    ----------
    reasons : mapping of str to str
        Missing symbol -> why.
    symbols : int
        How many symbols there were.
    max_missing : float
        Share of the symbols, from 0 to below 1.
    what : str
        What befell them, such as "could not be fetched".

    Raises
    ------
    NotEnoughData
        With the first missing symbol and its reason.
    """
    allowed = int(max_missing * symbols)
    if max_missing > 0 and symbols >= 4:
        allowed = max(allowed, 1)
    if len(reasons) > min(allowed, symbols - 1):
        symbol, reason = next(iter(reasons.items()))
        raise NotEnoughData(
            f"{len(reasons)} of {symbols} symbols {what}, {allowed} may "
            f"(max_missing={max_missing:g}): {symbol}: {reason}; mend the source or leave it out"
        )
