"""What MLflow says while a model is logged: all but that it cannot pin pip."""

import logging

import pytest

from serving.model.log_model import _without_pip_warning


def test_log_model_silences_only_the_warning_on_pip(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("mlflow.utils.environment")
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.WARNING)
    pip = "Failed to resolve installed pip version. ``pip`` will be added to conda.yaml"
    with _without_pip_warning():
        logger.warning(pip)
        logger.warning("something else")
    logger.warning(pip)
    assert caplog.messages == ["something else", pip]
