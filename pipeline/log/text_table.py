"""Aligned text tables for a terminal."""

from collections.abc import Collection, Sequence


def text_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    r"""Align cells in columns, two spaces apart.

    Parameters
    ----------
    rows : sequence of sequence of str
        All of one length; the head is a row like the others.
    right : collection of int
        Columns to align to the right.

    Returns
    -------
    list of str
        A line a row, without trailing spaces.

    Examples
    --------
    >>> print("\n".join(text_table([("step", "s"), ("train", "12.5")], right=[1])))
    step      s
    train  12.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
