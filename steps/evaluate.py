"""Reads recipe.json and features.parquet; writes holdout_predictions.parquet, evaluation.json,
plots and report.html.
"""

import json
import os

import numpy as np
import pyarrow as pa

from pipeline.code import file_sha256
from pipeline.run import StepRun, say
from pipeline.tables import read, write_groups
from reports import plots
from reports.evaluation import evaluation_report
from steps.shell import shell
from stockpred.columns import PRIOR
from stockpred.compare import lead_over_column
from stockpred.errors import DataError, TooLittleData
from stockpred.metrics import evaluate
from stockpred.recipe import recipe_from
from stockpred.table import rows_from_arrow
from stockpred.walk import walk_forward

PICTURES = {
    "confusion_matrix.png": plots.confusion_matrix,
    "roc.png": plots.roc_curve,
    "calibration.png": plots.calibration,
    "lead.png": plots.lead_by_date,
}


@shell("evaluate", "recipe", "table", "refit_every", "seed")
def main(run: StepRun, recipe: str, table: str, refit_every: int, seed: int) -> None:
    """Walk the recipe through the holdout and judge its predictions."""
    path = run.input(table)
    try:
        content = json.loads(run.input(recipe).read_text())
        start = np.datetime64(content["selection"]["holdout_start"], "s")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"recipe={recipe!r}: not a recipe.json of train; give one") from error
    chosen = recipe_from(content)
    rows = rows_from_arrow(read(path))
    predictions = walk_forward(
        rows, chosen, start, refit_every, seed, jobs=os.cpu_count() or 1, progress=say
    )
    metrics = evaluate(predictions)
    if not metrics["rows"]:
        raise TooLittleData(
            f"the holdout from {start} on has no row with a known label; give more dates"
        )
    lead = lead_over_column(predictions, PRIOR, chosen.horizon)
    evaluation = {
        "recipe": content,
        "table_sha256": file_sha256(path),
        "holdout": {k: metrics.pop(k) for k in ("rows", "dates", "first", "last", "up_share")},
        **metrics,
        "lead_over_prior": {
            "mean": lead.mean,
            "standard_error": lead.standard_error,
            "p_value": lead.p_value,
            "worse_p_value": lead.worse_p,
            "dates": lead.dates,
        },
    }
    with run.output("holdout_predictions.parquet") as out:
        write_groups(out, [pa.Table.from_pandas(predictions, preserve_index=False)])
    run.output_json("evaluation.json", evaluation)
    pictures = {name: draw(predictions) for name, draw in PICTURES.items()}
    for name, png in pictures.items():
        run.figure(name, png)
    run.figure("report.html", evaluation_report(evaluation, pictures).encode())
    run.metrics({f"holdout_{name}": value for name, value in metrics["model"].items()})
    run.metrics({f"prior_{name}": v for name, v in metrics["baselines"]["prior"].items()})
    run.metrics({"lead_over_prior": lead.mean, "lead_p_value": lead.p_value})
    ours, prior = metrics["model"]["log_loss"], metrics["baselines"]["prior"]["log_loss"]
    run.key_figure(f"log loss {ours:.4f}, prior {prior:.4f}, p {lead.p_value:.2g}")


if __name__ == "__main__":
    main()
