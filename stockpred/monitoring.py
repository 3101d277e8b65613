"""What monitoring says of a champion: its record, the alarm, what could not be seen, the data."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stockpred.alarm import BACKED, THRESHOLD, Alarm, alarm, backed_share, visible
from stockpred.assessment import Promise
from stockpred.columns import DATE, IN_RANGE, KEY, LABEL, MODEL_VERSION
from stockpred.looks import ripe
from stockpred.realised import beside, symbols, weekly, whole

RECENT = 63  # dates of the recent stretch
LOSS, DATA = "loss", "data"
BEHIND = 5  # sessions that a feed may be behind
UNSOUND = 0.05  # share of the bars or symbols: the gate's limit, too

Dates = np.ndarray[Any, np.dtype[np.datetime64]]


@dataclass(frozen=True)
class Version:
    """What the registry tells of a version; None where its tags do not."""

    version: str
    recipe: str | None
    trained_to: str | None
    promise: Promise | None


class Watched(NamedTuple):
    """What was found: for machines, and for the pictures.

    content : JSON-ready, parts of monitoring.json
    days : the record, labelled, with what its promise backs
    alarm : the detector after each date
    """

    content: dict[str, Any]
    record: pd.DataFrame
    alarm: Alarm


def unseen(rows: pd.DataFrame, version: Version, sessions: Dates, horizon: int) -> pd.DataFrame:
    """Rows of a version of which no training label knew a part: from `horizon` sessions on.

    Parameters
    ----------
    rows : DataFrame
        Forecasts of one version.
    sessions : array of datetime64
        Every date of the bars, in order.
    """
    if version.trained_to is None:
        return rows.iloc[:0]
    place = np.searchsorted(sessions, np.datetime64(version.trained_to, "s"), side="right")
    first = sessions[place - 1 + horizon :][:1]
    return rows[rows[DATE] >= first[0]] if len(first) else rows.iloc[:0]


def record_of(
    forecasts: pd.DataFrame,
    versions: Mapping[str, Version],
    champion: Version,
    sessions: Dates,
    horizon: int,
) -> pd.DataFrame:
    """The record of the champion's recipe: a row a symbol and date, refreshes following on.

    Where several versions of the recipe have forecast the same, the newest counts. Each row is
    held to what its own version promised (``backed``).

    Parameters
    ----------
    forecasts : DataFrame
        As `outcomes.joined` gives them, of any versions.
    """
    parts = []
    for name, rows in forecasts.groupby(MODEL_VERSION, sort=False):
        each = versions.get(str(name))
        if each is None or each.recipe is None or each.recipe != champion.recipe:
            continue
        backed = backed_share(each.promise) if each.promise else 0.0
        part = unseen(rows, each, sessions, horizon)
        parts.append(part.assign(**{BACKED: backed, "order": int(each.version)}))
    if not parts:
        return forecasts.iloc[:0].assign(**{BACKED: 0.0})
    found = pd.concat(parts).sort_values("order", kind="stable")
    found = found.drop_duplicates(list(KEY), keep="last").drop(columns="order")
    return found.sort_values([DATE, KEY[0]], kind="stable").reset_index(drop=True)


def watch(
    forecasts: pd.DataFrame,
    versions: Mapping[str, Version],
    champion: Version,
    sessions: Dates,
    horizon: int,
) -> Watched:
    """Hold the champion's record against its promise, and others against the record.

    Returns
    -------
    Watched
        ``record``, ``recent`` (`realised.whole`), ``weeks``, ``today``, ``versions``
        (`realised.beside`), ``promise``, ``alarm``, ``visible``.
    """
    record = record_of(forecasts, versions, champion, sessions, horizon)
    known = ripe(record, horizon) if len(record) else record
    found = alarm(known, horizon)
    parts = [
        unseen(rows, versions[str(name)], sessions, horizon)
        for name, rows in forecasts.groupby(MODEL_VERSION)
        if str(name) in versions and versions[str(name)].recipe != champion.recipe
    ]
    others = pd.concat(parts) if parts else forecasts.iloc[:0]
    recent = known[known[DATE].isin(np.unique(known[DATE])[-RECENT:])]
    newest = record[record[DATE] == record[DATE].max()]
    promised = champion.promise
    content = {
        "record": whole(known, horizon),
        "recent": whole(recent, horizon),
        "weeks": weekly(known, horizon) if len(known) else [],
        "today": symbols(record, horizon),
        "versions": beside(known, others[others[LABEL].notna()], horizon),
        "in_range": float(newest[IN_RANGE].mean()) if len(newest) else None,
        "promise": None
        if promised is None
        else {**asdict(promised), "backed": backed_share(promised)},
        "alarm": {
            "raised": found.since is not None,
            "since": None if found.since is None else str(found.since)[:10],
            "level": float(found.level[-1]) if len(found.level) else 0.0,
            "threshold": THRESHOLD,
        },
        "visible": asdict(visible(known, found, horizon)),
    }
    return Watched(content, known, found)


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


def verdict(content: Mapping[str, Any], alerts: Sequence[Mapping[str, Any]]) -> str:
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
