"""A model registered, and the gate's decision on it carried out."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from pipeline.log.console import logger
from pipeline.registry.history import Transition
from pipeline.registry.models import (
    ARCHIVED,
    CANDIDATE,
    CHALLENGER,
    CHAMPION,
    DEVELOPMENT,
    PRODUCTION,
    register_version,
    version_by_alias,
)
from pipeline.registry.transitions import ChampionChanged, move_version
from pipeline.run.step_run import StepRun
from pipeline.step import MODEL
from pipeline.tags import TAG_MODEL_SHA256, TAG_OUTPUT, TAG_STAGE
from steps.registration.decision import decided
from steps.registration.gate_inputs import (
    GateInputs,
    read_evaluation,
    read_frame,
    read_json,
    read_model,
    values_of,
)
from steps.registration.tried_recipes import deflated_over_experiment
from steps.registration.version_tags import (
    BY_HAND_TAG,
    GATE_TAG,
    PROMISE_TAGS,
    RECIPE_TAG,
    REJECTED_TAG,
    TRAINED_TAG,
    champion_age,
    number_of,
    rejection,
    version_tags,
    why_unfit,
)
from stockpred.gate.metrics import unsound_share
from stockpred.gate.rules import Decision, decide


def register(
    run: StepRun, inputs: GateInputs, registered_model: str, phase: str, max_age: int
) -> None:
    """Register the model and let the gate decide where it stands.

    Decided anew where another run changes the champion meanwhile: a decision rests on one.
    """
    judged = read_evaluation(run, inputs.evaluation)
    forecasts = read_frame(run, inputs.predictions)
    model = read_model(run, inputs.model_uri)
    unsound = unsound_share(read_json(run, inputs.validation))
    tags = version_tags(judged, forecasts, inputs.evaluation, inputs.predictions)
    tags["git_commit"] = model.tags.get("git_commit", "unknown")
    if model.source_run_id:
        trained = run.client.get_run(model.source_run_id).data.tags
        if (digest := trained.get(TAG_OUTPUT + MODEL)) is not None:
            tags[TAG_MODEL_SHA256] = digest
    version = register_version(
        run.client, registered_model, inputs.model_uri, model.source_run_id, tags
    )
    unfit = cache(lambda: why_unfit(run, version))
    while True:
        champion = version_by_alias(run.client, registered_model, CHAMPION)
        version = run.client.get_model_version(registered_model, version.version)
        is_refresh = (
            champion is not None and champion.tags.get(RECIPE_TAG) == judged["recipe"]["id"]
        )
        values, looks = values_of(run, judged, forecasts, version, champion, is_refresh)
        values["unsound_share"] = unsound
        decision = decide(
            values,
            has_champion=champion is not None,
            is_refresh=is_refresh,
            may_promote=phase == "production",
        )
        decision = _held_back(decision, run, version, champion, is_refresh, unfit)
        try:
            moves = _carry_out(run, version, champion, decision, is_refresh)
            break
        except ChampionChanged:
            logger.info("register: the champion changed meanwhile; deciding again")
    age = champion_age(run.client, registered_model, forecasts, max_age)
    decided(
        run,
        "register",
        version,
        decision.stage,
        decision.sentence,
        champion,
        moves,
        champion=age,
        phase=phase,
        rules=[result.to_dict() for result in decision.results],
        looks=[each.to_dict() for each in looks],
        tried=deflated_over_experiment(run, judged.get("backtest", {})),
    )
    run.log_metrics({"anytime_p_value": looks[0].adjusted_p_value, "log_e": looks[0].log_e_value})
    run.set_tags({"champion": age["sentence"] if age else "none"})
    warning = f"; champion {age['sentence']}" if age and age["too_old"] else ""
    run.set_key_figure(f"version {version.version}: {decision.stage}{warning}")


def _held_back(
    decision: Decision,
    run: StepRun,
    version: Any,
    champion: Any | None,
    is_refresh: bool,
    unfit: Callable[[], str | None],
) -> Decision:
    """The gate's decision, unless something beside the evidence stands against it."""
    if _is_same(champion, version):
        return replace(
            decision, stage=PRODUCTION, aliases=(CHAMPION,), sentence="it is the champion already"
        )
    rejected = rejection(run.client, version, is_refresh)
    trained = {v.tags.get(TRAINED_TAG, "") for v in (version, champion) if v is not None}
    if rejected is not None:
        sentence = rejected
    elif not decision.aliases:
        sentence = decision.sentence
    elif is_refresh and version.tags.get(TRAINED_TAG, "") < max(trained):
        sentence = f"no refresh of the champion, which is trained to {max(trained)}"
    elif (why := unfit()) is not None:
        sentence = f"passed the gate, but {why}"
    else:
        return decision
    archived = version.tags.get(TAG_STAGE) == ARCHIVED
    return replace(
        decision, stage=ARCHIVED if archived else DEVELOPMENT, aliases=(), sentence=sentence
    )


def _is_same(champion: Any | None, version: Any) -> bool:
    return champion is not None and number_of(champion) == number_of(version)


def _carry_out(
    run: StepRun, version: Any, champion: Any | None, decision: Decision, is_refresh: bool
) -> list[Transition]:
    # A champion keeps the sentence by which it became one.
    told = {} if _is_same(champion, version) else {GATE_TAG: decision.sentence}
    if champion is not None and is_refresh and CHAMPION in decision.aliases:
        # What the recipe promised when it became champion, not what each night makes of it.
        kept = (*PROMISE_TAGS, BY_HAND_TAG)
        told |= {tag: champion.tags[tag] for tag in kept if tag in champion.tags}
    candidate = () if REJECTED_TAG in version.tags else (CANDIDATE,)
    return move_version(
        run.client,
        version.name,
        number_of(version),
        stage=decision.stage,
        aliases=(*candidate, *decision.aliases),
        remove_aliases=(CHALLENGER,) if CHALLENGER not in decision.aliases else (),
        champion=number_of(champion) if champion is not None else None,
        run_id=run.run_id,
        reason=decision.sentence,
        tags=told,
    )
