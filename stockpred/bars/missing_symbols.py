"""The limit on the share of missing symbols with which a run continues."""

from collections.abc import Mapping

from stockpred.errors import NotEnoughData


def check_missing_symbols(
    reasons: Mapping[str, str], requested: int, max_missing: float, verb: str
) -> None:
    """Raise where more symbols are missing than `max_missing` allows.

    Of four or more symbols, any `max_missing` above 0 allows at least one; it never allows all.

    Parameters
    ----------
    reasons : mapping of str to str
        Missing symbol -> reason.
    requested : int
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
    allowed = int(max_missing * requested)
    if max_missing > 0 and requested >= 4:
        allowed = max(allowed, 1)
    if len(reasons) > min(allowed, requested - 1):
        symbol, reason = next(iter(reasons.items()))
        raise NotEnoughData(
            f"max_missing={max_missing:g}",
            expected=f"at most {allowed} of {requested} symbols missing",
            got=f"{len(reasons)} that {verb}: {symbol}: {reason}",
            fix="correct the source, leave these symbols out, or raise max_missing",
        )
