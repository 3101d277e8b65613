"""Reads bars.parquet; writes the sound ones as bars.parquet, and validation.json."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from pipeline.run import StepRun
from pipeline.tables import groups, metadata, write_groups
from steps.shell import shell
from stockpred.bars import BarsInfo, Span, from_arrow, read_info, to_arrow
from stockpred.checks import CHECKS, Validated, judge_dropped, validate
from stockpred.columns import SYMBOL
from stockpred.errors import DataError

MINIMUM_BARS = 100  # of a symbol; with fewer it is dropped whole


@shell("validate", "bars", "max_missing")
def main(run: StepRun, bars: str, max_missing: float) -> None:
    """Take out what must not reach a model, and say what and why."""
    source = run.input(bars)
    info = read_info(metadata(source))
    judged: dict[str, Validated] = {}
    with run.output("bars.parquet") as path:
        kept = write_groups(
            path, _sound(source, judged, max_missing), lambda: _with_spans(info, judged)
        )
    dropped = {symbol: v.reason for symbol, v in judged.items() if v.reason}
    spans = _spans(judged)
    problems = [dataclasses.asdict(each) for v in judged.values() for each in v.problems]
    run.output_json(
        "validation.json",
        {
            "symbols": len(judged),
            "bars": kept,
            "dropped": dropped,
            "quarantined": [span._asdict() for span in spans],
            "problems": problems,
        },
    )
    run.metrics({"rows": kept, "symbols_dropped": len(dropped), "stretches": len(spans)})
    found = Counter({f"check_{check.name}": 0 for check in CHECKS})
    for problem in problems:
        found[f"check_{problem['check']}"] += problem["count"]
    run.metrics(found)
    run.key_figure(
        f"{kept:,} sound bars; {len(spans)} stretches and {len(dropped)} symbols taken out"
    )


def _sound(source: Path, judged: dict[str, Validated], max_missing: float) -> Iterator[pa.Table]:
    """Yield each symbol's sound bars, one in memory, noting in `judged` what was found."""
    for group in groups(source):
        for symbol, rows in from_arrow(group).groupby(SYMBOL, sort=False, observed=True):
            if str(symbol) in judged:
                raise DataError(f"bars: {symbol} stands in two places; sort by symbol and date")
            result = validate(rows.reset_index(drop=True), MINIMUM_BARS)
            judged[str(symbol)] = dataclasses.replace(result, bars=result.bars.iloc[:0])
            if len(result.bars):
                yield to_arrow(result.bars)
    dropped = {symbol: v.reason for symbol, v in judged.items() if v.reason}
    judge_dropped(dropped, len(judged), max_missing)


def _spans(judged: dict[str, Validated]) -> tuple[Span, ...]:
    return tuple(span for v in judged.values() if not v.reason for span in v.spans)


def _with_spans(info: BarsInfo, judged: dict[str, Validated]) -> dict[bytes, bytes]:
    return dataclasses.replace(info, spans=_spans(judged)).to_metadata()


if __name__ == "__main__":
    main()
