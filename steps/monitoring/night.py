"""Forecasts of tonight, and what changed since the night before."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.errors import InputError
from pipeline.registry.model_uri import ResolvedModel
from pipeline.registry.versions import CHAMPION
from pipeline.run.step_run import StepRun
from pipeline.tags import TAG_MODEL_VERSION
from reports.text.verdict import verdict_sentence
from steps.registration.tags import TAG_EVALUATION
from stockpred.arrays import Dates
from stockpred.monitoring.night import describe_forecasts

TAG_ALERTS = "alert_names"
EARLIER = 10  # runs of the monitor among which that of the night before is looked for


def describe_night(
    run: StepRun,
    resolved: ResolvedModel,
    forecasts: pd.DataFrame,
    alerts: Sequence[Mapping[str, Any]],
    *,
    recent: Mapping[str, Dates],
) -> dict[str, Any]:
    """Describe the night beside the one before, which is the monitor's last run.

    Parameters
    ----------
    run : StepRun
    resolved : ResolvedModel
        The version that forecasts.
    forecasts : DataFrame
        Of `inputs.read_forecasts`.
    alerts : sequence of mapping
        Of tonight.
    recent : mapping of str to array of datetime64[s]
        Of `FeatureSampler.recent_without_gap`.

    Returns
    -------
    dict
        JSON-ready, `night` of monitoring.json: what `describe_forecasts` returns, and

        - version, is_champion, verdict: of the version that forecasts; the verdict is None where
          its evaluation is gone
        - previous_version: None on the first night
        - new_alerts: sentences of the alerts of a name that the night before had none of
    """
    earlier = _earlier_tags(run, str(resolved.name))
    known = earlier.get(TAG_ALERTS, "").split(",")
    return {
        "version": resolved.version,
        "is_champion": resolved.alias == CHAMPION,
        "verdict": _verdict(run, resolved),
        "previous_version": earlier.get(TAG_MODEL_VERSION, "").rpartition("/")[2] or None,
        **describe_forecasts(forecasts, str(resolved.version), recent),
        "new_alerts": [alert["sentence"] for alert in alerts if alert["name"] not in known],
    }


def _earlier_tags(run: StepRun, name: str) -> Mapping[str, str]:
    for earlier in run.earlier_runs("monitor", {}, EARLIER):
        tags: Mapping[str, str] = earlier.data.tags
        if tags.get(TAG_MODEL_VERSION, "").rpartition("/")[0] == name:
            return tags
    return {}


def _verdict(run: StepRun, resolved: ResolvedModel) -> str | None:
    tags = run.client.get_model_version(str(resolved.name), str(resolved.version)).tags
    try:
        return verdict_sentence(json.loads(run.fetch_input(tags[TAG_EVALUATION]).read_text()))
    except (InputError, KeyError, TypeError, ValueError):
        return None
