"""Reads a registered model and bars; writes predictions.parquet and score.json, and adds to the
ledger `to` where one is given.
"""

import dataclasses
import datetime as dt

import pyarrow as pa

from pipeline.registry.models import resolve_and_warn
from pipeline.run.step_run import StepRun
from pipeline.storage.ledger import Ledger
from pipeline.storage.parquet import read_table, write_groups
from pipeline.tags import TAG_MODEL_VERSION
from steps.cli.command import shell
from steps.cli.types import ROOT
from steps.data.validation import one_of_two, sound_bars
from steps.scoring.batch import Between, Scored, Scorer, predictions, scorer
from stockpred.columns import DATE, PROBABILITY_UP, SCORED_AT, SCORED_BY, SYMBOL


@shell(
    "score",
    "model_uri=auto",
    "registered_model",
    "bars=none",
    "source=none",
    "symbols",
    "as_of",
    "max_missing",
    "dates",
    "to",
)
def main(
    run: StepRun,
    model_uri: str,
    registered_model: str,
    bars: str | None,
    source: str | None,
    symbols: tuple[str, ...] | None,
    as_of: dt.datetime | None,
    max_missing: float,
    dates: Between,
    to: str | None,
) -> None:
    """Forecast with a registered model."""
    one_of_two(bars, source)
    ledger = Ledger(to, ROOT, DATE) if to is not None else None
    found = resolve_and_warn(run.client, model_uri, registered_model)
    model = scorer(run, found)
    if bars is not None:
        path = run.fetch_input(bars)
    else:
        path = sound_bars(run, source or "snapshot", symbols, as_of, max_missing, model.lookback)
        symbols = None  # the source gave no other
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
