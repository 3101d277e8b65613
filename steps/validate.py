"""Reads bars.parquet; writes the valid bars as bars.parquet, validation.json, validation.html."""

from pipeline.run.step_run import StepRun
from steps.cli.command import step
from steps.data.artifacts import ACQUIRED, fetch_artifact
from steps.data.validation import validate_file
from stockpred.features.table import longest_lookback


@step("validate")
def main(
    run: StepRun, *, bars: str, max_missing: float, feature_sets: tuple[str, ...], window: int
) -> None:
    """Quarantine bars that must not reach a model, and report them."""
    path = fetch_artifact(run, "bars", bars, ACQUIRED)
    validate_file(run, path, max_missing, longest_lookback(feature_sets, window))


if __name__ == "__main__":
    main()
