"""What can go wrong on the user's side, as one tree.

StockpredError
├── ParameterError    a parameter's value breaks its rule
└── DataError         what the data holds breaks a rule
    └── NotEnoughData the data is sound, but there is not enough of it

A message is one line and names the value, the rule and the way out. Shells print it and exit
non-zero; anything else that is raised is a bug of ours.
"""


class StockpredError(ValueError):
    """Root of the errors that a user can fix.

    Parameters
    ----------
    subject : str
        What is wrong: ``name='value'``, or a file with row and column. Without `expected`, the
        whole message.
    expected : str, optional
        What would be right, such as ``a whole number from 2 to 50``.
    got : str, optional
        What was found instead.
    fix : str, optional
        What the user can do, as an imperative.
    """

    def __init__(self, subject: str, *, expected: str = "", got: str = "", fix: str = "") -> None:
        message = f"{subject}: expected {expected}, got {got}." if expected else subject
        super().__init__(f"{message} Fix: {fix}." if fix else message)


class ParameterError(StockpredError):
    """A parameter's value breaks its rule.

    Parameters
    ----------
    parameter : str
        Name, as given on the command line.
    value : object
        Value that was refused.
    rule : str, optional
        The whole sentence after ``name='value'``, in place of the keywords.
    expected, got, fix : str, optional
        See `StockpredError`.
    """

    def __init__(
        self,
        parameter: str,
        value: object,
        rule: str = "",
        *,
        expected: str = "",
        got: str = "",
        fix: str = "",
    ) -> None:
        subject = f"{parameter}={value!r}" + (f": {rule}" if rule else "")
        super().__init__(subject, expected=expected, got=got, fix=fix)
        self.parameter = parameter
        self.value = value


class DataError(StockpredError):
    """What the data holds breaks a rule."""


class NotEnoughData(DataError):
    """The data is sound, but there is not enough of it."""
