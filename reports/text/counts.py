"""Numbers of things in words."""


def count_of(number: int, noun: str, plural: str = "") -> str:
    """Write a number and its noun.

    Parameters
    ----------
    number : int
    noun : str
        Singular.
    plural : str, optional
        Default: the singular with an s.

    Returns
    -------
    str

    Examples
    --------
    >>> count_of(1, "symbol"), count_of(1200, "stretch", "stretches")
    ('1 symbol', '1,200 stretches')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
