"""Descriptions of registered models and their versions, for people who open their pages."""

import hashlib
import re
from collections.abc import Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.chain.summary import escape_markup
from pipeline.registry.history import champion_periods, history
from pipeline.registry.versions import CHAMPION
from pipeline.tags import TAG_STAGE
from steps.registration.tags import TAG_GATE, TAG_TRAINED_TO
from stockpred.columns import SYMBOL

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Closes a text of ours. MLflow shows no comment; where the text above is not the one that it was
# made of, a person has changed it.
MARK = "\n\n<!-- {} -->"
SIGNED = re.compile(r"(.*)\n\n<!-- ([0-9a-f]{12}) -->", re.DOTALL)
LIMIT = 5000  # characters, in every database that MLflow takes
MOST_SYMBOLS = 5  # that are named


def signed(text: str) -> str:
    """Return a text with the mark by which it is known as ours."""
    text = text[: LIMIT - len(MARK) - 12]
    return text + MARK.format(_digest(text))


def own_text(description: str | None) -> str | None:
    """Return a description without its mark; empty where there is none, None for a person's own.

    Examples
    --------
    >>> own_text(signed("Predicts.")), own_text(""), own_text("Mine")
    ('Predicts.', '', None)
    >>> own_text(signed("Predicts.").replace("Predicts", "Guesses")) is None
    True
    """
    if not description:
        return ""
    match = SIGNED.fullmatch(description)
    return match[1] if match and match[2] == _digest(match[1]) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def version_facts(evaluation: Mapping[str, Any], forecasts: pd.DataFrame) -> str:
    """Say in one paragraph what a version predicts, on what, and what its evaluation found.

    Parameters
    ----------
    evaluation : mapping
        Content of evaluation.json.
    forecasts : DataFrame
        Rows of holdout_predictions.parquet.

    Returns
    -------
    str
    """
    recipe, lead = evaluation["recipe"], evaluation.get("lead_over_prior", {})
    names = sorted(map(str, forecasts[SYMBOL].unique()))
    symbols = ", ".join(names) if len(names) <= MOST_SYMBOLS else f"{len(names)} symbols"
    horizon = recipe["horizon"]
    source = evaluation.get("source", "an unknown source")
    session = "next session" if horizon == 1 else f"session {horizon} from now"
    text = (
        f"Predicts the probability that the close of the {session} is above the open of the next "
        f"session, for {escape_markup(symbols)}; a {recipe['candidate']} on bars of "
        f"{escape_markup(source)}."
    )
    loss = evaluation["model"].get("log_loss")
    prior = evaluation.get("baselines", {}).get("prior", {}).get("log_loss")
    if None not in (loss, prior, lead.get("p_value")):
        text += (
            f" On {lead['dates']:,} dates that it was not chosen on: log loss {loss:.4f} against "
            f"{prior:.4f} for the prior, p = {lead['p_value']:.2g}."
        )
    return text


def update_descriptions(
    client: "MlflowClient", name: str, facts: Mapping[str, str], reasons: Mapping[str, str]
) -> None:
    """Write what has changed of the descriptions of a model and some of its versions.

    A description that a person wrote or changed stays.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Registered model.
    facts : mapping of str to str
        Version -> its facts (see `version_facts`); empty: those that its description has.
    reasons : mapping of str to str
        Version -> why it has its stage; left out: the latest decision of the gate.
    """
    model = client.get_registered_model(name)
    champion = model.aliases.get(CHAMPION)
    texts = {}
    for number in {**facts, **({str(champion): ""} if champion else {})}:
        version = client.get_model_version(name, number)
        kept = own_text(version.description)
        texts[number] = facts.get(number) or (kept or "").partition("\n\n")[0]
        tags = version.tags
        reason = reasons.get(number) or tags.get(TAG_GATE, "no decision")
        stage = f"{tags.get(TAG_STAGE, 'No stage')}: {escape_markup(reason)}."
        trained = f"Trained to {tags[TAG_TRAINED_TO]}. " if TAG_TRAINED_TO in tags else ""
        text = signed("\n\n".join(filter(None, (texts[number], trained + stage))))
        if kept is not None and number in facts and text != version.description:
            client.update_model_version(name, number, description=text)
    if own_text(model.description) is None:
        return
    text = signed("\n\n".join(_model_paragraphs(client, name, champion, texts)))
    if text != model.description:
        client.update_registered_model(name, text)


def _model_paragraphs(
    client: "MlflowClient", name: str, champion: str | None, texts: Mapping[str, str]
) -> list[str]:
    command = f"mlflow run . -e score --env-manager local -P {quote(f'registered_model={name}')}"
    if champion is None:
        return [
            "No version is champion: none has passed the gate, or it was withdrawn.",
            f"Forecasts until then, with a warning: `{command}`.",
        ]
    number = str(champion)
    periods = [p for p in champion_periods(history(client, name)) if p.began.version == number]
    since = f" since {periods[-1].began.when:%Y-%m-%d %H:%M} UTC" if periods else ""
    reason = f": {escape_markup(periods[-1].began.reason)}" if periods else ""
    uri = f"models:/{name}@{CHAMPION}"
    return [
        *filter(None, [texts.get(number)]),
        f"Champion: version {number}{since}{reason}.",
        f'Forecasts: `{command}`, or `mlflow.pyfunc.load_model("{uri}").predict(bars)`.',
    ]
