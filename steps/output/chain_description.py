"""Name and description of a chain's run in MLflow's UI."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from pipeline.chain.summary import Description, escape_markup
from pipeline.step import FinishedStep
from pipeline.tags import TAG_KEY_FIGURE
from steps.cli.parameters import taken_by
from stockpred.bars.origins import SNAPSHOT, YAHOO

# Step -> its page for people.
PAGES = {
    "validate": "validation.html",
    "features": "data_report.html",
    "report": "report.html",
    "monitor": "monitoring.html",
}
# Parameters that the name says in its own way, or that change no result.
UNNAMED = (
    *("source", "symbols", "horizon", "models", "registered_model", "phase", "as_of"),
    *("cache", "backend", "log", "max_age", "require_tradable"),
)
MOST_SETTINGS = 3  # in a name
MAX_NAME = 100  # characters
MARKETS = {SNAPSHOT: "us", YAHOO: "yahoo"}


def describe_chain(
    raw: Mapping[str, str], *, night: dt.date | None = None
) -> Callable[[Sequence[FinishedStep]], Description]:
    """Return the function that names and describes a chain's run by its finished steps.

    Parameters
    ----------
    raw : mapping of str to str
        The user's text of each parameter.
    night : date, optional
        Day of a nightly run.

    Returns
    -------
    callable
    """

    def describe(finished: Sequence[FinishedStep]) -> Description:
        by_name = {step.step: step for step in finished}
        name = f"nightly {night}" if night else chain_name(raw, by_name)
        return Description(name, _opening(by_name), PAGES)

    return describe


def chain_name(raw: Mapping[str, str], finished: Mapping[str, FinishedStep]) -> str:
    """Name a run of `main` by what sets it apart: data, horizon, model, settings not the default.

    Parameters
    ----------
    raw : mapping of str to str
        The user's text of each parameter.
    finished : mapping of str to FinishedStep
        By name; while there are none, the name lacks what they find.

    Returns
    -------
    str

    Examples
    --------
    >>> train = FinishedStep("train", "", "", 1.0, {}, {"candidate": "logistic"})
    >>> chain_name({"source": "../my_bars.csv", "horizon": "5", "window": "20"}, {"train": train})
    'my_bars h5 logistic window=20'
    """
    source = raw.get("source", SNAPSHOT)
    if source in MARKETS:
        count = finished["acquire"].metrics.get("symbols") if "acquire" in finished else None
        data = f"{MARKETS[source]}{count:.0f}" if count else MARKETS[source]
    else:
        data = PurePosixPath(urlsplit(source).path).stem or "files"
    words = [data, f"h{raw.get('horizon', '1')}"]
    if (train := finished.get("train")) is not None:
        # A cached run of an earlier release has the candidate in its key figure alone.
        figure = train.tags.get(TAG_KEY_FIGURE, "").partition(",")[0]
        words.append(train.tags.get("candidate", figure))
    # In the table's order, so that the same settings have one name however they were given.
    settings = [
        f"{name}={raw[name]}"
        for name, default in taken_by("main").items()
        if name not in UNNAMED and raw.get(name, default) != default
    ]
    return " ".join([*words, *settings[:MOST_SETTINGS]])[:MAX_NAME]


def _opening(finished: Mapping[str, FinishedStep]) -> str:
    """Return the verdict, the gate's decision and the monitor's sentence, as far as they are."""
    sentences = [
        f"**{escape_markup(verdict).rstrip('.')}.**"
        for name, tag in (("report", "verdict"), ("monitor", TAG_KEY_FIGURE))
        if name in finished and (verdict := finished[name].tags.get(tag))
    ]
    if (registered := finished.get("register")) is not None:
        figure = registered.tags.get(TAG_KEY_FIGURE, "")
        decision = registered.tags.get("decision", "")
        sentences.append(f"Registered as {escape_markup(figure)}: {escape_markup(decision)}.")
    return "\n\n".join(sentences)
