"""Registration of a model, and the gate's decision on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.log.console import logger
from pipeline.registry.history import Transition
from pipeline.registry.transitions import ChampionChanged, move_version
from pipeline.registry.versions import (
    ARCHIVED,
    CANDIDATE,
    CHALLENGER,
    CHAMPION,
    DEVELOPMENT,
    PRODUCTION,
    register_version,
    version_by_alias,
)
from pipeline.run.step_run import StepRun
from pipeline.step import MODEL
from pipeline.storage.parquet import read_table
from pipeline.tags import TAG_COMMIT, TAG_MODEL_SHA256, TAG_OUTPUT, TAG_STAGE
from steps.data.artifacts import FORECASTS, fetch_artifact
from steps.data.trained_source import absolute_source
from steps.registration.data_kind import DataKind, check_kind, record_kind
from steps.registration.decision import DecisionRecord, write_decision
from steps.registration.descriptions import version_facts
from steps.registration.gate_inputs import (
    GateCase,
    GateInputs,
    gate_metrics,
    read_evaluation,
    read_json,
    read_model,
)
from steps.registration.tags import (
    TAG_GATE,
    TAG_PROMOTED_BY_HAND,
    TAG_REJECTED,
    TAG_TRAINED_TO,
    TAGS_EXPECTED_LEAD,
)
from steps.registration.tried_recipes import deflate_over_experiment
from steps.registration.version_tags import (
    new_version_tags,
    rejection_reason,
    unfit_reason,
    update_champion_age,
    version_number,
)
from stockpred.bars.checks.tradability import describe_untradable
from stockpred.bars.origins import UNKNOWN
from stockpred.columns import SYMBOL
from stockpred.gate.metrics import unsound_share, untradable_share, untradable_years
from stockpred.gate.rules import UNTRADABLE_SHARE, Decision, decide
from stockpred.gate.universe import universe_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class _ExampleCheck:
    """The check of a version's model on its input example, run at most once: it takes seconds."""

    run: StepRun
    version: "ModelVersion"

    @cached_property
    def reason(self) -> str | None:
        """Why the model may not be promoted, or None."""
        return unfit_reason(self.run, self.version)


@dataclass(frozen=True)
class GateSettings:
    """Settings of the gate.

    Attributes
    ----------
    phase : str
        ``production`` allows promotion.
    max_age : int
        Sessions after its training data beyond which a champion is too old.
    require_tradable : bool
        Whether a model may be promoted only if the prices it was judged on could be traded at.
    """

    phase: str
    max_age: int
    require_tradable: bool


def register(
    run: StepRun, inputs: GateInputs, registered_model: str, settings: GateSettings
) -> None:
    """Register a model and carry out the gate's decision on it.

    Decides again where another run changes the champion meanwhile: a decision compares with one.

    Parameters
    ----------
    run : StepRun
    inputs : GateInputs
    registered_model : str
    settings : GateSettings

    Raises
    ------
    DataError
        An input is not what its step writes.
    ParameterError
        The name belongs to another kind of data (`data_kind.check_kind`).
    """
    evaluation = read_evaluation(run, inputs.evaluation)
    path = fetch_artifact(run, "predictions", inputs.predictions, FORECASTS)
    forecasts = read_table(path).to_pandas()
    validation = read_json(run, inputs.validation)
    untradable = untradable_years(validation, forecasts)
    data_metrics = {
        "unsound_share": unsound_share(validation),
        UNTRADABLE_SHARE: untradable_share(forecasts, untradable),
    }
    doubts = describe_untradable(untradable or [])
    tags = new_version_tags(evaluation, forecasts, inputs.evaluation, inputs.predictions)
    kind = _data_kind(evaluation, forecasts)
    if kind is not None:
        universe = kind.universe
        check_kind(run.client, registered_model, run.fetch_input, kind.source, lambda: universe)
    model_tags = kind.to_tags() if kind is not None else {}
    version = _register(run, inputs.model_uri, registered_model, tags, model_tags)
    if kind is not None:
        record_kind(run.client, registered_model, kind)
    check = _ExampleCheck(run, version)
    while True:
        champion = version_by_alias(run.client, registered_model, CHAMPION)
        version = run.client.get_model_version(registered_model, version.version)
        case = GateCase(evaluation, forecasts, version, champion)
        metrics, looks = gate_metrics(run, case)
        decision = decide(
            {**metrics, **data_metrics},
            has_champion=champion is not None,
            is_refresh=case.is_refresh,
            may_promote=settings.phase == "production",
            waived=() if settings.require_tradable else (UNTRADABLE_SHARE,),
        )
        decision = _explain_untradable(decision, doubts)
        decision = _apply_vetoes(run, decision, case, check)
        try:
            transitions = _carry_out(run, decision, case)
            break
        except ChampionChanged:
            logger.info("register: the champion changed meanwhile; deciding again")
    age = update_champion_age(run.client, registered_model, forecasts, settings.max_age)
    write_decision(
        run,
        DecisionRecord(
            "register",
            version,
            decision.stage,
            decision.sentence,
            champion,
            transitions,
            version_facts(evaluation, forecasts),
        ),
        champion=age,
        phase=settings.phase,
        require_tradable=settings.require_tradable,
        rules=[result.to_dict() for result in decision.results],
        untradable=doubts,
        looks=[look.to_dict() for look in looks],
        tried=deflate_over_experiment(run, evaluation.get("backtest", {})),
    )
    run.log_metrics({"anytime_p_value": looks[0].adjusted_p_value, "log_e": looks[0].log_e_value})
    run.set_tags({"champion": age["sentence"] if age else "none"})
    warning = f"; champion {age['sentence']}" if age and age["too_old"] else ""
    run.set_key_figure(f"version {version.version}: {decision.stage}{warning}")


def _data_kind(evaluation: Mapping[str, Any], forecasts: pd.DataFrame) -> DataKind | None:
    """Return the kind of data of an evaluation; None where it lacks its source."""
    source = evaluation.get("source", UNKNOWN)
    if source == UNKNOWN:
        return None
    return DataKind(absolute_source(source), universe_of(map(str, forecasts[SYMBOL].unique())))


def _register(
    run: StepRun,
    model_uri: str,
    registered_model: str,
    tags: dict[str, str],
    model_tags: Mapping[str, str],
) -> "ModelVersion":
    model = read_model(run, model_uri)
    run_id = model.source_run_id
    train_tags = run.client.get_run(run_id).data.tags if run_id else {}
    tags["git_commit"] = model.tags.get(TAG_COMMIT) or train_tags.get(TAG_COMMIT, "unknown")
    if (digest := train_tags.get(TAG_OUTPUT + MODEL)) is not None:
        tags[TAG_MODEL_SHA256] = digest
    return register_version(
        run.client, registered_model, model_uri, run_id, tags, model_tags=model_tags
    )


def _explain_untradable(decision: Decision, doubts: Sequence[str]) -> Decision:
    """Add to the sentence what could hardly be traded at, where nothing else holds a version back.

    All of it is in decision.json.
    """
    broken = [result.rule.metric for result in decision.results if not result.passed]
    if broken != [UNTRADABLE_SHARE] or not doubts:
        return decision
    sentence = f"{decision.sentence}: {doubts[0]}; require_tradable=off leaves this rule out"
    return replace(decision, sentence=sentence)


def _apply_vetoes(
    run: StepRun, decision: Decision, case: GateCase, check: _ExampleCheck
) -> Decision:
    """Hold a version back for reasons beside its metrics: rejection, age, a failed example."""
    version, champion = case.version, case.champion
    if case.is_champion:
        sentence = "it is the champion already"
        return replace(decision, stage=PRODUCTION, aliases=(CHAMPION,), sentence=sentence)
    trained_to = version.tags.get(TAG_TRAINED_TO, "")
    champion_trained_to = champion.tags.get(TAG_TRAINED_TO, "") if champion is not None else ""
    if (rejection := rejection_reason(run.client, version, case.is_refresh)) is not None:
        sentence = rejection
    elif not decision.aliases:
        sentence = decision.sentence
    elif case.is_refresh and trained_to < champion_trained_to:
        sentence = f"no refresh of the champion, which is trained to {champion_trained_to}"
    elif check.reason is not None:
        sentence = f"passed the gate, but {check.reason}"
    else:
        return decision
    stage = ARCHIVED if version.tags.get(TAG_STAGE) == ARCHIVED else DEVELOPMENT
    return replace(decision, stage=stage, aliases=(), sentence=sentence)


def _carry_out(run: StepRun, decision: Decision, case: GateCase) -> list[Transition]:
    version, champion = case.version, case.champion
    # A champion keeps the sentence by which it became one.
    tags = {} if case.is_champion else {TAG_GATE: decision.sentence}
    if champion is not None and case.is_refresh and CHAMPION in decision.aliases:
        # A refresh keeps the lead expected when its recipe became champion, not one a night.
        kept = (*TAGS_EXPECTED_LEAD, TAG_PROMOTED_BY_HAND)
        tags |= {tag: champion.tags[tag] for tag in kept if tag in champion.tags}
    candidate = () if TAG_REJECTED in version.tags else (CANDIDATE,)
    return move_version(
        run.client,
        version.name,
        version_number(version),
        stage=decision.stage,
        aliases=(*candidate, *decision.aliases),
        remove_aliases=(CHALLENGER,) if CHALLENGER not in decision.aliases else (),
        champion=version_number(champion) if champion is not None else None,
        run_id=run.run_id,
        reason=decision.sentence,
        tags=tags,
    )
