"""Reads bars.parquet; writes the sound ones as bars.parquet, validation.json, validation.html."""

from pipeline.run.step_run import StepRun
from steps.cli.command import shell
from steps.data.validation import write_sound
from stockpred.features.table import longest_lookback


@shell("validate", "bars", "max_missing", "feature_sets", "window")
def main(
    run: StepRun, bars: str, max_missing: float, feature_sets: tuple[str, ...], window: int
) -> None:
    """Take out what must not reach a model, and say what and why."""
    write_sound(run, run.fetch_input(bars), max_missing, longest_lookback(feature_sets, window))


if __name__ == "__main__":
    main()
