"""Alerts on a champion's forecasts and on the data, and their verdict in one sentence."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stockpred.arrays import Dates
from stockpred.monitoring.record import Version

LOSS, DATA = "loss", "data"


BEHIND = 5  # sessions that a feed may be behind


UNSOUND = 0.05  # share of the bars or symbols: the gate's limit, too


def stopped_symbols(newest: Mapping[str, np.datetime64], sessions: Dates) -> list[str]:
    """Symbols whose newest bar is more than `BEHIND` sessions older than that of the others.

    Parameters
    ----------
    newest : mapping of str to datetime64
        Date of each symbol's newest bar.
    sessions : array of datetime64
        Every date of the bars, in order.
    """
    return sorted(s for s, date in newest.items() if (sessions > date).sum() > BEHIND)


def data_alerts(
    stopped: Sequence[str], symbols: int, unsound: float | None, late: int | None
) -> list[dict[str, Any]]:
    """What is wrong with the data.

    Parameters
    ----------
    stopped : sequence of str
        As `stopped_symbols` gives them, of so many `symbols`; one of them is not worth an alert.
    unsound : float or None
        Share of the bars that the latest validation took out.
    late : int or None
        Weekdays from the newest bar to the moment of asking; None where the source does not go on.
    """
    alerts = []
    if len(stopped) > max(1, UNSOUND * symbols):
        shown = ", ".join(stopped[:5]) + (", ..." if len(stopped) > 5 else "")
        alerts.append(
            f"{len(stopped)} of {symbols} symbols have had no bar for over {BEHIND} sessions: "
            f"{shown}"
        )
    if unsound is not None and unsound >= UNSOUND:
        alerts.append(f"validation took out {unsound:.1%} of the bars, to be below {UNSOUND:.0%}")
    if late is not None and late > BEHIND:
        alerts.append(f"the newest bar is {late} weekdays old, to be at most {BEHIND}")
    return [{"kind": DATA, "since": None, "sentence": each} for each in alerts]


def loss_alerts(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is wrong with the forecasts."""
    if not content["alarm"]["raised"]:
        return []
    lead, promised = content["recent"]["lead"]["mean"], content["promise"]
    since = content["alarm"]["since"]
    sentence = (
        f"the forecasts are worse than was promised, as of {since}: lead over the prior "
        f"{lead:+.4f} nats on the last {content['recent']['dates']} dates"
    )
    if promised:
        sentence += f", promised {promised['lead']:+.4f}"
    return [{"kind": LOSS, "since": since, "sentence": sentence}]


def needs_training(alerts: Sequence[Mapping[str, Any]], versions: Sequence[Version]) -> bool:
    """Whether forecasts became worse and nothing has been trained on what came since.

    An alarm stays raised until another recipe, or a version without its record, is champion: to
    train once more for it every night would bring nothing new.
    """
    newest = max((each.trained_to or "" for each in versions), default="")
    return any(each["kind"] == LOSS and newest < each["since"] for each in alerts)


def alert_sentence(content: Mapping[str, Any], alerts: Sequence[Mapping[str, Any]]) -> str:
    """One sentence on what is wrong and, where the forecasts are not, one on what was not seen."""
    wrong = "; ".join(each["sentence"] for each in alerts)
    said = f"Alert: {wrong}." if alerts else f"No alert: {_kept(content)}."
    return said if content["alarm"]["raised"] else f"{said} {_unseen(content)}"


def _kept(content: Mapping[str, Any]) -> str:
    record = content["record"]
    if not record["dates"]:
        return "no forecast of the champion has an outcome yet"
    return (
        f"on {record['dates']:,} dates the log loss was {record['log_loss']['mean']:.4f}, "
        f"a lead over the prior of {record['lead']['mean']:+.4f} nats"
    )


def _unseen(content: Mapping[str, Any]) -> str:
    seen, dates = content["visible"], content["record"]["dates"]
    promised = content["promise"]
    if promised is None or not promised["backed"]:
        return "Its evaluation promised no skill, so that there is none to lose."
    if seen["sessions"] is None:
        return "Too few outcomes to tell what could have been seen."
    if seen["share"] is None:
        return (
            f"Could not be seen yet: a signal that is gone takes about {seen['sessions']:,} "
            f"sessions to show, and there were {dates:,}."
        )
    return (
        f"Could not be seen yet: a loss that leaves an AUC above {seen['auc']:.3f}, or one of the "
        f"last {seen['sessions']:,} sessions."
    )
