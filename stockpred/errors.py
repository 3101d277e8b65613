"""Errors that a user can fix, as one tree.

StockpredError
├── ParameterError     a parameter's value breaks a rule
└── DataError          the data breaks a rule
    └── NotEnoughData  the data is sound, but there are too few rows, sessions or symbols

A message is one line: ``name=value: expected X, got Y. Fix: Z.`` Commands print it and exit
non-zero; any other exception is a bug of the project.
"""

from typing import Any, TypeVar

Error = TypeVar("Error", bound="StockpredError")


class StockpredError(ValueError):
    """Root of the errors that a user can fix.

    The message is ``subject: expected X, got Y. Fix: Z.``, without the parts not given.

    Parameters
    ----------
    subject : str
        The value at fault, ``name='value'``, or a file with row and column. Without `expected`:
        what is wrong with it.
    expected : str, optional
        What would be right, such as ``a whole number from 2 to 50``.
    got : str, optional
        What was found instead; empty where the subject already shows it.
    fix : str, optional
        What the user can do, as an imperative without a full stop.

    Examples
    --------
    >>> print(StockpredError("folds=1", expected="a whole number from 2 to 50", fix="give 5"))
    folds=1: expected a whole number from 2 to 50. Fix: give 5.
    """

    def __init__(self, subject: str, *, expected: str = "", got: str = "", fix: str = "") -> None:
        message = subject
        if expected:
            message += f": expected {expected}" + (f", got {got}" if got else "")
        super().__init__(f"{message}. Fix: {fix}." if fix else message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by message and attributes, as a worker process sends an error."""
        return _restored, (type(self), str(self), dict(vars(self)))


class ParameterError(StockpredError):
    """A parameter's value breaks its rule.

    Parameters
    ----------
    parameter : str
        Name, as given on the command line.
    value : object
        Value that was refused.
    expected, got, fix : str
        See `StockpredError`.
    """

    def __init__(
        self, parameter: str, value: object, *, expected: str, got: str = "", fix: str = ""
    ) -> None:
        super().__init__(f"{parameter}={value!r}", expected=expected, got=got, fix=fix)
        self.parameter = parameter
        self.value = value


class DataError(StockpredError):
    """The data breaks a rule."""


class NotEnoughData(DataError):
    """The data is sound, but there are too few rows, sessions or symbols."""


def _restored(kind: type[Error], message: str, attributes: dict[str, Any]) -> Error:
    error = kind.__new__(kind, message)
    error.__dict__.update(attributes)
    return error
