"""The limit on symbols that a run may go on without."""

from collections.abc import Mapping

from stockpred.errors import NotEnoughData


def check_missing_symbols(
    reasons: Mapping[str, str], symbols: int, max_missing: float, verb: str
) -> None:
    """Raise where more symbols are missing than `max_missing` allows.

    Above 0 it always allows one symbol where there are four or more; it never allows all.

    Parameters
    ----------
    reasons : mapping of str to str
        Missing symbol -> why.
    symbols : int
        Number of symbols requested.
    max_missing : float
        Share of the symbols, from 0 to below 1.
    verb : str
        Verb of the message for missing symbols, such as "could not be fetched".

    Raises
    ------
    NotEnoughData
        Too many are missing; the message has the first one and its reason.
    """
    allowed = int(max_missing * symbols)
    if max_missing > 0 and symbols >= 4:
        allowed = max(allowed, 1)
    if len(reasons) > min(allowed, symbols - 1):
        symbol, reason = next(iter(reasons.items()))
        raise NotEnoughData(
            f"max_missing={max_missing:g}",
            expected=f"at most {allowed} of {symbols} symbols missing",
            got=f"{len(reasons)} that {verb}: {symbol}: {reason}",
            fix="correct the source, leave these symbols out, or raise max_missing",
        )
