"""What `register` is to do: an action with what it needs, checked before the run opens."""

import datetime as dt
from dataclasses import dataclass

from steps.cli.command import OptionError
from steps.registration.gate_inputs import GateInputs

EVIDENCE = ("evaluation", "predictions", "validation")
BY_HAND = ("promote", "reject", "rollback")


@dataclass(frozen=True)
class RegisterRequest:
    """An action and its parameters.

    Attributes
    ----------
    action : str
        ``register``, ``promote``, ``reject``, ``rollback`` or ``history``.
    model_uri : str
        Model or version; ``auto`` where none is given.
    evaluation, predictions, validation : str, optional
        URIs of what the gate judges; of ``register`` alone.
    reason : str, optional
        Of what is done by hand.
    date : date, optional
        Of ``history`` alone; None: today.

    Raises
    ------
    OptionError
        The action needs a parameter that is missing, or does not use one that is given.
    """

    action: str
    model_uri: str
    evaluation: str | None
    predictions: str | None
    validation: str | None
    reason: str | None
    date: dt.date | None

    def __post_init__(self) -> None:
        """Compare the action with the other parameters."""
        if self.action == "register":
            self._check_evidence()
        else:
            for name in EVIDENCE:
                self._refuse(name, getattr(self, name))
        if self.action not in BY_HAND:
            self._refuse("reason", self.reason)
        elif self.reason is None:
            raise OptionError(
                "reason",
                "none",
                expected=f"a few words with action={self.action}",
                fix="give reason=...",
            )
        if self.action in ("rollback", "history") and self.model_uri != "auto":
            self._refuse("model_uri", self.model_uri)
        if self.action != "history":
            self._refuse("date", self.date)

    @property
    def gate_inputs(self) -> GateInputs:
        """Artifacts that the gate judges, of ``action=register``."""
        return GateInputs(self.model_uri, *(str(getattr(self, name)) for name in EVIDENCE))

    def _check_evidence(self) -> None:
        if not self.model_uri.startswith("models:/m-"):
            raise OptionError(
                "model_uri",
                self.model_uri,
                expected="models:/m-... of a train run with action=register",
                fix="give the model_uri that train logged",
            )
        for name in EVIDENCE:
            if getattr(self, name) is None:
                raise OptionError(
                    name,
                    "none",
                    expected="a path or URI with action=register, which rests on it",
                    fix=f"give {name}=runs:/...",
                )

    def _refuse(self, name: str, value: object) -> None:
        if value is not None:
            raise OptionError(
                name,
                value,
                expected=f"none with action={self.action}",
                fix="leave it out, or give another action",
            )
