"""Limits of what is read."""

from stockpred.errors import ParameterError

MAX_BYTES = 4 << 30  # of all files together, and of what they unpack to
TIMEOUT = 60  # seconds that a server may send nothing
MAX_NESTING = 3  # archives within archives


def too_large(origin: str, got: str) -> ParameterError:
    """Return the error of a source over `MAX_BYTES`."""
    return ParameterError(
        "source", origin, expected=f"at most {MAX_BYTES:,} bytes", got=got, fix="split the file"
    )


class Budget:
    """The bytes that a source may still unpack to.

    Parameters
    ----------
    origin : str
        The source, for messages.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self.left = MAX_BYTES

    def take(self, size: int) -> None:
        """Count unpacked bytes; refuse the source where they are more than is left.

        Parameters
        ----------
        size : int
            Bytes.

        Raises
        ------
        ParameterError
            They are more than is left.
        """
        if size > self.left:
            raise too_large(self._origin, f"{size + MAX_BYTES - self.left:,} unpacked, or more")
        self.left -= size
