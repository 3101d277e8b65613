"""Reads bars.parquet; writes sound ones, example.parquet, validation.json, validation.html."""

from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_groups, read_metadata, write_groups
from steps.cli.command import step
from steps.data.artifacts import ACQUIRED, fetch_artifact
from steps.data.validation import choose_example, validate_file
from stockpred.bars.schema import rows_of, split_by_symbol
from stockpred.features.table import longest_lookback


@step("validate")
def main(
    run: StepRun, *, bars: str, max_missing: float, feature_sets: tuple[str, ...], window: int
) -> None:
    """Quarantine bars that must not reach a model, and report them."""
    path = fetch_artifact(run, "bars", bars, ACQUIRED)
    lookback = longest_lookback(feature_sets, window)
    sound = validate_file(run, path, max_missing, lookback)
    tables = (
        rows_of(symbol, rows)
        for group in read_groups(sound)
        for symbol, rows in split_by_symbol(group)
    )
    example = choose_example(tables, lookback)
    with run.output("example.parquet") as out:
        write_groups(out, [example], lambda: read_metadata(sound))


if __name__ == "__main__":
    main()
