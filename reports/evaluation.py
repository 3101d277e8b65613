"""The evaluation's page: the verdict in one sentence, then figures, pictures, how to repeat it."""

from collections.abc import Mapping
from typing import Any

from reports.page import heading, page, paragraph, pictures, table

SKILL_P = 0.05


def verdict(evaluation: Mapping[str, Any]) -> str:
    """One plain sentence on whether the forecasts are better than the prior's."""
    lead = evaluation["lead_over_prior"]
    ours = evaluation["model"]["log_loss"]
    prior = evaluation["baselines"]["prior"]["log_loss"]
    found = lead["mean"] > 0 and lead["p_value"] < SKILL_P
    word = "Evidence of skill" if found else "No evidence of skill"
    return (
        f"{word}: log loss {ours:.4f} against {prior:.4f} for the prior, p = {lead['p_value']:.2g} "
        f"on {lead['dates']:,} dates. Skill is not the same as profit after costs."
    )


def evaluation_report(evaluation: Mapping[str, Any], images: Mapping[str, bytes]) -> str:
    """A self-contained page on evaluation.json, with its pictures inside."""
    holdout, recipe = evaluation["holdout"], evaluation["recipe"]
    model, prior = evaluation["model"], evaluation["baselines"]["prior"]
    majority = evaluation["baselines"]["majority"]
    last = evaluation["baselines"].get("last_direction", {})
    return page(
        f"Holdout of {recipe['candidate']}, {holdout['first']} to {holdout['last']}",
        [
            paragraph(verdict(evaluation), lead=True),
            paragraph(
                f"{holdout['rows']:,} forecasts on {holdout['dates']:,} dates, each by a fit that "
                f"had not seen its date; {holdout['up_share']:.1%} of the outcomes were up. The "
                "recipe was chosen before the holdout begins."
            ),
            heading("Figures"),
            table(
                ("metric", "model", "expanding prior", "majority", "last direction"),
                ((name, value, prior.get(name), majority.get(name), last.get(name))
                 for name, value in model.items()),
            ),
            pictures(images.items()),
            heading("By symbol"),
            table(
                ("symbol", "rows", "log loss", "Brier", "ROC AUC", "accuracy"),
                ((symbol, part["rows"], part["log_loss"], part["brier"], part["roc_auc"],
                  part["accuracy"]) for symbol, part in evaluation["by_symbol"].items()),
            ),
            heading("Chosen before the holdout"),
            table(
                ("candidate", "mean log loss", "by fold"),
                ((name, sum(losses) / len(losses), ", ".join(f"{x:.4f}" for x in losses))
                 for name, losses in recipe["selection"]["log_loss_by_fold"].items()),
            ),
            heading("To repeat it"),
            paragraph(
                f"recipe {recipe['id'][:16]}, table sha256 {evaluation['table_sha256'][:16]}, "
                f"seed {recipe['selection']['seed']}."
            ),
        ],
    )  # fmt: skip
