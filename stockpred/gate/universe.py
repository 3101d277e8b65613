"""Universe of a model: its symbols, and the share of them that another has."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

SEPARATOR = ","


@dataclass(frozen=True)
class Universe:
    """Symbols, or a sample of them that stands for all.

    A sample has the symbols of the lowest sha256, so that samples of two universes can be compared
    (bottom-k sketch, Broder 1997).

    Attributes
    ----------
    symbols : tuple of str
    count : int
        Number of all symbols.
    """

    symbols: tuple[str, ...]
    count: int

    def to_text(self, limit: int) -> str:
        """Return one line of at most `limit` characters, with as many symbols as fit."""
        start = f"{self.count}: "
        kept, left = [], limit - len(start) + len(SEPARATOR)
        for symbol in _by_hash(self.symbols):
            left -= len(_quoted(symbol)) + len(SEPARATOR)
            if left < 0:
                break
            kept.append(symbol)
        return start + SEPARATOR.join(map(_quoted, sorted(kept)))

    @classmethod
    def from_text(cls, text: str) -> "Universe":
        """Read what `to_text` returned; ValueError for another text."""
        count, _, symbols = text.partition(": ")
        names = (name.replace("%2C", SEPARATOR) for name in symbols.split(SEPARATOR))
        return cls(tuple(name.replace("%25", "%") for name in names), int(count))

    def shared_share(self, other: "Universe") -> float:
        """Return the share of all symbols of two universes that are in both.

        Returns
        -------
        float
            From 0 to 1; an estimate where one of them is a sample.

        Examples
        --------
        >>> Universe(("A", "B"), 2).shared_share(Universe(("B", "C"), 2))
        0.3333333333333333
        """
        one, two = set(self.symbols), set(other.symbols)
        whole = [len(u.symbols) for u in (self, other) if len(u.symbols) < u.count]
        compared = set(_by_hash(one | two)[: min(whole)]) if whole else one | two
        return len(compared & one & two) / len(compared)


def universe_of(symbols: Iterable[str]) -> Universe:
    """Return the universe of some symbols, each once."""
    names = tuple(sorted(set(symbols)))
    return Universe(names, len(names))


def _by_hash(symbols: Collection[str]) -> list[str]:
    return sorted(symbols, key=lambda symbol: hashlib.sha256(symbol.encode()).digest())


def _quoted(symbol: str) -> str:
    return symbol.replace("%", "%25").replace(SEPARATOR, "%2C")
