"""Reads a registered model and bars; writes predictions.parquet and score.json, and adds to the
ledger `to` where one is given.
"""

import dataclasses

import pyarrow as pa

from pipeline.registry.models import resolve_and_warn
from pipeline.run.step_run import StepRun
from pipeline.storage.ledger import Ledger
from pipeline.storage.parquet import read_table, write_groups
from pipeline.tags import TAG_MODEL_VERSION
from steps.cli.command import step
from steps.cli.types import ROOT
from steps.data.source import BarsOptions
from steps.data.validation import valid_bars
from steps.scoring.batch import Between, Scored, Scorer, predictions, scorer
from stockpred.columns import DATE, PROBABILITY_UP, SCORED_AT, SCORED_BY, SYMBOL


@step("score")
def main(
    run: StepRun,
    *,
    model_uri: str,
    registered_model: str,
    options: BarsOptions,
    dates: Between,
    to: str | None,
) -> None:
    """Forecast with a registered model."""
    ledger = Ledger(to, ROOT, DATE) if to is not None else None
    found = resolve_and_warn(run.client, model_uri, registered_model)
    model = scorer(run, found)
    path = valid_bars(run, options, model.lookback)
    symbols = options.symbols if options.bars is not None else None  # a source gives no others
    scored = Scored()
    with run.output("predictions.parquet") as out:
        write_groups(out, predictions(path, model, symbols, dates, scored))
    added = _enter(ledger, model, run) if ledger else {}
    run.write_json(
        "score.json",
        {
            **dataclasses.asdict(found),
            "trained_by": model.run_id,
            "trained_to": model.trained_to,
            "horizon": model.horizon,
            **dataclasses.asdict(scored),
            "ledger": {"to": to, **added} if ledger else None,
        },
    )
    if found.name:
        run.set_tags({TAG_MODEL_VERSION: f"{found.name}/{found.version}"})
    skipped = len(scored.skipped)
    run.log_metrics(
        {
            "rows": scored.rows,
            "symbols": scored.symbols,
            "symbols_skipped": skipped,
            "out_of_range": scored.out_of_range,
            **{f"ledger_{name}": count for name, count in added.items()},
        }
    )
    by = f"{found.name} {found.version}" if found.name else model.version
    run.set_key_figure(
        f"{scored.rows:,} forecasts of {scored.symbols} symbols by {by}"
        + (f"; {skipped} symbols skipped" if skipped else "")
        + (f"; ledger: {_told(added)}" if ledger else "")
    )


def _enter(ledger: Ledger, model: Scorer, run: StepRun) -> dict[str, int]:
    """Add the predictions to the ledger, with when and by which run they were made."""
    rows = read_table(run.output_path("predictions.parquet"))
    when = pa.scalar(run.started, pa.timestamp("ms", "UTC"))
    rows = rows.append_column(SCORED_AT, pa.repeat(when, len(rows)))
    rows = rows.append_column(SCORED_BY, pa.repeat(run.run_id, len(rows)).dictionary_encode())
    name = f"{model.name}-{model.version}" if model.name else model.version
    return dataclasses.asdict(ledger.append(rows, name, SYMBOL, (PROBABILITY_UP,)))


def _told(added: dict[str, int]) -> str:
    differing = added["differing"]
    known = f"{added['added']} added, {added['known']} known"
    return known + (f", {differing} of them other now and left as they were" if differing else "")


if __name__ == "__main__":
    main()
