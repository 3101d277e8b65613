"""Summary of a run in a few lines of Markdown, for a CI job."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from reports.text.chain_summary import ChainSummary, summarise


@dataclass(frozen=True)
class FinishedRun:
    """A finished run and the results of its steps.

    Attributes
    ----------
    entry_point, status, error : str
        Of the run itself: MLflow's status, the error in one line or empty.
    run_id : str
    source, commit : str
        Address of the project, commit in full.
    link : str
        Address of a run's page with ``{run_id}`` in it; empty where there is none.
    on_alert : str
        ``report``: an alert does not change the exit code.
    steps : sequence of (name, status, run id, key figure)
    evaluation, decision, monitoring : mapping, optional
        Content of the JSON artifact of that name.
    """

    entry_point: str
    status: str
    run_id: str
    error: str = ""
    source: str = ""
    commit: str = ""
    link: str = ""
    on_alert: str = ""
    steps: Sequence[tuple[str, str, str, str]] = field(default_factory=list)
    evaluation: Mapping[str, Any] | None = None
    decision: Mapping[str, Any] | None = None
    monitoring: Mapping[str, Any] | None = None

    @property
    def alerts(self) -> Sequence[Mapping[str, Any]]:
        """Alerts of the monitor."""
        return self.monitoring["alerts"] if self.monitoring else []

    @property
    def exit_code(self) -> int:
        """0: finished, 1: failed, 3: an alert; a refused model is a normal outcome."""
        stopped_by_alert = self.monitoring is not None and self.error == self.monitoring["sentence"]
        if self.status != "FINISHED" and not stopped_by_alert:
            return 1
        return 3 if self.alerts and self.on_alert != "report" else 0


def render_ci_summary(run: FinishedRun) -> str:
    """Render a run as Markdown; texts of artifacts and tags are escaped.

    Parameters
    ----------
    run : FinishedRun

    Returns
    -------
    str
        Markdown: alerts, decision, evidence, a table of the steps, a link.
    """
    lines = [f"## {_heading(run)}", ""]
    if run.error:
        lines += [f"**{_text(run.error)}**", ""]
    lines += [f"- alert: **{_text(alert['sentence'])}**" for alert in run.alerts]
    if run.monitoring:
        champion, newest = run.monitoring["champion"], run.monitoring["data"]["newest"]
        lines += [f"- monitoring: {_text(run.monitoring['sentence'])}"]
        lines += [f"- champion: {_text(champion['sentence'])} Newest bar: {_text(newest)}."]
    if run.decision:
        decision = run.decision
        lines += [
            f"- gate: {_text(decision['registered_model'])}, version {_text(decision['version'])}: "
            f"**{_text(decision['stage'])}**, {_text(decision['sentence'])}"
        ]
    is_reused = any((name, status) == ("monitor", "cached") for name, status, *_ in run.steps)
    summary = summarise(run.evaluation, run.monitoring, is_reused=is_reused)
    if summary.verdict:
        lines += [f"- evidence: {_text(summary.verdict)}"]
    if summary.model:
        lines += [f"- forecasts by {_text(summary.model)}"]
        lines += [f"- since the night before: {_text('; '.join(summary.changes))}"]
    lines += _forecasts(summary)
    lines += ["", *_steps(run), *_rules(run.decision)]
    link = f"[run {run.run_id}]({run.link.format(run_id=run.run_id)})" if run.link else run.run_id
    lines += ["", f"{link}, {_text(run.source)} at `{_text(run.commit)}`", ""]
    return "\n".join(lines)


def _heading(run: FinishedRun) -> str:
    if run.exit_code == 3:
        return f"{_text(run.entry_point)}: alert"
    done = {"FINISHED": "done", "FAILED": "failed", "KILLED": "ended from outside"}
    return f"{_text(run.entry_point)}: {done.get(run.status, _text(run.status))}"


def _forecasts(summary: ChainSummary) -> list[str]:
    if not summary.rows:
        return []
    head, *rows = (f"| {' | '.join(map(_text, cells))} |" for cells in summary.rows)
    more = [f"and {summary.more:,} more"] if summary.more else []
    return ["", head, "| --- | --- | ---: | --- |", *rows, *more]


def _steps(run: FinishedRun) -> list[str]:
    if not run.steps:
        return []
    lines = ["| step | | key figure |", "| --- | --- | --- |"]
    for name, status, run_id, figure in run.steps:
        shown = f"[{_text(name)}]({run.link.format(run_id=run_id)})" if run.link else _text(name)
        lines.append(f"| {shown} | {_text(status)} | {_text(figure)} |")
    return lines


def _rules(decision: Mapping[str, Any] | None) -> list[str]:
    if not decision or not decision.get("rules"):
        return []
    lines = ["", "| the gate's rule | value | limit | |", "| --- | ---: | ---: | --- |"]
    for rule in decision["rules"]:
        value = "-" if rule["value"] is None else f"{rule['value']:.4g}"
        passed = "passed" if rule["passed"] else "**not passed**"
        lines.append(f"| {_text(rule['metric'])} | {value} | {rule['limit']:.4g} | {passed} |")
    return lines


def _text(value: object) -> str:
    """Escape a value to one line that Markdown and HTML show as text."""
    line = " ".join(escape(str(value), quote=False).split())
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", line)
