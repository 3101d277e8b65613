"""Alerts on a champion's forecasts and on the data, and one sentence that sums them up."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stockpred.arrays import Dates
from stockpred.monitoring.record import Version

LOSS, DATA = "loss", "data"
BEHIND = 5  # sessions that a feed may be behind
UNSOUND = 0.05  # share of the bars or symbols, as in the gate's rule


def stopped_symbols(newest: Mapping[str, np.datetime64], sessions: Dates) -> list[str]:
    """List the symbols whose newest bar is over `BEHIND` sessions older than that of the others.

    Parameters
    ----------
    newest : mapping of str to datetime64
        Date of each symbol's newest bar.
    sessions : array of datetime64
        Every date of the bars, in order.

    Returns
    -------
    list of str
        In alphabetical order.
    """
    return sorted(s for s, date in newest.items() if (sessions > date).sum() > BEHIND)


def data_alerts(
    stopped: Sequence[str], symbols: int, unsound: float | None, late: int | None
) -> list[dict[str, Any]]:
    """List the alerts on the data.

    Parameters
    ----------
    stopped : sequence of str
        As `stopped_symbols` gives them; a single one is no alert.
    symbols : int
        Number of all symbols.
    unsound : float or None
        Share of the bars that the latest validation removed.
    late : int or None
        Weekdays from the newest bar to today; None where the source has an end.

    Returns
    -------
    list of dict
        ``kind``, ``name`` (``stopped``, ``unsound`` or ``late``), ``since`` (None), ``sentence``.
    """
    alerts = {}
    if len(stopped) > max(1, UNSOUND * symbols):
        shown = ", ".join(stopped[:5]) + (", ..." if len(stopped) > 5 else "")
        alerts["stopped"] = (
            f"{len(stopped)} of {symbols} symbols have had no bar for over {BEHIND} sessions: "
            f"{shown}"
        )
    if unsound is not None and unsound >= UNSOUND:
        alerts["unsound"] = (
            f"validation took out {100 * unsound:.1f} % of the bars, "
            f"to be below {100 * UNSOUND:.0f} %"
        )
    if late is not None and late > BEHIND:
        alerts["late"] = f"the newest bar is {late} weekdays old, to be at most {BEHIND}"
    return [
        {"kind": DATA, "name": name, "since": None, "sentence": sentence}
        for name, sentence in alerts.items()
    ]


def loss_alerts(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the alerts on the forecasts: none, or one while the change detector's alarm is raised.

    Parameters
    ----------
    content : mapping
        As `record.monitor_champion` gives it.

    Returns
    -------
    list of dict
        ``kind``, ``name`` (``loss``), ``since`` (ISO date), ``sentence``.
    """
    if not content["alarm"]["raised"]:
        return []
    lead, promised = content["recent"]["lead"]["mean"], content["promise"]
    since = content["alarm"]["since"]
    sentence = (
        f"the forecasts are worse than was promised, as of {since}: lead over the prior "
        f"{lead:+z.4f} nats on the last {content['recent']['dates']} dates"
    )
    if promised:
        sentence += f", promised {promised['lead']:+z.4f}"
    return [{"kind": LOSS, "name": LOSS, "since": since, "sentence": sentence}]


def needs_training(alerts: Sequence[Mapping[str, Any]], versions: Sequence[Version]) -> bool:
    """Return whether forecasts became worse and no version was trained on data after that.

    An alarm stays raised until another recipe, or a version without its record, is champion:
    training for it every night again would bring nothing new.

    Parameters
    ----------
    alerts : sequence of mapping
        As `loss_alerts` and `data_alerts` give them.
    versions : sequence of Version
        All versions of the registered model.

    Returns
    -------
    bool
        False without an alert on the forecasts.
    """
    newest = max((version.trained_to or "" for version in versions), default="")
    return any(alert["kind"] == LOSS and newest < alert["since"] for alert in alerts)


def alert_sentence(content: Mapping[str, Any], alerts: Sequence[Mapping[str, Any]]) -> str:
    """Sum up the alerts and, unless the forecasts' alarm is raised, what could not be detected yet.

    Parameters
    ----------
    content : mapping
        As `record.monitor_champion` gives it.
    alerts : sequence of mapping
        As `loss_alerts` and `data_alerts` give them.

    Returns
    -------
    str
        One or two sentences.
    """
    wrong = "; ".join(alert["sentence"] for alert in alerts)
    summary = f"Alert: {wrong}." if alerts else f"No alert: {_record_words(content)}."
    return summary if content["alarm"]["raised"] else f"{summary} {_detectable_sentence(content)}"


def _record_words(content: Mapping[str, Any]) -> str:
    record = content["record"]
    if not record["dates"]:
        return "no forecast by this recipe has an outcome yet"
    dates = f"{record['dates']:,} date{'' if record['dates'] == 1 else 's'}"
    return (
        f"on {dates} the log loss was {record['log_loss']['mean']:.4f}, "
        f"a lead over the prior of {record['lead']['mean']:+z.4f} nats"
    )


def _detectable_sentence(content: Mapping[str, Any]) -> str:
    change, dates = content["visible"], content["record"]["dates"]
    promised = content["promise"]
    if promised is None or not promised["backed"]:
        return "Its evaluation promised no skill, so that there is none to lose."
    if change["sessions"] is None:
        return "Too few outcomes to tell what could have been seen."
    if change["share"] is None:
        return (
            f"Could not be seen yet: a signal that is gone takes about {change['sessions']:,} "
            f"sessions to show, and there were {dates:,}."
        )
    return (
        f"Could not be seen yet: a loss that leaves an AUC above {change['auc']:.3f}, or one of "
        f"the last {change['sessions']:,} sessions."
    )
