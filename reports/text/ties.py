"""The sentence on ties: rows whose outcome is neither up nor down."""


def describe_ties(ties: int, labelled: int) -> str:
    """State how many rows with an outcome are ties.

    Parameters
    ----------
    ties : int
        Rows whose exit price equals their entry price.
    labelled : int
        Rows whose outcome is up or down.

    Returns
    -------
    str

    Examples
    --------
    >>> describe_ties(1234, 11466).partition(":")[0]
    '1,234 of 12,700 rows with an outcome (9.7 %) are ties'
    """
    total = ties + labelled
    if not ties:
        return f"There is no tie among {total:,} rows with an outcome"
    verb = "is a tie" if ties == 1 else "are ties"
    return (
        f"{ties:,} of {total:,} rows with an outcome ({100 * ties / total:.1f} %) {verb}: "
        "the close at the exit equals the open at the entry. They are left out, as neither up nor "
        "down"
    )
