"""Reads a registered model and bars; writes predictions.parquet, predictions.csv and score.json.

Forecasts are added to the ledger `to` where one is given.
"""

import dataclasses
import datetime as dt
import os

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.registry.model_uri import resolve_and_warn
from pipeline.run.step_run import StepRun
from pipeline.storage.ledger import Ledger
from pipeline.storage.parquet import read_table, write_groups
from pipeline.tags import ENV_IN_CHAIN, TAG_MODEL_VERSION
from reports.text.counts import count_of
from steps.cli.command import step
from steps.cli.types import ROOT
from steps.data.source import BarsOptions, fetch_given_bars
from steps.data.validation import validate_source
from steps.registration.trained_source import read_trained_source
from steps.scoring.batch import BatchPrediction, DateSpan, DownloadedModel, download_model
from steps.scoring.missed import read_last_forecasts
from steps.scoring.output import print_forecasts, write_csv
from stockpred.columns import (
    AS_OF,
    DATE,
    ENTRY_DATE,
    EXIT_DATE,
    LATE,
    PROBABILITY_UP,
    SCORED_AT,
    SCORED_BY,
    SYMBOL,
)
from stockpred.prediction.batch import EXPECTED_DATES, is_late

PREDICTIONS = "predictions.parquet"


@step("score")
def main(  # noqa: PLR0913 - one argument a parameter
    run: StepRun,
    *,
    model_uri: str,
    registered_model: str,
    options: BarsOptions,
    dates: DateSpan,
    to: str | None,
) -> None:
    """Forecast with a registered model."""
    ledger = Ledger(to, ROOT, DATE) if to is not None else None
    given_bars = fetch_given_bars(run, options)
    resolved = resolve_and_warn(run.client, model_uri, registered_model)
    model = download_model(run, resolved)
    mlmodel = model.folder / "MLmodel"
    path = given_bars or validate_source(
        run,
        options.source_options(lambda: read_trained_source(run, resolved, mlmodel)),
        model.lookback,
    )
    symbols = options.symbols if options.bars is not None else None  # a source gave no others
    prediction = BatchPrediction(path, model, symbols, dates)
    if ledger and dates is None:
        newest: dt.date = prediction.newest.astype("datetime64[D]").item()
        prediction.since = read_last_forecasts(ledger, model, newest)
    with run.output(PREDICTIONS) as out:
        write_groups(out, prediction.tables())
    counts, path = prediction.counts, run.output_path(PREDICTIONS)
    write_csv(run, path, counts.rows)
    if ENV_IN_CHAIN not in os.environ:  # a chain has a summary of its own
        print_forecasts(run, path, model.horizon)
    added = _append(ledger, model, run) if ledger else {}
    run.write_json(
        "score.json",
        {
            **dataclasses.asdict(resolved),
            "trained_by": model.run_id,
            "trained_to": model.trained_to,
            "horizon": model.horizon,
            **dataclasses.asdict(counts),
            "ledger": {"to": to, **added} if ledger else None,
        },
    )
    if resolved.name:
        run.set_tags({TAG_MODEL_VERSION: f"{resolved.name}/{resolved.version}"})
    skipped = len(counts.skipped)
    run.log_metrics(
        {
            "rows": counts.rows,
            "symbols": counts.symbols,
            "symbols_skipped": skipped,
            "out_of_range": counts.out_of_range,
            **{f"ledger_{name}": count for name, count in added.items()},
        }
    )
    model_text = f"{resolved.name} {resolved.version}" if resolved.name else model.version
    run.set_key_figure(
        f"{count_of(counts.rows, 'forecast')} of {count_of(counts.symbols, 'symbol')} "
        f"by {model_text}"
        + (f"; {count_of(skipped, 'symbol')} skipped" if skipped else "")
        + (f"; ledger: {_ledger_text(added)}" if ledger else "")
    )


def _append(ledger: Ledger, model: DownloadedModel, run: StepRun) -> dict[str, int]:
    """Add the forecasts to the ledger, with the instant and the run that made them.

    A date that is only expected is left out: what a row says must hold for good.
    """
    rows = read_table(run.output_path(PREDICTIONS))
    for name in (ENTRY_DATE, EXIT_DATE):
        known = pc.if_else(rows[EXPECTED_DATES], pa.scalar(None, pa.date32()), rows[name])
        rows = rows.set_column(rows.column_names.index(name), name, known)
    rows = rows.drop_columns(EXPECTED_DATES)
    exits, as_of = (rows[name].to_numpy() for name in (EXIT_DATE, AS_OF))
    late = is_late(exits, as_of)
    rows = rows.append_column(LATE, pa.array(late))
    when = pa.scalar(run.started, pa.timestamp("ms", "UTC"))
    rows = rows.append_column(SCORED_AT, pa.repeat(when, len(rows)))
    rows = rows.append_column(SCORED_BY, pa.repeat(run.run_id, len(rows)).dictionary_encode())
    name = f"{model.name}-{model.version}" if model.name else model.version
    counts = ledger.append(rows, name, SYMBOL, (PROBABILITY_UP,))
    return {**dataclasses.asdict(counts), LATE: int(late.sum())}


def _ledger_text(added: dict[str, int]) -> str:
    differing = added["differing"]
    text = f"{added['added']} added, {added['known']} known"
    if added[LATE]:
        text += f", {added[LATE]} late (after their outcome)"
    return text + (f", {differing} of them other now and left as they were" if differing else "")


if __name__ == "__main__":
    main()
